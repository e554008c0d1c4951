"""Images a second on a GPU: the paper's network, 572 px to 388, in bfloat16, as biounet runs it."""

import time
from collections.abc import Callable

import numpy as np
import torch
from work import tile_flop

from biounet.config import PAPER, Settings
from biounet.geometry import Shape
from biounet.learning.processes import ALONE
from biounet.learning.sampling import TrainingImage, draw_batch
from biounet.learning.step import make_learner, train_step
from biounet.networks import build_network
from biounet.prediction.engines import torch_engine

TILE = (572, 572)
BATCHES = (1, 16)
TRAINING_BATCH = 8
CALLS = 10
"""Of a round."""


def images_per_second(n_rounds: int) -> dict[str, float]:
    """Prediction by batch, and training; and what of the peak of a matrix product that is."""
    device = torch.device("cuda")
    found = {
        f"batch {n}": n / median_s(prediction(PAPER, TILE, n, device), n_rounds) for n in BATCHES
    }
    step = training(PAPER, TILE, TRAINING_BATCH, device)
    found["training"] = TRAINING_BATCH / median_s(step, n_rounds)
    side = 8192
    peak = 2 * side**3 / median_s(product(side, device), n_rounds)
    used = found[f"batch {BATCHES[-1]}"] * tile_flop(TILE[0])
    return {
        **{name: round(value, 1) for name, value in found.items()},
        "peak_tflop_s": round(peak / 1e12, 1),
        "share_of_peak": round(used / peak, 3),
    }


def prediction(
    settings: Settings, tile: Shape, n_images: int, device: torch.device
) -> Callable[[], object]:
    """From arrays to arrays: copying to the device and back counts."""
    engine = torch_engine(build_network(settings.network), device, "bfloat16")
    rng = np.random.default_rng(0)
    tiles = rng.standard_normal((n_images, 1, *tile), np.float32)
    return lambda: engine(tiles)


def training(
    settings: Settings, tile: Shape, n_images: int, device: torch.device
) -> Callable[[], object]:
    """A step, its samples drawn on the device."""
    learner = make_learner(build_network(settings.network), settings.training, device, "bfloat16")
    output = settings.network.footprint.output_shape(tile)
    noise = torch.randn(1, 1024, 1024, device=device)
    image = TrainingImage(
        "noise", noise, torch.stack([noise[0] > 0, noise[0] > -9, noise[0] > 0]).float()
    )

    def step() -> None:
        numbers = range(n_images)
        batch = draw_batch([image], numbers, tile, output, settings.augmentation, False, 0)
        train_step(learner, batch, 1e-3, 1, settings, ALONE)

    return step


def product(side: int, device: torch.device) -> Callable[[], object]:
    """Of two square matrices."""
    a, b = (torch.randn(side, side, device=device, dtype=torch.bfloat16) for _ in range(2))
    out = torch.empty_like(a)
    return lambda: torch.mm(a, b, out=out)


def median_s(work: Callable[[], object], n_rounds: int) -> float:
    """Seconds of a call: the median of some rounds, after one that does not count."""
    times = []
    for _ in range(n_rounds + 1):
        torch.cuda.synchronize()
        began = time.perf_counter()
        for _ in range(CALLS):
            work()
        torch.cuda.synchronize()
        times.append((time.perf_counter() - began) / CALLS)
    return sorted(times[1:])[n_rounds // 2]
