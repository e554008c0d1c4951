"""The demonstration: simulated cells -> train -> predict -> evaluate -> report."""

import shlex
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from biounet.api import train_dataset
from biounet.config import DEMO
from biounet.errors import InputError
from biounet.images.layouts.find import find_dataset
from biounet.images.reading import read_image
from biounet.images.writing import write_image
from biounet.learning.run_folder import Record
from biounet.learning.setup import Request
from biounet.metrics.matching import instance_scores, match_objects
from biounet.report import write_report
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
        out: a new folder; gets `train/` and `test/` (images and labels), `run/`, `predicted/`.
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
    matchings = []
    (out / "predicted").mkdir()
    for path in sorted((out / "test" / "images").iterdir()):
        labels = model.segment(path)
        write_image(out / "predicted" / f"{path.stem}_labels.tif", labels.astype(np.uint16), "YX")
        truth = np.asarray(read_image(out / "test" / "labels" / path.name).data)
        matchings.append(match_objects(labels, truth.astype(np.int32)))
    scores = instance_scores(matchings)
    return DemoResult(write_report(out / "run"), scores.pooled[0].ap)
