"""An image as tiles of its grey values, 8 or 16 bit, halved again and again for smaller zooms.

The browser stretches the contrast itself, so moving a slider asks nothing of the server.
"""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from biounet.errors import InputError
from biounet.images.reading import read_header, read_image

MOST_PIXELS = 2**26
"""Largest image that is opened: 8192 x 8192 px. The browser holds its labels, 2 bytes a pixel."""

MOST_BYTES = 2**29
"""Largest image in memory, all channels."""

TILE_PX = 512

N_BINS = 128


@dataclass(frozen=True)
class Pyramid:
    """An open image.

    Attributes:
        pixels: (C, Y, X), as in the file.
        levels: (C, Y, X) uint8 or uint16, the whole image first, each half the size of the last.
        offset, scale: grey value of the file = offset + scale x value in the levels.
        limit: a power of two above all level values.
        histogram: (C, N_BINS) counts of the level values from 0 up to the limit.
        contrast: (C, 2) level values that are shown black and white at first.
    """

    pixels: NDArray[Any]
    levels: tuple[NDArray[Any], ...]
    offset: float
    scale: float
    limit: int
    histogram: NDArray[np.int64]
    contrast: NDArray[np.int64]
    channel_names: tuple[str, ...] | None
    pixel_size_um: tuple[float, ...] | None

    @property
    def shape(self) -> tuple[int, int]:
        """(Y, X) of the image."""
        return self.pixels.shape[1], self.pixels.shape[2]


def open_pyramid(path: Path) -> Pyramid:
    """Read an image.

    Raises:
        InputError: too large, a stack, no pixels that can be shown, or damaged.
    """
    header = read_header(path)
    sizes = dict(zip(header.axes, header.shape, strict=True))
    n_pixels = sizes["Y"] * sizes["X"]
    n_bytes = math.prod(header.shape) * header.dtype.itemsize
    if n_pixels > MOST_PIXELS or n_bytes > MOST_BYTES:
        raise InputError(
            f"{path.name} of {sizes['Y']} x {sizes['X']} px, {n_bytes / 2**20:.0f} MB",
            f"{MOST_PIXELS / 2**20:.0f} megapixels and {MOST_BYTES // 2**20} MB at most",
            "cut a part out to annotate; a trained model segments images of any size",
        )
    stacked = [axis for axis in header.axes if axis not in "CYX" and sizes[axis] > 1]
    if stacked:
        raise InputError(
            f"a stack of {' x '.join(str(sizes[a]) for a in stacked)} planes: {path.name}",
            "single planes, with channels or without",
            "save the planes to annotate as single images",
        )
    image = read_image(path)
    whole = tuple(slice(None) if axis in "CYX" else 0 for axis in image.axes)
    pixels = np.asarray(image.data[whole])
    axes = [axis for axis in image.axes if axis in "CYX"]
    if "C" not in axes:
        pixels, axes = pixels[None], ["C", *axes]
    pixels = np.ascontiguousarray(np.transpose(pixels, [axes.index(axis) for axis in "CYX"]))
    shown, offset, scale = _for_display(pixels, path)
    levels = [shown]
    while max(levels[-1].shape[1:]) > TILE_PX:
        levels.append(_halved(levels[-1]))
    limit = max(1 << int(shown.max()).bit_length(), 2 * N_BINS)
    counts = np.stack([np.bincount(c.ravel(), minlength=limit) for c in shown])
    return Pyramid(
        pixels=pixels,
        levels=tuple(levels),
        offset=offset,
        scale=scale,
        limit=limit,
        histogram=counts.reshape(len(counts), N_BINS, -1).sum(axis=2),
        contrast=np.stack([_stretch(c) for c in counts]),
        channel_names=image.channel_names,
        pixel_size_um=image.pixel_size_um,
    )


def tile_of(
    pyramid: Pyramid, level: int, row: int, column: int, channel: int | None
) -> NDArray[Any]:
    """(C, h, w) of one tile; the last ones of a row or column are smaller. None: all channels.

    Raises:
        InputError: no such tile.
    """
    if 0 <= level < len(pyramid.levels):
        whole = pyramid.levels[level]
        box = tuple(slice(k * TILE_PX, (k + 1) * TILE_PX) for k in (row, column))
        fits = min(row, column) >= 0 and box[0].start < whole.shape[1]
        if fits and box[1].start < whole.shape[2] and (channel or 0) in range(len(whole)):
            channels = slice(None) if channel is None else slice(channel, channel + 1)
            tile: NDArray[Any] = whole[channels, box[0], box[1]]
            return tile
    raise InputError(
        f"tile {level}/{row}/{column} of channel {channel}",
        "a tile inside the image",
        "reload the page",
    )


def _for_display(pixels: NDArray[Any], path: Path) -> tuple[NDArray[Any], float, float]:
    """As uint8 or uint16, with offset and scale back to the file's grey values."""
    if pixels.dtype in (np.uint8, np.uint16):
        return pixels, 0.0, 1.0
    if pixels.dtype == np.bool_:
        return pixels.astype(np.uint8), 0.0, 1.0
    if pixels.dtype.kind not in "iuf" or not np.isfinite(pixels).all():
        raise InputError(
            f"pixels of type {pixels.dtype}, or NaN or infinite ones, in {path.name}",
            "finite grey values",
            "save the image as 16-bit integers or float32",
        )
    low, high = float(pixels.min()), float(pixels.max())
    scale = (high - low) / 65535 or 1.0
    return np.round((pixels - low) / scale).astype(np.uint16), low, scale


def _halved(level: NDArray[Any]) -> NDArray[Any]:
    """Means of 2 x 2 pixels; the last row and column stand for themselves where sizes are odd."""
    padded = np.pad(level, [(0, 0), *((0, n % 2) for n in level.shape[1:])], mode="edge")
    total = np.zeros(tuple(n // d for n, d in zip(padded.shape, (1, 2, 2), strict=True)), np.uint32)
    for y in (0, 1):
        for x in (0, 1):
            total += padded[:, y::2, x::2]
    return ((total + 2) // 4).astype(level.dtype)


def _stretch(counts: NDArray[np.int64]) -> NDArray[np.int64]:
    """The values below which 0.3 % and 99.7 % of the pixels lie, at least one apart."""
    cumulative = np.cumsum(counts)
    low, high = np.searchsorted(cumulative, np.array([0.003, 0.997]) * cumulative[-1])
    return np.array([low, max(high, low + 1)])
