"""The part of a large image that is segmented again and again while a network learns."""

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class Box:
    """Pixels y..y+height-1, x..x+width-1 of an image."""

    y: int
    x: int
    height: int
    width: int

    def corners(self) -> tuple[tuple[int, int], tuple[int, int]]:
        """The first pixel and one beyond the last, (Y, X) each."""
        return (self.y, self.x), (self.y + self.height, self.x + self.width)


def whole(shape: tuple[int, int]) -> Box:
    """All of an image."""
    return Box(0, 0, *shape)


def plan_region(view: Box, shape: tuple[int, int], most_px: float) -> Box:
    """The part of what a person looks at, about its centre, of `most_px` pixels at the most."""
    if shape[0] * shape[1] <= most_px:
        return whole(shape)
    sides = [min(n, max(v, 1)) for n, v in zip(shape, (view.height, view.width), strict=True)]
    shrink = min(1.0, math.sqrt(most_px / (sides[0] * sides[1])))
    starts, kept = [], []
    for size, start, side in zip(shape, (view.y, view.x), sides, strict=True):
        kept.append(max(int(side * shrink), 1))
        centre = min(max(start + side // 2, 0), size)
        starts.append(min(max(centre - kept[-1] // 2, 0), size - kept[-1]))
    return Box(starts[0], starts[1], kept[0], kept[1])
