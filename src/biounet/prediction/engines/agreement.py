"""How far an engine's numbers are from those of PyTorch in float32, on a tile made for this.

The tile is smooth noise, the same for every image, tile and worker: an engine is held against
PyTorch at the same precision, and any tile shows whether they agree. What a precision changes is
measured on real images (`rounding.py`).
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from biounet.geometry import Shape
from biounet.network_settings import NetworkSettings

PROBE_PX = {2: 128, 3: 24}
"""Side of the output that engines are compared on: 14,000 pixels at least."""
SMOOTHNESS_PX = 2.0
"""Standard deviation of the Gaussian that smooths the noise."""

LARGEST_SLACK, CHANGED_SLACK = 1e-3, 1e-3
"""What engines may differ by for no other reason than the order of their sums."""


@dataclass(frozen=True)
class Agreement:
    """Two engines on one tile.

    Attributes:
        largest: the largest difference of a probability, 0..1.
        changed: the share of pixels whose most probable class is another, 0..1.
    """

    largest: float
    changed: float

    def __str__(self) -> str:
        """In words."""
        return f"probabilities off by up to {self.largest:.2g}, {self.changed:.2%} other labels"


def probe_tile(n_channels: int, shape: Shape) -> NDArray[np.float32]:
    """Smooth noise of mean 0 and standard deviation 1, (1, C, …); always the same."""
    noise = np.random.default_rng(0).standard_normal((n_channels, *shape), dtype=np.float32)
    smooth = np.stack([ndimage.gaussian_filter(channel, SMOOTHNESS_PX) for channel in noise])
    axes = tuple(range(1, smooth.ndim))
    centred = smooth - smooth.mean(axes, keepdims=True)
    return np.asarray(centred / centred.std(axes, keepdims=True), np.float32)[None]


def small_probe(settings: NetworkSettings) -> NDArray[np.float32]:
    """A probe just large enough to compare engines on."""
    output = (PROBE_PX[settings.dimensions],) * settings.dimensions
    return probe_tile(settings.channels, settings.footprint.input_for(output))


def agreement(probabilities: NDArray[np.float32], reference: NDArray[np.float32]) -> Agreement:
    """How far probabilities (N, K, …) are from those of a reference."""
    if probabilities.shape != reference.shape or not np.isfinite(probabilities).all():
        return Agreement(1.0, 1.0)
    changed = probabilities.argmax(1) != reference.argmax(1)
    return Agreement(float(np.abs(probabilities - reference).max()), float(changed.mean()))


def is_equal(found: Agreement, allowed: Agreement) -> bool:
    """Whether an engine is as near to float32 as PyTorch is at the same precision.

    Args:
        found: of the engine.
        allowed: of PyTorch at that precision (0 and 0 for float32); twice that is accepted.
    """
    return (
        found.largest <= 2 * allowed.largest + LARGEST_SLACK
        and found.changed <= 2 * allowed.changed + CHANGED_SLACK
    )
