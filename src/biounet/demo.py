"""The demonstration: simulated cells -> train -> predict -> evaluate -> report."""

import shlex
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import reduce
from operator import add
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from biounet.api import train_dataset
from biounet.config import DEMO
from biounet.errors import InputError
from biounet.images.layouts.find import find_dataset
from biounet.images.reading import read_image
from biounet.images.writing import write_image
from biounet.learning.run_folder import Record, RunFolder
from biounet.learning.setup import Request
from biounet.metrics.counts import Counts
from biounet.metrics.matching import Matching, instance_scores, match_objects
from biounet.report import Compared, EvaluatedImage, write_report
from biounet.report.evaluation_report import images_section, worst_first
from biounet.report.page import Number, write_page
from biounet.report.run_report import run_page
from biounet.simulate import simulate_cells


@dataclass(frozen=True)
class DemoResult:
    """The page to look at, and the average precision at IoU 0.5 on images not trained on."""

    report: Path
    ap50: float


def run_demo(
    out: Path, minutes: float | None, started: float, on_record: Callable[[Record], None]
) -> DemoResult:
    """Simulate images, train on some, segment and score the others, write a page.

    Args:
        out: a new folder; gets `train/` and `test/` (images and labels), `run/`, `predicted/` and
            `report.html`.
        minutes: for the training; None: the demonstration's own.
        started: `time.monotonic()` at the start of the command.
    """
    if out.exists():
        raise InputError(f"{out}, which exists", "a new folder", "choose another with --out")
    rng = np.random.default_rng(DEMO.seed)
    for part, n_images in (("train", DEMO.n_training), ("test", DEMO.n_test)):
        for number in range(n_images):
            image, labels = simulate_cells(DEMO.kind, (DEMO.side_px, DEMO.side_px), rng)
            for folder, array in (("images", image), ("labels", labels.astype(np.uint16))):
                path = out / part / folder / f"cells{number:02d}.tif"
                path.parent.mkdir(parents=True, exist_ok=True)
                write_image(path, array, "YX")
    request = Request(
        preset="fast",
        said={"training": {"minutes": minutes or DEMO.minutes}},
        device="auto",
        start_from=None,
        started=started,
        command=shlex.join(["biounet", "demo", "--out", str(out)]),
    )
    model = train_dataset(find_dataset([out / "train"]), request, out / "run", False, on_record)
    write_report(out / "run")
    (out / "predicted").mkdir()
    images, matchings = [], []
    for path in sorted((out / "test" / "images").iterdir()):
        labels = model.segment(path)
        write_image(out / "predicted" / f"{path.stem}_labels.tif", labels.astype(np.uint16), "YX")
        truth = np.asarray(read_image(out / "test" / "labels" / path.name).data).astype(np.int32)
        matching = match_objects(labels, truth)
        matchings.append(matching)
        images.append(_evaluated(path, matching, labels, truth))
    ap50 = instance_scores(matchings).pooled[0].ap
    at_half = reduce(add, (matching[0].counts for matching in matchings))
    return DemoResult(_write_page(out, images, at_half), ap50)


def _evaluated(
    path: Path, matching: Sequence[Matching], labels: NDArray[Any], truth: NDArray[Any]
) -> EvaluatedImage:
    counts = matching[0].counts
    image = np.asarray(read_image(path).data)[None]
    return EvaluatedImage(
        path.stem,
        {"AP50": counts.jaccard, "F1 at IoU 0.5": counts.f_score},
        lambda: Compared(labels, truth, image),
    )


def _write_page(out: Path, images: Sequence[EvaluatedImage], at_half: Counts) -> Path:
    """The page about the test images, followed by that of the run; its path."""
    page = run_page(RunFolder(out / "run"))
    numbers = (
        Number(
            f"{at_half.jaccard:.2f}",
            "AP50 on test images",
            "found / (found + missed + extra), at IoU 0.5; 1 is perfect",
        ),
        Number(f"{at_half.tp} of {at_half.tp + at_half.fn}", "cells found", f"{at_half.fp} extra"),
    )
    tested = images_section(
        worst_first(images),
        "instances",
        "On test images",
        "The network never saw these images, and nothing was tuned on them. The worst come first.",
    )
    tested = replace(tested, name="test")
    whole = replace(
        page,
        kicker="Demonstration",
        title="Touching cells, simulated",
        subtitle=f"{DEMO.n_training} images with their truth to learn from; {DEMO.n_test} others, "
        f"which the network never saw, to segment. {page.subtitle}",
        numbers=(*numbers, *page.numbers[-2:]),
        command=f"biounet predict {shlex.quote(str(out / 'run'))} IMAGES --out predicted",
        sections=(tested, *page.sections),
    )
    return write_page(whole, out / "report.html")
