"""Averaging over rotated and mirrored versions of the input.

The paper averages "over 7 rotated versions" without saying which. Here `d4` is the 8 exact
symmetries of the square in the YX plane (every turn by 90 degrees, mirrored or not), and
`rotations:N` turns by multiples of 360 / N degrees, with bilinear interpolation there and back.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from biounet.images.regions import Pixels, read_region
from biounet.prediction.engines import Engine


def d4_engine(engine: Engine) -> Engine:
    """An engine that averages the 8 symmetries of the YX plane.

    Exact for any tiling: a turned tile still starts on the network's grid, since every legal
    size is the margin's remainder plus a multiple of the step. Tiles must be square in YX or the
    engine must take both shapes.
    """

    def averaged(tiles: NDArray[np.float32]) -> NDArray[np.float32]:
        total: Any = 0.0
        for quarter_turns in range(4):
            for mirrored in (False, True):
                turned = np.rot90(tiles, quarter_turns, axes=(-2, -1))
                turned = turned[..., ::-1] if mirrored else turned
                result = engine(np.ascontiguousarray(turned))
                result = result[..., ::-1] if mirrored else result
                total = total + np.rot90(result, -quarter_turns, axes=(-2, -1))
        return np.ascontiguousarray(total / 8, np.float32)

    return averaged


@dataclass(frozen=True)
class Rotated:
    """An image (C, …, Y, X) seen turned about its centre in YX, made pixel by pixel when read.

    Looks like an array, so that tiles are planned in the rotated frame like in any image. Where
    the turned frame leaves the image, the image is mirrored.
    """

    source: Pixels
    degrees: float

    @property
    def shape(self) -> tuple[int, ...]:
        """Large enough for the whole image: its bounding box after the turn."""
        size = np.array(self.source.shape[-2:], float)
        box = np.abs(rotation(self.degrees)) @ size
        return (*self.source.shape[:-2], *(int(n) for n in np.ceil(box - 1e-9)))

    @property
    def ndim(self) -> int:
        """The image's."""
        return self.source.ndim

    @property
    def dtype(self) -> np.dtype[np.float32]:
        """Interpolated grey values."""
        return np.dtype(np.float32)

    def __getitem__(self, key: tuple[slice, ...]) -> NDArray[np.float32]:
        """A box of the turned image; the leading axes are read whole or sliced."""
        y, x = (
            np.arange(*part.indices(size), dtype=float)
            for part, size in zip(key[-2:], self.shape[-2:], strict=True)
        )
        here = np.stack(np.meshgrid(y, x, indexing="ij"))
        there = turned(here, self.shape[-2:], self.source.shape[-2:], self.degrees)
        return interpolated(self.source, key[:-2], there)


def turned(
    points: NDArray[np.float64],
    frame: tuple[int, ...],
    other_frame: tuple[int, ...],
    degrees: float,
) -> NDArray[np.float64]:
    """Points (2, …) of one frame in the coordinates of another that shares its centre."""
    centre, other = ((np.array(f, float) - 1) / 2 for f in (frame, other_frame))
    away = points - centre[:, None, None]
    return np.tensordot(rotation(degrees), away, axes=1) + other[:, None, None]


def rotation(degrees: float) -> NDArray[np.float64]:
    """The matrix of a turn in YX."""
    cos, sin = np.cos(np.deg2rad(degrees)), np.sin(np.deg2rad(degrees))
    return np.array([[cos, -sin], [sin, cos]])


def interpolated(
    source: Pixels, leading: tuple[slice, ...], points: NDArray[np.float64]
) -> NDArray[np.float32]:
    """Bilinear values of `source` at YX points (2, Y, X); outside it is mirrored.

    Only the box around the points is read, and of the leading axes only the slices.
    """
    first = np.floor(points.min(axis=(1, 2))).astype(int)
    last = np.ceil(points.max(axis=(1, 2))).astype(int)
    ranges = [part.indices(n)[:2] for part, n in zip(leading[1:], source.shape[1:], strict=False)]
    start = (*(low for low, _ in ranges), *first.tolist())
    stop = (*(high for _, high in ranges), *(last + 1).tolist())
    box = read_region(source, start, stop)[leading[:1]].astype(np.float32)
    local = points - first[:, None, None]
    planes = [
        ndimage.map_coordinates(plane, local, order=1, mode="nearest")
        for plane in box.reshape(-1, *box.shape[-2:])
    ]
    return np.stack(planes).reshape(*box.shape[:-2], *points.shape[1:])


def average_rotations(
    source: Pixels,
    n_rotations: int,
    predict: Callable[[Pixels], Pixels],
    box: tuple[slice, ...],
) -> NDArray[np.float32]:
    """Mean probabilities over N turned versions of the input, each predicted in its own frame.

    Args:
        source: (C, …, Y, X).
        n_rotations: N; turns by 0, 360/N, 2 * 360/N, … degrees.
        predict: probabilities (K, …) of a whole image; only a box of them is read.
        box: what is wanted of the result, a slice an axis, all classes first.
    """
    frame = source.shape[-2:]
    here = np.stack(
        np.meshgrid(
            *(
                np.arange(*part.indices(n), dtype=float)
                for part, n in zip(box[-2:], frame, strict=True)
            ),
            indexing="ij",
        )
    )
    total = np.array(predict(source)[box], np.float32)
    for turn in range(1, n_rotations):
        view = Rotated(source, 360 * turn / n_rotations)
        there = turned(here, frame, view.shape[-2:], -view.degrees)
        total = total + interpolated(predict(view), box[:-2], there)
    return total / np.float32(n_rotations)
