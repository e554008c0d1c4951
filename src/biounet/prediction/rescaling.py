"""Images seen at another size, so that objects are as large as those a network learned from.

A pixel of the view is a mean of the image weighted by a tent, which is as wide as the coarser of
both grids: linear interpolation where the view is larger, free of aliasing where it is smaller
(what Pillow and PyTorch call bilinear with antialiasing). Centres of pixels lie at half numbers, so
that no object is shifted.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil, floor
from typing import Any

import numpy as np
from numpy.typing import NDArray

from biounet.errors import InputError
from biounet.geometry import Shape
from biounet.images.regions import Pixels, read_region

MOST_PX = 2**24
"""Of an image that are read at once for a box of its view; larger boxes are made in parts."""


def scale_per_axis(scale: Sequence[float], dimensions: int) -> tuple[float, ...]:
    """One factor for each spatial axis, of one factor for all or of one for each.

    Raises:
        InputError: other numbers of factors, or factors that are not above 0.
    """
    if len(scale) not in (1, dimensions) or not all(0 < s < float("inf") for s in scale):
        raise InputError(
            f"a scale of {','.join(f'{s:g}' for s in scale)}",
            f"a number above 0, or one for each of {'ZYX'[-dimensions:]}",
            "0.5, say, where objects are twice as large as those learned from",
        )
    return tuple(scale) * (dimensions // len(scale))


@dataclass(frozen=True)
class Rescaled:
    """An image (C, …) seen at another size, made pixel by pixel when it is read.

    Attributes:
        source: mirrored beyond its border.
        scale: factor along each spatial axis; above 1: the view is larger.
        size: of the view, px.

    A pixel's numbers depend on its position alone, so any box gives the same bits.
    """

    source: Pixels
    scale: tuple[float, ...]
    size: Shape

    @property
    def shape(self) -> tuple[int, ...]:
        """(C, …)."""
        return (self.source.shape[0], *self.size)

    @property
    def ndim(self) -> int:
        """The image's."""
        return self.source.ndim

    @property
    def dtype(self) -> np.dtype[Any]:
        """Interpolated grey values; float64 where float32 would round the image's."""
        return np.result_type(self.source.dtype, np.float32)

    def __getitem__(self, key: tuple[slice, ...]) -> NDArray[Any]:
        """A box: one slice an axis, channels first."""
        ranges = [range(*part.indices(size)) for part, size in zip(key[1:], self.size, strict=True)]
        result = np.empty((len(range(self.shape[0])[key[0]]), *map(len, ranges)), self.dtype)
        longest = int(np.argmax([len(r) for r in ranges]))
        n_read = np.prod([len(r) / s for r, s in zip(ranges, self.scale, strict=True)])
        length = ceil(len(ranges[longest]) / max(1, ceil(n_read / MOST_PX)))
        for begin in range(0, len(ranges[longest]), length):
            part = [*ranges]
            part[longest] = ranges[longest][begin : begin + length]
            place = [slice(None)] * self.ndim
            place[1 + longest] = slice(begin, begin + length)
            result[tuple(place)] = self._made(part)[key[0]]
        return result

    def _made(self, ranges: Sequence[range]) -> NDArray[Any]:
        taps = [_taps(r, s) for r, s in zip(ranges, self.scale, strict=True)]
        low = [int(first[0]) for first, _ in taps]
        high = [int(first[-1]) + weights.shape[1] for first, weights in taps]
        box = read_region(self.source, low, high).astype(self.dtype)
        for axis, (first, weights) in enumerate(taps, start=1):
            along = (-1,) + (1,) * (self.ndim - 1 - axis)
            total: Any = 0.0
            for k, weight in enumerate(weights.T.astype(self.dtype)):
                total = total + box.take(first - first[0] + k, axis) * weight.reshape(along)
            box = total
        return box


def _taps(positions: range, scale: float) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
    """For each pixel of a view: the first pixel of the image that counts, and all weights.

    Weights are (positions, taps), as many for each, and sum to 1.
    """
    reach = max(1.0, 1 / scale)
    centre = (np.arange(positions.start, positions.stop) + 0.5) / scale - 0.5
    first = np.floor(centre - reach).astype(np.intp) + 1
    away = first[:, None] + np.arange(ceil(2 * reach)) - centre[:, None]
    weights = np.maximum(1 - np.abs(away) / reach, 0)
    return first, weights / weights.sum(axis=1, keepdims=True)


def shown_to_network(source: Pixels, scale: tuple[float, ...]) -> Pixels:
    """An image (C, …) at the scale that a network is to see."""
    if all(s == 1 for s in scale):
        return source
    size = tuple(max(1, ceil(n * s)) for n, s in zip(source.shape[1:], scale, strict=True))
    return Rescaled(source, scale, size)


def back_from_network(predicted: Pixels, scale: tuple[float, ...], size: Shape) -> Pixels:
    """What a network made of it (K, …), at the image's own size."""
    if all(s == 1 for s in scale):
        return predicted
    return Rescaled(predicted, tuple(1 / s for s in scale), size)


def px_before_rescaling(px: Shape, step: Shape, scale: tuple[float, ...]) -> Shape:
    """How far a tile that advances `px` of what a network sees takes one in the image.

    A step is left on either side for pixels between, and for a start off the network's grid.
    """
    if all(s == 1 for s in scale):
        return px
    return tuple(
        max(1, floor(max(n - 2 * margin, margin) / s))
        for n, margin, s in zip(px, step, scale, strict=True)
    )
