"""PNG and JPEG files."""

import math
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
from numpy.typing import NDArray

from biounet.errors import InputError
from biounet.images.formats.memory import check_fits
from biounet.images.image import Header

PNG_SUFFIXES = (".png",)
JPEG_SUFFIXES = (".jpg", ".jpeg")

_PNG_START = b"\x89PNG\r\n\x1a\n"
_GREY, _RGB, _PALETTE = 0, 2, 3
_JPEG_FRAMES = set(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}


def read_png_header(path: Path) -> Header:
    """Size, type and channels of a PNG of grey values or RGB, from its first bytes.

    Raises InputError for a palette, an alpha channel, or a file that is no PNG.
    """
    with path.open("rb") as file:
        start = file.read(33)
    if len(start) < 33 or not start.startswith(_PNG_START) or start[12:16] != b"IHDR":
        raise _damaged(path, "PNG")
    width, height = int.from_bytes(start[16:20], "big"), int.from_bytes(start[20:24], "big")
    n_bits, colour = start[24], start[25]
    if colour == _PALETTE:
        raise InputError(
            f"a palette (indexed colour) PNG: {path}",
            "grey values or RGB",
            "save it again as grey (in Fiji: Image > Type > 8-bit) or as RGB",
        )
    if colour not in (_GREY, _RGB):
        raise transparent(path)
    shape = (height, width) if colour == _GREY else (height, width, 3)
    dtype = np.dtype(np.uint16 if n_bits == 16 else np.uint8)
    return Header(path, shape, dtype, "YX" if colour == _GREY else "YXC")


def read_png(path: Path) -> tuple[Header, NDArray[Any]]:
    """Header and pixels (Y, X) or (Y, X, C) of a PNG, 8 or 16 bit."""
    header = read_png_header(path)
    _check_memory(header)
    try:
        pixels: NDArray[Any] = imagecodecs.png_decode(path.read_bytes())
    except (imagecodecs.PngError, ValueError) as error:
        raise _damaged(path, "PNG") from error
    if pixels.shape != header.shape:  # a transparent grey value or colour: decoded with an alpha
        raise transparent(path)
    return header, pixels


def read_jpeg_header(path: Path) -> Header:
    """Size and channels of a JPEG, from its frame segment.

    Raises InputError for CMYK, or a file that is no JPEG.
    """
    with path.open("rb") as file:
        if file.read(2) != b"\xff\xd8":
            raise _damaged(path, "JPEG")
        while len(start := file.read(4)) == 4 and start[0] == 0xFF:
            length = int.from_bytes(start[2:], "big")
            segment = file.read(length - 2) if length >= 2 else b""
            if start[1] in _JPEG_FRAMES and len(segment) >= 6:
                shape = (int.from_bytes(segment[1:3], "big"), int.from_bytes(segment[3:5], "big"))
                return _jpeg_header(path, shape, segment[5])
    raise _damaged(path, "JPEG")


def _jpeg_header(path: Path, shape: tuple[int, int], n_channels: int) -> Header:
    if n_channels not in (1, 3):
        raise InputError(f"a CMYK JPEG: {path}", "grey values or RGB", "save it again as RGB")
    if n_channels == 1:
        return Header(path, shape, np.dtype(np.uint8), "YX")
    return Header(path, (*shape, n_channels), np.dtype(np.uint8), "YXC")


def read_jpeg(path: Path) -> tuple[Header, NDArray[Any]]:
    """Header and pixels (Y, X) or (Y, X, C) of a grey or RGB JPEG, uint8."""
    header = read_jpeg_header(path)
    _check_memory(header)
    content = path.read_bytes()
    try:
        pixels: NDArray[Any] = imagecodecs.jpeg8_decode(content)
    except (imagecodecs.Jpeg8Error, ValueError) as error:
        raise _damaged(path, "JPEG") from error
    no_end = content.rfind(b"\xff\xd9") < content.rfind(b"\xff\xda")  # after the last scan
    if no_end or pixels.shape != header.shape:
        raise _damaged(path, "JPEG")
    return header, pixels


def _check_memory(header: Header) -> None:
    n_bytes = math.prod(header.shape) * header.dtype.itemsize
    remedy = "save it as a tiled TIFF or OME-Zarr, which are read by regions"
    check_fits(n_bytes, str(header.path), remedy)


def transparent(path: Path) -> InputError:
    """The error for an image with an alpha channel, which is no measurement."""
    return InputError(
        f"an image with transparency (an alpha channel): {path}",
        "grey values or RGB",
        "save it again without transparency (in Fiji: Image > Type > RGB Color or 8-bit)",
    )


def _damaged(path: Path, kind: str) -> InputError:
    return InputError(
        f"a damaged or truncated {kind} file: {path}",
        f"a whole {kind}",
        "copy or export it again, or take it out of the folder",
    )
