"""The part of a large image that is segmented again and again while a network learns."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from biounet.geometry import Footprint
from biounet.images.regions import Pixels
from biounet.model import Intensity
from biounet.prediction.overlap_tile import predict_image
from biounet.prediction.predictor import Predictor


@dataclass(frozen=True)
class Box:
    """Pixels y..y+height-1, x..x+width-1 of an image."""

    y: int
    x: int
    height: int
    width: int

    def slices(self) -> tuple[slice, slice]:
        """(Y, X)."""
        return slice(self.y, self.y + self.height), slice(self.x, self.x + self.width)


def whole(shape: tuple[int, int]) -> Box:
    """All of an image."""
    return Box(0, 0, *shape)


def plan_region(view: Box, shape: tuple[int, int], most_px: float, footprint: Footprint) -> Box:
    """The part of what a person looks at that has `most_px` pixels at the most, about its centre.

    It starts on the network's grid, so that it shows what the whole image would.
    """
    sides = [min(n, max(v, 1)) for n, v in zip(shape, (view.height, view.width), strict=True)]
    if shape[0] * shape[1] <= most_px:
        return whole(shape)
    shrink = min(1.0, math.sqrt(most_px / (sides[0] * sides[1])))
    starts, stops = [], []
    for size, start, side, step in zip(shape, (view.y, view.x), sides, footprint.step, strict=True):
        kept = max(int(side * shrink), min(step, size))
        centre = min(max(start + side // 2, 0), size)
        first = min(max(centre - kept // 2, 0), size - kept)
        starts.append(first // step * step)
        stops.append(first + kept)
    return Box(starts[0], starts[1], stops[0] - starts[0], stops[1] - starts[1])


def predict_region(
    predictor: Predictor, pixels: Pixels, box: Box, intensity: Intensity
) -> NDArray[np.float32]:
    """Probabilities (K, height, width) of a box of an image (C, Y, X), as in the whole image.

    Args:
        box: starts on the network's grid.
        intensity: of the whole image.
    """
    footprint = predictor.footprint
    crop, inner = [slice(None)], [slice(None)]
    for part, size, margin, step in zip(
        box.slices(), pixels.shape[1:], footprint.margin, footprint.step, strict=True
    ):
        around = -(-margin // step) * step
        start = max(part.start - around, 0)
        crop.append(slice(start, min(part.stop + around, size)))
        inner.append(slice(part.start - start, part.stop - start))
    source = np.asarray(pixels[tuple(crop)])
    probabilities = predict_image(
        source,
        predictor.plan(source.shape[1:]),
        intensity,
        predictor.engine,
        predictor.model.settings.network.classes,
    )
    return probabilities[tuple(inner)]
