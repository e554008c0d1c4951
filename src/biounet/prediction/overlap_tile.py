"""The overlap-tile strategy (Fig. 2 of the paper): images of any size, without seams.

Each tile is read with the margin that valid convolutions lose, mirrored where it leaves the
image; each output pixel is computed from its full context and written once. The numbers do not
depend on the tiling (`geometry.plan_tiles` keeps every tile on the network's grid).
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from biounet.geometry import Footprint, Tile, TilePlan
from biounet.images.regions import Pixels, read_region
from biounet.images.statistics import not_finite
from biounet.model import Intensity
from biounet.prediction.engines import Engine

SAMPLE_PX = {2: 260, 3: 28}
"""Side of the output of a piece of an image that shows what all of it is like."""


def predict_tile(
    source: Pixels, tile: Tile, intensity: Intensity, engine: Engine
) -> NDArray[np.float32]:
    """The probabilities (K, …) of the pixels that one tile writes."""
    grey = read_region(source, tile.read_start, tile.read_stop)
    probabilities = engine(normalise(grey, intensity)[None])[0]
    written = tuple(slice(0, b - a) for a, b in zip(tile.write_start, tile.write_stop, strict=True))
    part: NDArray[np.float32] = probabilities[(slice(None), *written)]
    return part


def predict_image(
    source: Pixels, plan: TilePlan, intensity: Intensity, engine: Engine, n_classes: int
) -> NDArray[np.float32]:
    """Probabilities of a whole image, (K, …) float32 in 0..1.

    Args:
        source: (C, …) of any number type; lazy arrays are read tile by tile.
        plan: how to cut it, from `geometry.plan_tiles`.
        intensity: offset and scale of each channel.
        engine: the network.
        n_classes: K.
    """
    result = np.empty((n_classes, *plan.image_shape), np.float32)
    for tile in plan:
        part = predict_tile(source, tile, intensity, engine)
        result[(slice(None), *written_slices(tile))] = part
    return result


def written_slices(tile: Tile) -> tuple[slice, ...]:
    """The pixels of the image that a tile writes."""
    return tuple(slice(a, b) for a, b in zip(tile.write_start, tile.write_stop, strict=True))


def sample_tile(source: Pixels, footprint: Footprint, intensity: Intensity) -> NDArray[np.float32]:
    """A piece from the middle of an image (C, …) as an input tile (1, C, …), normalised."""
    n_axes = len(footprint.step)
    shape = footprint.input_for((SAMPLE_PX[n_axes],) * n_axes)
    start = tuple((size - n) // 2 for size, n in zip(source.shape[1:], shape, strict=True))
    stop = tuple(a + n for a, n in zip(start, shape, strict=True))
    return normalise(read_region(source, start, stop), intensity)[None]


def normalise(grey: NDArray[np.generic], intensity: Intensity) -> NDArray[np.float32]:
    """(value - offset) / scale of each channel of (C, …), float32.

    Values of more than 24 bits are shifted before they are rounded: they may lie far from 0.

    Raises:
        InputError: NaN or infinite values, which the training set's statistics do not show.
    """
    if grey.dtype.kind == "f" and not np.isfinite(grey).all():
        raise not_finite("pixels that are NaN or infinite")
    shape = (-1,) + (1,) * (grey.ndim - 1)
    dtype: Any = np.float32 if np.can_cast(grey.dtype, np.float32) else np.float64
    offset = np.array(intensity.offset, dtype).reshape(shape)
    scale = np.array(intensity.scale, dtype).reshape(shape)
    return np.asarray((grey.astype(dtype) - offset) / scale, np.float32)
