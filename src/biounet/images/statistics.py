"""Intensity statistics of a whole image, streamed in one pass by blocks.

Images are normalised from these, never from the statistics of a tile, so they must not depend on
how the image was read. Integer images: exact integer sums (8 and 16 bit: the histogram). Float
images: partial sums of fixed blocks, joined by exactly rounded sums, which have no order.
"""

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from biounet.errors import InputError
from biounet.images.regions import Pixels

BLOCK_PX = 1024
"""Side (Y and X) of the blocks that float sums are made of: part of the result, never tuned."""

PERCENTS = (1.0, 50.0, 99.8)


@dataclass(frozen=True)
class IntensityStatistics:
    """Statistics of all pixels, one value per channel, in the image's own grey values.

    `percentiles` holds per channel the 1st, 50th and 99.8th percentile (linear interpolation, as
    numpy's); None for images of more than 16 bits. `std` is the population's (divided by n).
    """

    mean: tuple[float, ...]
    std: tuple[float, ...]
    minimum: tuple[float, ...]
    maximum: tuple[float, ...]
    percentiles: tuple[tuple[float, float, float], ...] | None = None


def intensity_statistics(data: Pixels, axes: str) -> IntensityStatistics:
    """Statistics of every channel over all other axes.

    `axes` names the axes of `data` in storage order ("CYX", "TZYX", "YXC"); without "C" there is
    one channel. A constant image is legal: its std is 0.

    Raises InputError when pixels are NaN or infinite, or integers need more than 32 bits.
    """
    if len(axes) != data.ndim:
        raise ValueError(f"axes {axes!r} for an image of {data.ndim} axes")
    if 0 in data.shape:
        raise InputError(
            f"an image of shape {tuple(data.shape)}", "at least one pixel", "remove it"
        )
    dtype = np.dtype(data.dtype)
    n_channels = data.shape[axes.index("C")] if "C" in axes else 1
    if dtype == np.bool_ or (dtype.kind in "iu" and dtype.itemsize <= 2):
        return _from_histograms(data, axes, n_channels)
    if dtype.kind in "iu":
        return _from_integer_sums(data, axes, n_channels)
    if dtype.kind == "f":
        return _from_float_blocks(data, axes, n_channels)
    raise InputError(
        f"pixels of type {dtype}", "integer or float grey values", "save the image as such"
    )


def _blocks(data: Pixels, axes: str) -> Iterator[NDArray[Any]]:
    """Blocks (C, ..., y, x) that cover the image once; y and x edges lie on multiples of BLOCK_PX.

    Y and X are read in steps of whole chunks where the array has chunks, so that none is read
    twice (unless chunks are huge).
    """
    chunks = getattr(data, "chunks", None)
    ranges: list[list[slice]] = []
    for i, (axis, size) in enumerate(zip(axes, data.shape, strict=True)):
        step = 1
        if axis == "C":
            step = size
        elif axis in "YX":
            chunk = chunks[i] if isinstance(chunks, tuple) and isinstance(chunks[i], int) else 1
            step = BLOCK_PX * min(-(-chunk // BLOCK_PX), 16)
        ranges.append([slice(k, min(k + step, size)) for k in range(0, size, step)])
    for box in itertools.product(*ranges):
        block = np.asarray(data[box])
        yield np.moveaxis(block, axes.index("C"), 0) if "C" in axes else block[None]


def _from_histograms(data: Pixels, axes: str, n_channels: int) -> IntensityStatistics:
    dtype = np.dtype(data.dtype)
    lowest = 0 if dtype == np.bool_ else int(np.iinfo(dtype).min)
    n_values = 2 if dtype == np.bool_ else int(np.iinfo(dtype).max) - lowest + 1
    histograms = np.zeros((n_channels, n_values), dtype=np.int64)
    for block in _blocks(data, axes):
        for channel, values in enumerate(block):
            shifted = values.ravel() if lowest == 0 else values.ravel().astype(np.intp) - lowest
            histograms[channel] += np.bincount(shifted, minlength=n_values)
    n = int(histograms[0].sum())
    values = np.arange(lowest, lowest + n_values, dtype=np.int64)
    # int(v) and int(c): Python integers, because sums of squares may pass 64 bits
    present = [[(int(v), int(c)) for v, c in zip(values, h, strict=True) if c] for h in histograms]
    moments = [
        _mean_and_std(n, sum(v * c for v, c in p), sum(v * v * c for v, c in p)) for p in present
    ]
    return IntensityStatistics(
        mean=tuple(mean for mean, _ in moments),
        std=tuple(std for _, std in moments),
        minimum=tuple(float(p[0][0]) for p in present),
        maximum=tuple(float(p[-1][0]) for p in present),
        percentiles=tuple(_percentiles(h, lowest) for h in histograms),
    )


def _percentiles(histogram: NDArray[np.int64], lowest: int) -> tuple[float, float, float]:
    cumulative = np.cumsum(histogram)
    n = int(cumulative[-1])
    found: list[float] = []
    for percent in PERCENTS:
        position = percent / 100 * (n - 1)
        below = min(math.floor(position), n - 1)
        above = min(below + 1, n - 1)
        low, high = (int(np.searchsorted(cumulative, k, side="right")) for k in (below, above))
        found.append(lowest + low + (high - low) * (position - below))
    return found[0], found[1], found[2]


def _mean_and_std(n: int, total: int, total_of_squares: int) -> tuple[float, float]:
    """From exact sums: the only rounding is that of the last division and root."""
    return total / n, math.sqrt((n * total_of_squares - total * total) / (n * n))


def _from_integer_sums(data: Pixels, axes: str, n_channels: int) -> IntensityStatistics:
    n = math.prod(data.shape) // n_channels
    total, squares = [0] * n_channels, [0] * n_channels
    lows: list[list[int]] = [[] for _ in range(n_channels)]
    highs: list[list[int]] = [[] for _ in range(n_channels)]
    for block in _blocks(data, axes):
        for c, values in enumerate(block):
            low, high = int(values.min()), int(values.max())
            if high - low >= 2**32:
                raise InputError(
                    f"integer pixels from {low} to {high}",
                    "values that span 32 bits at most",
                    "save the image as 16-bit integers or as float32",
                )
            # distance from the block's minimum, in two halves of 16 bits, so that no sum overflows
            shifted = values.astype(np.uint64) - np.uint64(low % 2**64)
            top, bottom = shifted >> np.uint64(16), shifted & np.uint64(0xFFFF)
            s = int(shifted.sum())
            s2 = (int((top * top).sum()) << 32) + int((bottom * bottom).sum())
            s2 += int((top * bottom).sum()) << 17
            total[c] += s + low * values.size
            squares[c] += s2 + 2 * low * s + low * low * values.size
            lows[c].append(low)
            highs[c].append(high)
    moments = [_mean_and_std(n, s, s2) for s, s2 in zip(total, squares, strict=True)]
    return IntensityStatistics(
        mean=tuple(mean for mean, _ in moments),
        std=tuple(std for _, std in moments),
        minimum=tuple(float(min(found)) for found in lows),
        maximum=tuple(float(max(found)) for found in highs),
    )


def _from_float_blocks(data: Pixels, axes: str, n_channels: int) -> IntensityStatistics:
    parts: list[list[tuple[int, float, float]]] = [[] for _ in range(n_channels)]
    minimum, maximum = [math.inf] * n_channels, [-math.inf] * n_channels
    n_bad = 0
    for block in _blocks(data, axes):
        for channel, values in enumerate(block):
            n_bad += values.size - int(np.isfinite(values).sum())
            if n_bad:  # only counting from here on
                continue
            minimum[channel] = min(minimum[channel], float(values.min()))
            maximum[channel] = max(maximum[channel], float(values.max()))
            parts[channel] += _fixed_parts(values)
    if n_bad:
        raise not_finite(f"{n_bad} pixels that are NaN or infinite, of {math.prod(data.shape)}")
    moments = [_join(channel_parts) for channel_parts in parts]
    return IntensityStatistics(
        mean=tuple(mean for mean, _ in moments),
        std=tuple(std for _, std in moments),
        minimum=tuple(minimum),
        maximum=tuple(maximum),
    )


def _fixed_parts(values: NDArray[Any]) -> Iterator[tuple[int, float, float]]:
    """Count, mean and sum of squared distances from it, of each BLOCK_PX square of a plane."""
    plane = values.reshape(-1, values.shape[-1]) if values.ndim != 2 else values
    for y in range(0, plane.shape[0], BLOCK_PX):
        for x in range(0, plane.shape[1], BLOCK_PX):
            part = np.array(plane[y : y + BLOCK_PX, x : x + BLOCK_PX], dtype=np.float64, order="C")
            mean = float(part.mean())
            yield part.size, mean, float(np.square(part - mean).sum())


def _join(parts: list[tuple[int, float, float]]) -> tuple[float, float]:
    n = sum(size for size, _, _ in parts)
    mean = math.fsum(size * part_mean for size, part_mean, _ in parts) / n
    spread = math.fsum(s + size * (m - mean) ** 2 for size, m, s in parts)
    return mean, math.sqrt(spread / n)


def not_finite(found: str) -> InputError:
    """What to say of grey values that are no numbers."""
    return InputError(
        found,
        "finite grey values",
        "replace them (for example by the image's median) and save the image again",
    )
