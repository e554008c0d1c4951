"""An image as tiles of its grey values, 8 or 16 bit, halved again and again for smaller zooms.

A stack is a series of planes, each with its tiles; contrast is that of all of them. The browser
stretches it itself, so moving a slider asks nothing of the server.
"""

import math
from collections import OrderedDict
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
from numpy.typing import NDArray

from biounet.errors import InputError
from biounet.images.reading import read_header, read_image

MOST_PIXELS = 2**26
"""Largest image that is opened: 8192 x 8192 px. The browser holds its labels, 2 bytes a pixel."""

MOST_STACK_PIXELS = 2**27
"""Most pixels of a stack, all planes: their labels are written anew with every stroke."""

MOST_BYTES = 2**29
"""Largest image in memory, all planes and channels."""

MOST_LEVEL_BYTES = 2**27
"""What the smaller zooms of planes may hold; those not looked at for long are made again."""

TILE_PX = 512

N_BINS = 128


@dataclass(frozen=True)
class Pyramid:
    """An open image.

    Attributes:
        pixels: (P, C, Y, X), as in the file; P planes.
        offset, scale: grey value of the file = offset + scale x value in the levels.
        limit: a power of two above all level values.
        histogram: (C, N_BINS) counts of the level values from 0 up to the limit.
        contrast: (C, 2) level values that are shown black and white at first.
        page_axes, page_sizes: what the planes run along, such as "TZ", the last one fastest.
    """

    pixels: NDArray[Any]
    offset: float
    scale: float
    limit: int
    histogram: NDArray[np.int64]
    contrast: NDArray[np.int64]
    channel_names: tuple[str, ...] | None = None
    pixel_size_um: tuple[float, ...] | None = None
    page_axes: str = ""
    page_sizes: tuple[int, ...] = ()
    _levels: OrderedDict[int, tuple[NDArray[Any], ...]] = field(default_factory=OrderedDict)
    _lock: Any = field(default_factory=Lock)

    @property
    def shape(self) -> tuple[int, int]:
        """(Y, X) of a plane."""
        return self.pixels.shape[2], self.pixels.shape[3]

    @property
    def n_levels(self) -> int:
        """Zooms, each half the size of the last, until one tile holds the plane."""
        return 1 + max(0, math.ceil(math.log2(max(self.shape) / TILE_PX)))

    def levels(self, plane: int) -> tuple[NDArray[Any], ...]:
        """(C, Y, X) uint8 or uint16 of a plane at every zoom, the whole plane first."""
        with self._lock:
            if plane not in self._levels:
                levels = [_for_display(self.pixels[plane], self.offset, self.scale)]
                while len(levels) < self.n_levels:
                    levels.append(_halved(levels[-1]))
                self._levels[plane] = tuple(levels)
            self._levels.move_to_end(plane)
            kept = sum(level.nbytes for level in self._levels[plane])
            while len(self._levels) > max(1, MOST_LEVEL_BYTES // kept):
                self._levels.popitem(last=False)
            return self._levels[plane]


def open_pyramid(path: Path) -> Pyramid:
    """Read an image.

    Raises:
        InputError: too large, no pixels that can be shown, or damaged.
    """
    header = read_header(path)
    sizes = dict(zip(header.axes, header.shape, strict=True))
    page_axes = "".join(axis for axis in header.axes if axis not in "CYX" and sizes[axis] > 1)
    page_sizes = tuple(sizes[axis] for axis in page_axes)
    n_pixels, n_planes = sizes["Y"] * sizes["X"], math.prod(page_sizes)
    n_bytes = math.prod(header.shape) * header.dtype.itemsize
    most = MOST_STACK_PIXELS if n_planes > 1 else MOST_PIXELS
    if n_pixels > MOST_PIXELS or n_pixels * n_planes > most or n_bytes > MOST_BYTES:
        planes = f"{n_planes} planes of " if n_planes > 1 else ""
        raise InputError(
            f"{path.name} of {planes}{sizes['Y']} x {sizes['X']} px, {n_bytes / 2**20:.0f} MB",
            f"{most / 2**20:.0f} megapixels and {MOST_BYTES // 2**20} MB at most",
            "cut a part out to annotate; a trained model segments images of any size",
        )
    image = read_image(path)
    kept = tuple(slice(None) if axis in "CYX" + page_axes else 0 for axis in image.axes)
    pixels = np.asarray(image.data[kept])
    axes = [axis for axis in image.axes if axis in "CYX" + page_axes]
    if "C" not in axes:
        pixels, axes = pixels[None], ["C", *axes]
    pixels = np.transpose(pixels, [axes.index(axis) for axis in page_axes + "CYX"])
    pixels = np.ascontiguousarray(pixels.reshape(n_planes, *pixels.shape[-3:]))
    offset, scale = _range_shown(pixels, path)
    largest = max(int(_for_display(plane, offset, scale).max()) for plane in pixels)
    limit = max(1 << largest.bit_length(), 2 * N_BINS)
    counts = np.zeros((pixels.shape[1], limit), np.int64)
    for plane in pixels:
        shown = _for_display(plane, offset, scale)
        counts += np.stack([np.bincount(c.ravel(), minlength=limit) for c in shown])
    return Pyramid(
        pixels=pixels,
        offset=offset,
        scale=scale,
        limit=limit,
        histogram=counts.reshape(len(counts), N_BINS, -1).sum(axis=2),
        contrast=np.stack([_stretch(c) for c in counts]),
        channel_names=image.channel_names,
        pixel_size_um=image.pixel_size_um,
        page_axes=page_axes.replace("?", "Z"),
        page_sizes=page_sizes,
    )


def tile_of(
    pyramid: Pyramid, level: int, row: int, column: int, channel: int | None, plane: int = 0
) -> NDArray[Any]:
    """(C, h, w) of one tile; the last ones of a row or column are smaller. None: all channels.

    Raises:
        InputError: no such tile.
    """
    if 0 <= level < pyramid.n_levels and 0 <= plane < len(pyramid.pixels):
        whole = pyramid.levels(plane)[level]
        box = tuple(slice(k * TILE_PX, (k + 1) * TILE_PX) for k in (row, column))
        fits = min(row, column) >= 0 and box[0].start < whole.shape[1]
        if fits and box[1].start < whole.shape[2] and (channel or 0) in range(len(whole)):
            channels = slice(None) if channel is None else slice(channel, channel + 1)
            tile: NDArray[Any] = whole[channels, box[0], box[1]]
            return tile
    raise InputError(
        f"tile {level}/{row}/{column} of channel {channel}, plane {plane}",
        "a tile inside the image",
        "reload the page",
    )


def _range_shown(pixels: NDArray[Any], path: Path) -> tuple[float, float]:
    """Offset and scale from what is shown, 16 bit at the most, back to the file's grey values."""
    if pixels.dtype in (np.uint8, np.uint16, np.bool_):
        return 0.0, 1.0
    if pixels.dtype.kind not in "iuf" or not np.isfinite(pixels).all():
        raise InputError(
            f"pixels of type {pixels.dtype}, or NaN or infinite ones, in {path.name}",
            "finite grey values",
            "save the image as 16-bit integers or float32",
        )
    low, high = float(pixels.min()), float(pixels.max())
    return low, (high - low) / 65535 or 1.0


def _for_display(pixels: NDArray[Any], offset: float, scale: float) -> NDArray[Any]:
    """As uint8 or uint16."""
    if pixels.dtype in (np.uint8, np.uint16):
        return pixels
    if pixels.dtype == np.bool_:
        return pixels.astype(np.uint8)
    return np.round((pixels - offset) / scale).astype(np.uint16)


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
