"""Processor seconds of the small pieces, on one core: weight map, borders, a sample, the metrics.

    python benchmarks/pieces.py [--repeats 5] [--json]

Processor time hardly depends on what else the machine does. Prints a Markdown table: the median,
and the smallest and largest of the repeats; with --json, the same for `benchmarks/speed`.
"""

import argparse
import json
import os

os.environ["OMP_NUM_THREADS"] = "1"  # before numpy and torch are imported

import time
from collections.abc import Callable

import numpy as np
import torch

from biounet.config import PAPER, UNetSettings
from biounet.learning.borders import separate_touching
from biounet.learning.sampling import TrainingImage, draw_batch
from biounet.learning.weight_map import border_weights
from biounet.metrics import evaluate_isbi2012, match_objects
from biounet.metrics.mismatches import classify
from biounet.metrics.warping import warp
from biounet.simulate import simulate_cells

WEIGHTS = PAPER.weights

WANTED_S = {
    "border weights, 1024 x 1024, 200 cells": 0.5,
    "border weights, 4096 x 4096, 10,000 cells": 15,
    "the five ISBI 2012 metrics, one slice, all thresholds": 6,
}


def cells(side_px: int, n_cells: int) -> np.ndarray:
    """Labels of about `n_cells` cells that tile an image, membranes between them."""
    rng = np.random.default_rng(0)
    points = rng.uniform(0, side_px, (n_cells, 2))
    from scipy.spatial import cKDTree

    grid = np.stack(np.mgrid[:side_px, :side_px], axis=-1).reshape(-1, 2)
    distance, nearest = cKDTree(points).query(grid, k=2)
    labels = np.where(distance[:, 1] - distance[:, 0] > 3, nearest[:, 0] + 1, 0)
    return labels.reshape(side_px, side_px).astype(np.int32)


def seconds(piece: Callable[[], object], repeats: int) -> tuple[float, float, float]:
    """Median, smallest and largest processor time, after one call that compiles."""
    piece()
    taken = []
    for _ in range(repeats):
        began = time.process_time()
        piece()
        taken.append(time.process_time() - began)
    return float(np.median(taken)), min(taken), max(taken)


def as_record(name: str, piece: Callable[[], object], repeats: int) -> dict[str, object]:
    """The times of a piece, and what was wanted of it."""
    middle, least, most = (round(s, 4) for s in seconds(piece, repeats))
    times = {"median_s": middle, "least_s": least, "most_s": most, "n": repeats, "others": 0}
    return {**times, "wanted_s": WANTED_S.get(name)}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    repeats = arguments.repeats
    torch.set_num_threads(1)
    rng = np.random.default_rng(0)
    small, large = cells(1024, 200), cells(4096, 10_000)
    _, truth = simulate_cells("membranes", (512, 512), rng)
    noisy = np.clip((truth > 0) * 0.8 + rng.normal(0, 0.1, truth.shape), 0, 1).astype(np.float32)
    membranes = truth > 0
    image = TrainingImage("one", torch.rand(1, 512, 512), torch.ones(2, 512, 512))
    footprint = UNetSettings().footprint
    shapes = footprint.input_for((388, 388)), (388, 388)
    w0, sigma = WEIGHTS.border_weight, WEIGHTS.border_sigma_px
    pieces: dict[str, Callable[[], object]] = {
        "border weights, 1024 x 1024, 200 cells": lambda: border_weights(small, w0, sigma),
        "border weights, 4096 x 4096, 10,000 cells": lambda: border_weights(large, w0, sigma),
        "borders between touching cells, 1024 x 1024": lambda: separate_touching(small, 1),
        "one augmented sample, 572 x 572": lambda: draw_batch(
            [image], [0], *shapes, PAPER.augmentation, False, 0
        ),
        "warping error, 512 x 512, one threshold": lambda: classify(
            warp(membranes, noisy, 0.5), noisy > 0.5, membranes
        ),
        "the five ISBI 2012 metrics, one slice, all thresholds": lambda: evaluate_isbi2012(
            noisy[None], membranes[None], workers=1
        ),
        "matching at 10 thresholds, 1024 x 1024, 200 cells": lambda: match_objects(small, small),
    }
    if arguments.json:
        print(json.dumps({name: as_record(name, piece, repeats) for name, piece in pieces.items()}))
        return
    print("| piece | median s | smallest | largest |\n|---|---|---|---|")
    for name, piece in pieces.items():
        middle, least, most = seconds(piece, repeats)
        print(f"| {name} | {middle:.3f} | {least:.3f} | {most:.3f} |")


if __name__ == "__main__":
    main()
