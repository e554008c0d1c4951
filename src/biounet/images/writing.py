"""Write images: TIFF for Fiji, PNG, OME-Zarr. Whole or not at all."""

from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
from numpy.typing import NDArray

from biounet.errors import InputError
from biounet.images.atomic import written_whole
from biounet.images.formats.ome_zarr_reading import ZARR_SUFFIXES
from biounet.images.formats.ome_zarr_writing import Reduction, write_ome_zarr
from biounet.images.formats.picture import PNG_SUFFIXES
from biounet.images.formats.tiff_reading import TIFF_SUFFIXES
from biounet.images.formats.tiff_writing import Compression, write_tiff
from biounet.images.image import check_axes
from biounet.images.regions import Pixels

_STORED_AS = {np.bool_: np.uint8, np.float16: np.float32, np.float64: np.float32}


def write_image(
    path: Path | str,
    array: Pixels,
    axes: str,
    pixel_size_um: tuple[float, ...] | None = None,
    channel_names: tuple[str, ...] | None = None,
    compression: Compression | None = None,
    reduction: Reduction = "mean",
) -> None:
    """Write an image as TIFF, PNG or OME-Zarr 0.5, told by the suffix.

    `axes` names the axes of `array` in storage order. TIFF: an ImageJ hyperstack for uint8,
    uint16 and float32, an OME-TIFF for other integers and beyond 4 GiB; booleans are stored as
    uint8, other floats as float32. OME-Zarr: with a pyramid, made by `reduction` ("nearest" for
    labels), always compressed, of any type; `array` may be lazy. The file appears under its name
    only when it is whole.

    Raises InputError for a suffix or type that cannot be written, and in place of the system's
    errors (disk full, read-only folder).
    """
    path = Path(path)
    axes = check_axes(axes, array.ndim, "the array to write")
    suffix = path.suffix.lower()
    if suffix in ZARR_SUFFIXES:
        with written_whole(path) as temporary:
            write_ome_zarr(
                temporary, array, axes, pixel_size_um, channel_names, reduction, path.name
            )
        return
    pixels = _storable(np.asarray(array), path)
    if suffix in TIFF_SUFFIXES:
        with written_whole(path) as temporary:
            write_tiff(temporary, pixels, axes, pixel_size_um, channel_names, compression)
    elif suffix in PNG_SUFFIXES:
        encoded = _encode_png(pixels, axes, path)
        with written_whole(path) as temporary:
            temporary.write_bytes(encoded)
    else:
        raise InputError(
            f"an output of an unknown type: {path}", "TIFF, PNG or OME-Zarr", "name it x.tif"
        )


def _storable(array: NDArray[Any], path: Path) -> NDArray[Any]:
    stored = array.astype(_STORED_AS.get(array.dtype.type, array.dtype), copy=False)
    if stored.dtype.kind not in "iuf" or stored.dtype.itemsize > 4:
        raise InputError(
            f"pixels of type {array.dtype} for {path}",
            "integers of 8 to 32 bits or floats",
            "convert them first",
        )
    return stored


def _encode_png(array: NDArray[Any], axes: str, path: Path) -> bytes:
    if array.dtype not in (np.uint8, np.uint16) or axes not in ("YX", "YXC"):
        raise InputError(
            f"an image of type {array.dtype} and axes {axes} for {path}",
            "8 or 16 bit, one plane (YX) or colours (YXC), in a PNG",
            "write a TIFF instead",
        )
    if axes == "YXC" and array.shape[2] != 3:
        raise InputError(
            f"{array.shape[2]} channels for {path}", "1 or 3 in a PNG", "write a TIFF instead"
        )
    return bytes(imagecodecs.png_encode(array))
