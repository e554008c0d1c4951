"""Outlines of objects along the edges of their pixels: polygons that fill to the same pixels."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

_STEPS = ((0, 1), (1, 0), (0, -1), (-1, 0))
"""Right, down, left, up as (Y, X); the next one is a turn to the right."""


@dataclass(frozen=True)
class Outline:
    """One connected part of an object: corners (n, 2) as (Y, X), between pixels, not closed.

    Corner (0, 0) is the upper left corner of pixel (0, 0). The outer ring runs clockwise on the
    screen, the holes the other way round.
    """

    outer: NDArray[np.int64]
    holes: tuple[NDArray[np.int64], ...]


def trace_outlines(mask: NDArray[np.bool_]) -> list[Outline]:
    """The outlines of the 4-connected parts of a mask (Y, X), in the order of first pixels."""
    parts, n_parts = ndimage.label(mask)
    outlines = []
    for k in range(1, n_parts + 1):
        rings = _rings(parts == k)
        outer = [ring for ring in rings if _area(ring) > 0]
        holes = tuple(ring for ring in rings if _area(ring) < 0)
        outlines.append(Outline(outer[0], holes))
    return outlines


def _rings(mask: NDArray[np.bool_]) -> list[NDArray[np.int64]]:
    """Closed walks along pixel edges with the mask on the right hand."""
    inside = np.pad(mask, 1)
    edges: dict[tuple[int, int, int], None] = {}  # (corner, direction), in a lasting order
    for direction, (neighbour, corner) in enumerate(
        (((-1, 0), (0, 0)), ((0, 1), (0, 1)), ((1, 0), (1, 1)), ((0, -1), (1, 0)))
    ):
        beside = np.roll(inside, (-neighbour[0], -neighbour[1]), axis=(0, 1))
        for y, x in (np.argwhere(inside & ~beside) - 1 + corner).tolist():
            edges[y, x, direction] = None
    rings = []
    while edges:
        start = next(iter(edges))
        edge, corners = start, []
        while True:
            del edges[edge]
            y, x, direction = edge
            y, x = y + _STEPS[direction][0], x + _STEPS[direction][1]
            # right, straight on, left: where two pixels meet at a corner, stay with this one
            turns = ((y, x, (direction + turn) % 4) for turn in (1, 0, 3))
            edge = next(e for e in turns if e in edges or e == start)
            if edge[2] != direction:
                corners.append((y, x))
            if edge == start:
                break
        rings.append(np.array(corners, np.int64))
    return rings


def _area(ring: NDArray[np.int64]) -> float:
    """Twice the signed area: positive clockwise on the screen (Y downwards)."""
    y, x = ring[:, 0], ring[:, 1]
    return float(np.sum(x * np.roll(y, -1) - np.roll(x, -1) * y))
