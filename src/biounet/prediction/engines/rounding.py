"""What a lower precision changes, measured on pieces of real images.

Networks decide most pixels of a real image clearly and those of noise hardly, so only real ones
tell how many labels change.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from biounet.model import ModelFile, network_of
from biounet.prediction.engines import Engine, torch_engine
from biounet.prediction.engines.agreement import Agreement, agreement

RECORD = "rounding"
"""Where a model's provenance has its figures."""


def measure_rounding(
    model: ModelFile, device: torch.device, precision: str, tiles: Sequence[NDArray[np.float32]]
) -> Agreement:
    """How far PyTorch at a precision is from float32 on all tiles together."""
    exact, rounded = (torch_engine(network_of(model), device, p) for p in ("float32", precision))
    return compare_rounding(exact, rounded, tiles)


def compare_rounding(
    exact: Engine, rounded: Engine, tiles: Sequence[NDArray[np.float32]]
) -> Agreement:
    """How far an engine that rounds is from an exact one on all tiles together."""
    found = [agreement(rounded(tile), exact(tile)) for tile in tiles]
    changed = float(np.mean([one.changed for one in found]))
    return Agreement(max(one.largest for one in found), changed)


def rounding_record(precision: str, found: Agreement) -> dict[str, Any]:
    """What a precision changes on a model's own images, for the model's provenance."""
    return {RECORD: {precision: {"labels_changed": found.changed, "largest": found.largest}}}


def recorded_rounding(model: ModelFile, precision: str) -> Agreement | None:
    """What a precision changed on the model's own images; None: it was not measured."""
    figures = model.provenance.get(RECORD, {}).get(precision)
    if figures is None:
        return None
    return Agreement(float(figures["largest"]), float(figures["labels_changed"]))
