"""Read OME-Zarr images, 0.4 and 0.5, and plain zarr arrays."""

import copy
import functools
import warnings
from pathlib import Path
from typing import Any

import numpy as np

from biounet.errors import InputError
from biounet.images.formats.disk_array import DiskArray, Opened
from biounet.images.image import UM_PER_UNIT, Header, check_axes

# zarr and yaozarrs take half a second to import: functions import them where they need them

ZARR_SUFFIXES = (".ome.zarr", ".zarr")


def read_ome_zarr_header(path: Path, axes: str | None = None) -> Header:
    """Shape, type, axes, pixel size and channel names of an OME-Zarr image or a zarr array."""
    return _look(path, axes)[0]


def read_ome_zarr(path: Path, axes: str | None = None) -> tuple[Header, DiskArray]:
    """Header and pixels (lazy) of the largest level of an OME-Zarr image, or a plain array's."""
    header, inner = _look(path, axes)
    return header, DiskArray(path, functools.partial(_open_level, inner=inner))


def count_missing_chunks(path: Path, axes: str | None = None) -> tuple[int, int]:
    """How many chunks of the largest level are not stored, and how many there are.

    A chunk that is not stored reads as the fill value, as the format has it: writers leave out
    empty ones, but so does a copy that was cut short.
    """
    import zarr

    inner = _look(path, axes)[1]
    array = zarr.open_array(path / inner if inner else path, mode="r")
    return array.nchunks - array.nchunks_initialized, array.nchunks


def _open_level(path: Path, inner: str) -> Opened:
    import zarr

    return zarr.open_array(path / inner if inner else path, mode="r"), lambda: None


def _look(path: Path, axes: str | None) -> tuple[Header, str]:
    """The header, and where in the folder the array is."""
    import zarr

    try:
        node = zarr.open(path, mode="r")
    except Exception as error:  # zarr's own, json's, and those of missing keys
        raise _not_readable(path, error) from error
    if isinstance(node, zarr.Array):
        named = check_axes(axes, node.ndim, str(path))
        return Header(path, tuple(node.shape), np.dtype(node.dtype), named), ""
    attributes = dict(node.attrs)
    if "bioformats2raw.layout" in {**attributes, **_ome(attributes)}:
        if "1" in node:
            raise InputError(
                f"an OME-Zarr with several images: {path}", "one image", f"give {path / '0'}"
            )
        header, inner = _look(path / "0", axes)
        return Header(path, *_but_path(header)), f"0/{inner}"
    if "plate" in {**attributes, **_ome(attributes)}:
        raise InputError(
            f"an OME-Zarr plate with many images: {path}",
            "one image",
            "give the path of one field inside it, such as A/1/0",
        )
    multiscale, metadata = _multiscale(path, attributes)
    inner = str(multiscale.datasets[0].path)
    try:
        array = node[inner]
    except Exception as error:
        raise _not_readable(path, error) from error
    if not isinstance(array, zarr.Array):
        raise _not_readable(path, f"level {inner} is no array")
    found = "".join(str(axis["name"]).upper() for axis in metadata["multiscales"][0]["axes"])
    named = check_axes(axes or found, array.ndim, str(path))
    n_channels = array.shape[named.index("C")] if "C" in named else 1
    return (
        Header(
            path,
            tuple(array.shape),
            np.dtype(array.dtype),
            named,
            _pixel_size_um(multiscale),
            _channel_names(metadata, n_channels),
        ),
        inner,
    )


def _but_path(header: Header) -> tuple[Any, ...]:
    return header.shape, header.dtype, header.axes, header.pixel_size_um, header.channel_names


def _ome(attributes: dict[str, Any]) -> dict[str, Any]:
    found = attributes.get("ome", {})
    return found if isinstance(found, dict) else {}


def _multiscale(path: Path, attributes: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
    """The first multiscale image, validated, and the metadata around it."""
    from pydantic import ValidationError
    from yaozarrs import v04, v05

    metadata = _ome(attributes) or attributes
    model = v05.Multiscale if "ome" in attributes else v04.Multiscale
    found = metadata.get("multiscales")
    if not isinstance(found, list) or not found:
        raise InputError(
            f"a zarr group that is no OME-Zarr image: {path}",
            "OME-Zarr 0.4 or 0.5, or a zarr array",
            "give the path of the image inside it, or of one array with --axes",
        )
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # it warns of unusual names of units
            return model.model_validate(_in_order(found[0])), metadata
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise _not_readable(path, f"{where}: {first['msg']}") from error


def _in_order(multiscale: Any) -> Any:
    """The same with time before channels before space, as the format demands.

    Some programs write ZCYX: the names of the axes tell it as well.
    """
    ordered = copy.deepcopy(multiscale)
    try:
        kinds = [{"time": 0, "channel": 1}.get(axis["type"], 2) for axis in ordered["axes"]]
        order = sorted(range(len(kinds)), key=lambda k: kinds[k])
        ordered["axes"] = [ordered["axes"][k] for k in order]
        for one in (ordered, *ordered["datasets"]):
            for transform in one.get("coordinateTransformations") or ():
                for values in (transform.get("scale"), transform.get("translation")):
                    if values is not None:
                        values[:] = [values[k] for k in order]
    except (KeyError, TypeError, IndexError, AttributeError):
        return multiscale  # what is wrong with it, the validation says
    return ordered


def _pixel_size_um(multiscale: Any) -> tuple[float, ...] | None:
    transforms = [
        *(multiscale.coordinateTransformations or []),
        *multiscale.datasets[0].coordinateTransformations,
    ]
    scale = np.ones(len(multiscale.axes))
    for transform in transforms:
        if transform.type == "scale":
            scale = scale * np.asarray(transform.scale)
    sizes = []
    for axis, size in zip(multiscale.axes, scale.tolist(), strict=True):
        if axis.name in ("z", "y", "x"):
            unit = UM_PER_UNIT.get(str(axis.unit))
            if unit is None:
                return None
            sizes.append(size * unit)
    return tuple(sizes)


def _channel_names(metadata: dict[str, Any], n_channels: int) -> tuple[str, ...] | None:
    omero = metadata.get("omero")
    channels = omero.get("channels", []) if isinstance(omero, dict) else []
    names = [str(c["label"]) for c in channels if isinstance(c, dict) and c.get("label")]
    return tuple(names) if len(names) == n_channels else None


def _not_readable(path: Path, error: Exception | str) -> InputError:
    return InputError(
        f"a zarr that cannot be read: {path} ({' '.join(str(error).split())[:200]})",
        "OME-Zarr 0.4 or 0.5, or a zarr array",
        "check the folder, or export it again",
    )
