"""TIFF files: plain, ImageJ hyperstacks, OME-TIFF; tiled and BigTIFF read by regions."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import tifffile

from biounet.errors import InputError
from biounet.images.image import Header, check_axes
from biounet.images.picture import transparent
from biounet.images.regions import Pixels

TIFF_SUFFIXES = (".tif", ".tiff")

LAZY_BYTES = 2**24
"""Pixels of more bytes than this are read by regions, when they are asked for."""

_UM_PER_UNIT = {
    "nm": 1e-3,
    "nanometer": 1e-3,
    "um": 1.0,
    "µm": 1.0,
    "μm": 1.0,
    "micron": 1.0,
    "microns": 1.0,
    "micrometer": 1.0,
    "mm": 1e3,
    "millimeter": 1e3,
    "cm": 1e4,
    "centimeter": 1e4,
    "m": 1e6,
    "meter": 1e6,
    "inch": 25400.0,
}


def read_tiff_header(path: Path, axes: str | None = None) -> Header:
    """Shape, type, axes, pixel size and channel names of a TIFF."""
    with _open(path) as tiff:
        return _header(tiff, path, axes)


def read_tiff(path: Path, axes: str | None = None) -> tuple[Header, Pixels]:
    """Header and pixels of a TIFF; large ones as a lazy zarr array over the open file."""
    with _open(path) as tiff:
        header = _header(tiff, path, axes)
        if math.prod(header.shape) * header.dtype.itemsize <= LAZY_BYTES:
            try:
                pixels = tiff.series[0].asarray()
            except Exception as error:  # each codec has its own exceptions
                raise damaged_tiff(path, error) from error
            return header, pixels.reshape(header.shape)
    import zarr

    store = tifffile.imread(path, aszarr=True, series=0, level=0)
    return header, zarr.open_array(store, mode="r")


def damaged_tiff(path: Path, error: Exception | str) -> InputError:
    """The error for a TIFF that cannot be read to its end."""
    return InputError(
        f"a damaged or truncated TIFF file: {path} ({' '.join(str(error).split())})",
        "a whole TIFF",
        "copy or export it again, or take it out of the folder",
    )


def _open(path: Path) -> tifffile.TiffFile:
    try:
        tiff = tifffile.TiffFile(path)
    except tifffile.TiffFileError as error:
        raise damaged_tiff(path, error) from error
    return tiff


def _header(tiff: tifffile.TiffFile, path: Path, axes: str | None) -> Header:
    try:
        all_series = list(tiff.series)
        series = all_series[0]
    except Exception as error:  # tifffile raises whatever its parsers raise on broken tags
        raise damaged_tiff(path, error) from error
    sizes = [math.prod(s.shape) for s in all_series]
    if sizes[0] < max(sizes) or sizes.count(sizes[0]) > 1:
        raise InputError(
            f"{len(sizes)} images of different kinds or sizes in one TIFF: {path}",
            "one image, or pages of one size and type",
            "save them as separate files",
        )
    page = series.keyframe
    if page.photometric == tifffile.PHOTOMETRIC.PALETTE and not tiff.is_imagej:
        raise InputError(
            f"a palette (indexed colour) TIFF: {path}",
            "grey values or RGB",
            "save it again as grey (in Fiji: Image > Type > 8-bit) or as RGB",
        )
    if {1, 2} & {int(sample) for sample in page.extrasamples}:
        raise transparent(path)
    found = "".join("?" if a in "QI" else "C" if a == "S" else a for a in series.axes)
    if axes is None and found != "?YX":
        if set(found) - set("TCZYX") or len(set(found)) != len(found):
            raise InputError(
                f"axes {series.axes} of shape {series.shape} in {path}",
                "axes of TCZYX, each once",
                "name them with --axes, or save the image as an ImageJ hyperstack or OME-TIFF",
            )
        axes = found
    named = check_axes(axes, len(series.shape), str(path))
    return Header(
        path,
        tuple(series.shape),
        np.dtype(series.dtype),
        named,
        _pixel_size_um(tiff, page, "Z" in named),
        _channel_names(tiff, named, series.shape),
    )


def _pixel_size_um(tiff: tifffile.TiffFile, page: Any, has_z: bool) -> tuple[float, ...] | None:
    """(Y, X), or (Z, Y, X) when the file tells all three."""
    if tiff.is_ome:
        return _ome_pixel_size_um(tiff, has_z)
    unit, spacing = None, None
    if tiff.is_imagej:
        metadata = tiff.imagej_metadata or {}
        unit = _UM_PER_UNIT.get(str(metadata.get("unit", "")).replace("\\u00B5", "µ"))
        spacing = metadata.get("spacing")
    elif page.resolutionunit == tifffile.RESUNIT.CENTIMETER:
        unit = 1e4  # inches are left out: they are print resolutions, not measurements
    if unit is None:
        return None
    per_unit = [page.tags.get(name) for name in ("YResolution", "XResolution")]
    if any(tag is None or 0 in tag.value for tag in per_unit):
        return None
    size = tuple(unit * tag.value[1] / tag.value[0] for tag in per_unit if tag is not None)
    if has_z:
        return None if spacing is None else (unit * float(spacing), *size)
    return size


def _ome_pixels(tiff: tifffile.TiffFile) -> dict[str, Any]:
    """The attributes of the first image's Pixels element; empty when there is none."""
    try:
        image = tifffile.xml2dict(tiff.ome_metadata or "")["OME"]["Image"]
        first = image[0] if isinstance(image, list | tuple) else image
        return dict(first["Pixels"])
    except (KeyError, TypeError, ValueError, SyntaxError):
        return {}


def _ome_pixel_size_um(tiff: tifffile.TiffFile, has_z: bool) -> tuple[float, ...] | None:
    pixels = _ome_pixels(tiff)
    sizes = []
    for axis in "ZYX" if has_z else "YX":
        unit = _UM_PER_UNIT.get(str(pixels.get(f"PhysicalSize{axis}Unit", "µm")))
        size = pixels.get(f"PhysicalSize{axis}")
        if unit is None or size is None:
            return None
        sizes.append(float(size) * unit)
    return tuple(sizes)


def _channel_names(
    tiff: tifffile.TiffFile, axes: str, shape: tuple[int, ...]
) -> tuple[str, ...] | None:
    n_channels = shape[axes.index("C")] if "C" in axes else 1
    names: list[str] = []
    if tiff.is_ome:
        channels = _ome_pixels(tiff).get("Channel", [])
        channels = channels if isinstance(channels, list | tuple) else [channels]
        names = [str(c["Name"]) for c in channels if isinstance(c, dict) and "Name" in c]
    elif tiff.is_imagej and "C" in axes:
        names = [str(label) for label in (tiff.imagej_metadata or {}).get("Labels", [])]
        names = names[:n_channels]  # one per page, channels run fastest
    return tuple(names) if len(names) == n_channels else None
