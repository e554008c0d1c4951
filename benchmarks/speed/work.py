"""How much arithmetic a network does: floating-point operations, counted, not timed."""

from functools import lru_cache
from math import prod

import numpy as np
import torch
from torch.utils.flop_counter import FlopCounterMode

from biounet.config import PAPER, Settings
from biounet.geometry import TilePlan
from biounet.networks import build_network


@lru_cache
def tile_flop(side: int) -> float:
    """Of one tile through the paper's network; a multiplication and an addition count as two."""
    with torch.device("meta"), torch.no_grad(), FlopCounterMode(display=False) as counter:
        build_network(PAPER.network).eval()(torch.empty(1, 1, side, side))
    return float(counter.get_total_flops())


def step_flop(settings: Settings) -> float:
    """Of a step of training on one patch: forward, and by weights and maps backward."""
    network = settings.network
    shape = network.footprint.input_for((settings.training.patch_px,) * 2)
    with torch.device("meta"), FlopCounterMode(display=False) as counter:
        build_network(network)(torch.empty(1, 1, *shape)).sum().backward()
    return float(counter.get_total_flops())


def endless_flop() -> float:
    """A pixel of an endless image: what is left when a tile's edges do not count."""
    sides = (572, 1212, 2492)
    return float(np.polyfit(sides, [tile_flop(side) for side in sides], 2)[0])


def work_factor(plan: TilePlan) -> float:
    """Work of an image cut into tiles, as a multiple of its pixels' work in an endless image."""
    return len(plan) * tile_flop(plan.input_shape[0]) / (prod(plan.image_shape) * endless_flop())
