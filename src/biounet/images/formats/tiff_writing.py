"""Write TIFF files that ImageJ and Fiji open with axes, pixel size and channel names."""

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import numpy as np
import tifffile
from numpy.typing import NDArray

from biounet.images.regions import Pixels

Compression = Literal["zlib", "lzw", "zstd"]

CLASSIC_BYTES = 2**32 - 2**25
"""More than this needs a BigTIFF, which ImageJ opens through Bio-Formats only."""

TILE_PX = 512
"""Side of the tiles of a TIFF that is written from a lazy array."""

_IMAGEJ_TYPES = (np.uint8, np.uint16, np.float32)
_IMAGEJ_ORDER = "TZCYX"


def write_tiff(
    path: Path,
    array: NDArray[Any],
    axes: str,
    pixel_size_um: tuple[float, ...] | None,
    channel_names: tuple[str, ...] | None,
    compression: Compression | None,
) -> None:
    """An ImageJ hyperstack where ImageJ knows the type and the size; else an OME-TIFF.

    ImageJ has no uint32 and no signed integers. Axes are stored in the order of `axes`, except
    that a hyperstack always runs TZCYX.
    """
    if array.dtype.type in _IMAGEJ_TYPES and array.nbytes < CLASSIC_BYTES:
        _write_hyperstack(path, array, axes, pixel_size_um, channel_names, compression)
    else:
        _write_ome(path, array, axes, pixel_size_um, channel_names, compression)


def _write_hyperstack(
    path: Path,
    array: NDArray[Any],
    axes: str,
    pixel_size_um: tuple[float, ...] | None,
    channel_names: tuple[str, ...] | None,
    compression: Compression | None,
) -> None:
    ordered = "".join(axis for axis in _IMAGEJ_ORDER if axis in axes)
    array = np.transpose(array, [axes.index(axis) for axis in ordered])
    metadata: dict[str, Any] = {"axes": ordered}
    resolution = None
    if pixel_size_um is not None:
        y_um, x_um = pixel_size_um[-2:]
        resolution = (1 / x_um, 1 / y_um)
        metadata["unit"] = "micron"
        if "Z" in axes and len(pixel_size_um) == 3:
            metadata["spacing"] = pixel_size_um[0]
    if channel_names is not None:
        n_pages = int(np.prod(array.shape[:-2])) if "C" in axes else 1
        metadata["Labels"] = list(channel_names) * (n_pages // len(channel_names))
    tifffile.imwrite(
        path,
        array,
        imagej=True,
        resolution=resolution,
        metadata=metadata,
        compression=compression,
        photometric="minisblack",
    )


def _write_ome(
    path: Path,
    array: NDArray[Any],
    axes: str,
    pixel_size_um: tuple[float, ...] | None,
    channel_names: tuple[str, ...] | None,
    compression: Compression | None,
) -> None:
    if "C" in axes and axes.index("C") > axes.index("Y"):  # interleaved: one plane per channel
        array = np.moveaxis(array, axes.index("C"), axes.index("Y"))
        axes = axes.replace("C", "").replace("YX", "CYX")
    tifffile.imwrite(
        path,
        array,
        ome=True,
        bigtiff=array.nbytes >= CLASSIC_BYTES,
        metadata=_ome_metadata(axes, pixel_size_um, channel_names),
        compression=compression,
        photometric="minisblack",
    )


def write_tiled_tiff(
    path: Path,
    array: Pixels,
    axes: str,
    pixel_size_um: tuple[float, ...] | None,
    channel_names: tuple[str, ...] | None,
) -> None:
    """A tiled OME-TIFF (BigTIFF) of an array that may be lazy: read tile by tile."""
    n_planes = math.prod(array.shape[:-2])
    side = TILE_PX

    def tiles() -> Iterator[NDArray[Any]]:
        for index in np.ndindex(*array.shape[:-2]):
            for y in range(0, array.shape[-2], side):
                row = np.asarray(array[(*index, slice(y, y + side), slice(None))])
                for x in range(0, array.shape[-1], side):
                    tile = row[:, x : x + side]
                    missing = [(0, side - n) for n in tile.shape]
                    yield np.ascontiguousarray(np.pad(tile, missing))

    tifffile.imwrite(
        path,
        tiles(),
        shape=tuple(array.shape),
        dtype=array.dtype,
        ome=True,
        bigtiff=n_planes * math.prod(array.shape[-2:]) * array.dtype.itemsize >= CLASSIC_BYTES,
        tile=(side, side),
        metadata=_ome_metadata(axes, pixel_size_um, channel_names),
        compression="zlib",
        photometric="minisblack",
    )


def _ome_metadata(
    axes: str, pixel_size_um: tuple[float, ...] | None, channel_names: tuple[str, ...] | None
) -> dict[str, Any]:
    metadata: dict[str, Any] = {"axes": axes}
    if pixel_size_um is not None:
        for axis, size in zip("ZYX"[-len(pixel_size_um) :], pixel_size_um, strict=True):
            metadata[f"PhysicalSize{axis}"] = size
            metadata[f"PhysicalSize{axis}Unit"] = "µm"
    if channel_names is not None:
        metadata["Channel"] = {"Name": list(channel_names)}
    return metadata
