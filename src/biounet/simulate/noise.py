"""Noise on an endless lattice: the same values however the lattice is cut into regions."""

import itertools
import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

_BLOCK_VALUES = 4096  # drawn at once
_BSPLINE_VARIANCE = 151 / 315  # of a cubic B-spline with unit white noise as coefficients, per axis


def white_noise(seed: int, stream: int, start: Sequence[int], stop: Sequence[int]) -> Floats:
    """Independent standard normal values at the lattice points from `start` up to `stop`.

    Each block of the lattice has a generator of its own, seeded with its place; streams with
    different numbers are independent.
    """
    side = round(_BLOCK_VALUES ** (1 / len(start)))
    blocks = [range(a // side, -(-b // side)) for a, b in zip(start, stop, strict=True)]
    noise = np.empty([b - a for a, b in zip(start, stop, strict=True)])
    for block in itertools.product(*blocks):
        # Seeds are not negative: 0, -1, 1, -2, ... become 0, 1, 2, 3, ...
        place = [2 * i if i >= 0 else -2 * i - 1 for i in block]
        values = np.random.default_rng((seed, stream, *place)).standard_normal((side,) * len(start))
        here, there = [], []
        for i, a, b in zip(block, start, stop, strict=True):
            low, high = max(i * side, a), min((i + 1) * side, b)
            here.append(slice(low - a, high - a))
            there.append(slice(low - i * side, high - i * side))
        noise[tuple(here)] = values[tuple(there)]
    return noise


def smooth_noise(
    seed: int,
    stream: int,
    start: Sequence[int],
    stop: Sequence[int],
    scale: float,
    spacing: Sequence[float],
) -> Floats:
    """Smooth normal noise of unit variance in pixels: cubic B-splines on a lattice `scale` apart.

    `scale` is in the units of `spacing`, the size of a pixel along each axis. Neighbouring
    extremes are about two `scale` apart.
    """
    axes = [np.arange(a, b) * s / scale for a, b, s in zip(start, stop, spacing, strict=True)]
    firsts = [math.floor(axis[0]) - 1 for axis in axes]
    noise = white_noise(seed, stream, firsts, [math.floor(axis[-1]) + 3 for axis in axes])
    for i, (axis, first) in enumerate(zip(axes, firsts, strict=True)):
        knot = np.floor(axis).astype(np.int64)
        t = axis - knot
        weights = (
            (1 - t) ** 3 / 6,
            (3 * t**3 - 6 * t**2 + 4) / 6,
            (-3 * t**3 + 3 * t**2 + 3 * t + 1) / 6,
            t**3 / 6,
        )
        along = [-1 if j == i else 1 for j in range(len(axes))]
        spread = np.zeros([len(axis) if j == i else n for j, n in enumerate(noise.shape)])
        for k, w in enumerate(weights):
            spread += w.reshape(along) * noise.take(knot - 1 - first + k, axis=i)
        noise = spread
    noise /= _BSPLINE_VARIANCE ** (len(axes) / 2)
    return noise
