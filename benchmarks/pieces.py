"""Processor seconds of the pieces, on one core: weight map, borders, a sample, a step, the metrics.

    OMP_NUM_THREADS=1 pytest benchmarks/pieces.py --benchmark-timer=time.process_time

Processor time hardly depends on what else the machine does. `benchmarks/speed` runs this too.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from scipy.spatial import cKDTree

from biounet.config import FAST, PAPER, merged, validated_settings
from biounet.learning.affinities import make_affinities
from biounet.learning.borders import separate_touching
from biounet.learning.memory import kept_memory
from biounet.learning.processes import ALONE
from biounet.learning.sampling import Batch, TrainingImage, draw_batch
from biounet.learning.step import make_learner, train_step
from biounet.learning.weight_map import border_weights
from biounet.metrics import evaluate_isbi2012, match_objects
from biounet.metrics.mismatches import classify
from biounet.metrics.warping import warp
from biounet.networks import build_network
from biounet.prediction.engines import choose_precision
from biounet.simulate import simulate_cells

Measure = Callable[..., None]


@pytest.fixture
def measure(benchmark: Any) -> Measure:
    """Measure some work: its name in the table, and the most seconds wanted of it."""
    torch.set_num_threads(1)

    def run(what: str, work: Callable[[], object], wanted_s: float | None = None) -> None:
        benchmark.extra_info.update(what=what, wanted_s=wanted_s)
        benchmark(work)

    return run


@pytest.mark.parametrize(("side_px", "n_cells", "wanted_s"), [(1024, 200, 0.5), (4096, 10_000, 15)])
def test_border_weights(measure: Measure, side_px: int, n_cells: int, wanted_s: float) -> None:
    labels, weights = cells(side_px, n_cells), PAPER.weights
    measure(
        f"border weights, {side_px} x {side_px}, {n_cells:,} cells",
        lambda: border_weights(labels, weights.border_weight, weights.border_sigma_px),
        wanted_s,
    )


def test_borders(measure: Measure) -> None:
    labels = cells(1024, 200)
    what = "borders between touching cells, 1024 x 1024"
    measure(what, lambda: separate_touching(labels, 1))


def test_sample(measure: Measure) -> None:
    images = [TrainingImage("one", torch.rand(1, 512, 512), torch.ones(3, 512, 512))]
    sides = PAPER.network.footprint.input_for((388, 388)), (388, 388)
    measure(
        "one augmented sample, 572 x 572",
        lambda: draw_batch(images, [0], *sides, PAPER.augmentation, False, 0),
    )


@pytest.mark.parametrize("pairs", [False, True], ids=["alone", "pairs"])
def test_step(measure: Measure, pairs: bool) -> None:
    settings = validated_settings(
        merged(FAST.model_dump(), {"network": {"first_stride": [2, 2], "depth": 3}})
    )
    shape = settings.network.footprint.input_for((388, 388))
    output = settings.network.footprint.output_shape(shape)
    objects = torch.from_numpy(cells(output[0], 100)).long()[None]
    batch = Batch(torch.rand(1, 1, *shape), (objects > 0).long(), torch.ones(1, *output), objects)
    cpu, beside = torch.device("cpu"), make_affinities(settings) if pairs else None
    network, precision = build_network(settings.network), choose_precision("auto", cpu)
    learner = make_learner(network, settings.training, cpu, precision, beside)
    with kept_memory():
        measure(
            f"a step of `fast`, 388 x 388, {'with' if pairs else 'without'} pairs of pixels",
            lambda: train_step(learner, batch, 1e-3, 1, settings, ALONE),
        )


def test_warping_error(measure: Measure) -> None:
    membranes, noisy = membranes_found()
    measure(
        "warping error, 512 x 512, one threshold",
        lambda: classify(warp(membranes, noisy, 0.5), noisy > 0.5, membranes),
    )


def test_isbi2012(measure: Measure) -> None:
    membranes, noisy = membranes_found()
    measure(
        "the five ISBI 2012 metrics, one slice, all thresholds",
        lambda: evaluate_isbi2012(noisy[None], membranes[None], workers=1),
        6,
    )


def test_matching(measure: Measure) -> None:
    labels = cells(1024, 200)
    what = "matching at 10 thresholds, 1024 x 1024, 200 cells"
    measure(what, lambda: match_objects(labels, labels))


def cells(side_px: int, n_cells: int) -> np.ndarray:
    """Labels of about `n_cells` cells that tile an image, membranes between them."""
    points = np.random.default_rng(0).uniform(0, side_px, (n_cells, 2))
    grid = np.stack(np.mgrid[:side_px, :side_px], axis=-1).reshape(-1, 2)
    distance, nearest = cKDTree(points).query(grid, k=2)
    labels = np.where(distance[:, 1] - distance[:, 0] > 3, nearest[:, 0] + 1, 0)
    return labels.reshape(side_px, side_px).astype(np.int32)


def membranes_found() -> tuple[np.ndarray, np.ndarray]:
    """True membranes (512, 512), and a probability of them with noise."""
    rng = np.random.default_rng(0)
    _, truth = simulate_cells("membranes", (512, 512), rng)
    noisy = np.clip((truth > 0) * 0.8 + rng.normal(0, 0.1, truth.shape), 0, 1)
    return truth > 0, noisy.astype(np.float32)
