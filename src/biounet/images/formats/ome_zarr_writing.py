"""Write OME-Zarr 0.5 images, block by block, with a pyramid of smaller copies."""

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from biounet.images.image import AXES
from biounet.images.regions import Pixels

if TYPE_CHECKING:  # zarr and yaozarrs take half a second to import: only where needed
    import zarr

Reduction = Literal["mean", "nearest"]
"""How smaller copies are made: "mean" for images, "nearest" for labels."""

CHUNK_PX = {2: 512, 3: 64}
"""Side of the chunks of an image that is written, by its number of spatial axes."""

SMALLEST_LEVEL_PX = 256


def create_ome_zarr(
    path: Path,
    shape: Sequence[int],
    dtype: Any,
    axes: str,
    *,
    pixel_size_um: tuple[float, ...] | None = None,
    channel_names: tuple[str, ...] | None = None,
    chunks: Sequence[int] | None = None,
    shards: Sequence[int] | None = None,
    name: str | None = None,
) -> "zarr.Array[Any]":
    """Make an empty OME-Zarr 0.5 image with all levels of its pyramid; returns the largest.

    Fill it, then call `write_pyramid`. Levels halve Y and X, down to SMALLEST_LEVEL_PX.
    `axes` are in the order TCZYX. `name` is the image's, where `path` is a temporary one.
    """
    import zarr

    n_spatial = sum(axis in "ZYX" for axis in axes)
    if chunks is None:
        side = CHUNK_PX[n_spatial]
        chunks = [min(side, n) if a in "ZYX" else 1 for a, n in zip(axes, shape, strict=True)]
    shapes = list(_level_shapes(tuple(shape), axes))
    group = zarr.create_group(
        path,
        zarr_format=3,
        attributes={
            "ome": _metadata(
                name or path.name, np.dtype(dtype), axes, shapes, pixel_size_um, channel_names
            )
        },
    )
    for level, level_shape in enumerate(shapes):
        group.create_array(
            str(level),
            shape=level_shape,
            dtype=dtype,
            chunks=tuple(chunks),
            shards=None if shards is None else tuple(shards),
            dimension_names=[axis.lower() for axis in axes],
        )
    return zarr.open_array(path / "0", mode="r+")


@dataclass(frozen=True)
class PyramidBox:
    """A part of a smaller level that is written at once: one shard, or one chunk."""

    path: Path
    level: int
    box: tuple[slice, ...]


def pyramid_levels(path: Path) -> Iterator[list[PyramidBox]]:
    """The parts of each smaller level, from large to small: a level needs the one before it."""
    import zarr

    group = zarr.open_group(path, mode="r")
    for level in range(1, len(list(group.array_keys()))):
        array = _level(group, level)
        parts = blocks(array.shape, array.shards or array.chunks)
        yield [PyramidBox(path, level, box) for box in parts]


def write_pyramid_box(part: PyramidBox, axes: str, reduction: Reduction) -> None:
    """Fill a part of a smaller level from the level before it."""
    import zarr

    group = zarr.open_group(part.path, mode="r+")
    factors = [2 if axis in "YX" else 1 for axis in axes]
    source = tuple(slice(s.start * f, s.stop * f) for s, f in zip(part.box, factors, strict=True))
    larger = np.asarray(_level(group, part.level - 1)[source])
    _level(group, part.level)[part.box] = _halve(larger, axes, reduction)


def write_pyramid(path: Path, axes: str, reduction: Reduction) -> None:
    """Fill the smaller levels of an OME-Zarr image from its largest, block by block."""
    for level in pyramid_levels(path):
        for part in level:
            write_pyramid_box(part, axes, reduction)


def _level(group: "zarr.Group", level: int) -> "zarr.Array[Any]":
    import zarr

    array = group[str(level)]
    if not isinstance(array, zarr.Array):
        raise ValueError(f"level {level} of {group.path} is no array")
    return array


def write_ome_zarr(
    path: Path,
    array: Pixels,
    axes: str,
    pixel_size_um: tuple[float, ...] | None,
    channel_names: tuple[str, ...] | None,
    reduction: Reduction,
    name: str,
) -> None:
    """Write an array (also a lazy one, block by block) as OME-Zarr 0.5 with its pyramid.

    The axes are stored in the order TCZYX, as the format asks.
    """
    stored = "".join(axis for axis in AXES if axis in axes)
    order = [axes.index(axis) for axis in stored]
    largest = create_ome_zarr(
        path,
        [array.shape[k] for k in order],
        array.dtype,
        stored,
        pixel_size_um=pixel_size_um,
        channel_names=channel_names,
        name=name,
    )
    for box in blocks(largest.shape, largest.chunks):
        source = tuple(box[stored.index(axis)] for axis in axes)
        largest[box] = np.transpose(np.asarray(array[source]), order)
    write_pyramid(path, stored, reduction)


def blocks(shape: Sequence[int], steps: Sequence[int]) -> Iterator[tuple[slice, ...]]:
    """Boxes of `steps` px that cover `shape` once, in storage order; the last ones cut short."""
    ranges = (
        [slice(k, min(k + step, size)) for k in range(0, size, step)]
        for size, step in zip(shape, steps, strict=True)
    )
    return itertools.product(*ranges)


def _level_shapes(shape: tuple[int, ...], axes: str) -> Iterator[tuple[int, ...]]:
    yield shape
    while max(n for n, axis in zip(shape, axes, strict=True) if axis in "YX") > SMALLEST_LEVEL_PX:
        shape = tuple(
            -(-n // 2) if axis in "YX" else n for n, axis in zip(shape, axes, strict=True)
        )
        yield shape


def _metadata(
    name: str,
    dtype: np.dtype[Any],
    axes: str,
    shapes: Sequence[tuple[int, ...]],
    pixel_size_um: tuple[float, ...] | None,
    channel_names: tuple[str, ...] | None,
) -> dict[str, Any]:
    from yaozarrs import v05

    unit = None if pixel_size_um is None else "micrometer"
    size = dict(zip("XYZ", reversed(pixel_size_um or ()), strict=False))
    named: dict[str, Any] = {
        "T": v05.TimeAxis(name="t"),
        "C": v05.ChannelAxis(name="c"),
        **{axis: v05.SpaceAxis(name=axis.lower(), unit=unit) for axis in "ZYX"},
    }
    levels = [
        v05.Dataset(
            path=str(level),
            coordinateTransformations=[
                v05.ScaleTransformation(
                    scale=[size.get(a, 1.0) * (2**level if a in "YX" else 1) for a in axes]
                )
            ],
        )
        for level in range(len(shapes))
    ]
    multiscale = v05.Multiscale(
        name=name.split(".")[0], axes=[named[axis] for axis in axes], datasets=levels
    )
    image = v05.Image(multiscales=[multiscale]).model_dump(mode="json", exclude_none=True)
    if channel_names is not None:
        # viewers accept the names only with a colour and a window of grey values
        highest = float(np.iinfo(dtype).max) if dtype.kind in "iu" else 1.0
        window = {"min": 0.0, "max": highest, "start": 0.0, "end": highest}
        image["omero"] = {
            "channels": [
                {"label": label, "color": "FFFFFF", "active": True, "window": window}
                for label in channel_names
            ]
        }
    return dict(image)


def _halve(block: NDArray[Any], axes: str, reduction: Reduction) -> NDArray[Any]:
    """Half the size in Y and X; an odd last row or column stands for itself."""
    in_plane = (axes.index("Y"), axes.index("X"))
    if reduction == "nearest":
        return block[tuple(slice(None, None, 2 if k in in_plane else 1) for k in range(block.ndim))]
    mean = block.astype(np.float64)
    for axis in in_plane:
        n = block.shape[axis]
        even = np.arange(0, n, 2)
        mean = (np.take(mean, even, axis) + np.take(mean, np.minimum(even + 1, n - 1), axis)) / 2
    return (np.rint(mean) if block.dtype.kind in "iu" else mean).astype(block.dtype)
