"""The demonstration: simulated cells, or a real set -> train -> predict -> evaluate -> report."""

import shlex
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import reduce
from operator import add
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from biounet.api import train_dataset
from biounet.config import DEMO
from biounet.errors import InputError
from biounet.images.dataset import DataSet, read_item
from biounet.images.layouts.find import find_dataset
from biounet.images.reading import read_image
from biounet.images.writing import write_image
from biounet.learning.run_folder import Record, RunFolder
from biounet.learning.setup import Request
from biounet.metrics.counts import Counts
from biounet.metrics.matching import Matching, instance_scores, match_objects
from biounet.prediction.jobs.outputs import write_labels
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


@dataclass(frozen=True)
class HeldOut:
    """An image that the network never sees: its file, its objects, where these are known."""

    path: Path
    truth: NDArray[np.int32]
    annotated: NDArray[np.bool_] | None = None


def run_demo(
    out: Path,
    minutes: float | None,
    started: float,
    on_record: Callable[[Record], None],
    real: Path | None = None,
) -> DemoResult:
    """Train on some images, segment and score others, write a page.

    Args:
        out: a new folder; gets `test/` (images and labels; of simulated ones also `train/`),
            `run/`, `predicted/` and `report.html`.
        minutes: for the training; None: the demonstration's own.
        started: `time.monotonic()` at the start of the command.
        real: a folder of annotated images, whose last third is held out, or its other sequences;
            None: simulated cells.

    Raises:
        InputError: a folder that exists, or images that cannot be divided.
    """
    if out.exists():
        raise InputError(f"{out}, which exists", "a new folder", "choose another with --out")
    if real is None:
        training, held_out = _simulated(out)
        title, command = "Touching cells, simulated", ["biounet", "demo", "--out", str(out)]
    else:
        training, held_out = _divided(find_dataset([real]), out / "test")
        title = real.resolve().name
        command = ["biounet", "demo", "--real", str(real), "--out", str(out)]
    usual = DEMO.minutes if real is None else DEMO.real_minutes
    request = Request(
        preset="fast",
        said={"training": {"minutes": minutes or usual}},
        device="auto",
        start_from=None,
        started=started,
        command=shlex.join(command),
    )
    model = train_dataset(training, request, out / "run", False, on_record)
    write_report(out / "run")
    (out / "predicted").mkdir()
    images, matchings = [], []
    for image in held_out:
        labels = model.segment(image.path)
        name = f"{image.path.stem}_labels.tif"
        write_labels(out / "predicted" / name, labels, "ZYX"[-labels.ndim :], None)
        ignore = None if image.annotated is None else ~image.annotated
        matching = match_objects(labels, image.truth, ignore)
        matchings.append(matching)
        images.append(_evaluated(image, matching, labels))
    ap50 = instance_scores(matchings).pooled[0].ap
    at_half = reduce(add, (matching[0].counts for matching in matchings))
    told = f"{len(training.items)} images with their truth to learn from; {len(held_out)} others, "
    return DemoResult(_write_page(out, title, told, images, at_half), ap50)


def _simulated(out: Path) -> tuple[DataSet, list[HeldOut]]:
    """Simulated images to learn from, and others."""
    rng = np.random.default_rng(DEMO.seed)
    held_out = []
    for part, n_images in (("train", DEMO.n_training), ("test", DEMO.n_test)):
        for number in range(n_images):
            image, labels = simulate_cells(DEMO.kind, (DEMO.side_px, DEMO.side_px), rng)
            path = _write_pair(out / part, f"cells{number:02d}", image[None], labels)
            if part == "test":
                held_out.append(HeldOut(path, labels))
    return find_dataset([out / "train"]), held_out


def _divided(dataset: DataSet, folder: Path) -> tuple[DataSet, list[HeldOut]]:
    """The first sequence of a film or the first two thirds of other images, and what is left.

    Images that lie side by side look alike, so blocks are held out. The pieces of a mask are its
    objects.
    """
    if dataset.labels_are == "classes":
        raise InputError("class maps", "labels of objects, or masks", "name another set")
    items = dataset.items
    sequences = [item.name.rpartition("/")[0] for item in items]
    is_first = [sequence == sequences[0] for sequence in sequences]
    if all(is_first):
        is_first = [number < len(items) * 2 // 3 for number in range(len(items))]
    training = tuple(item for item, first in zip(items, is_first, strict=True) if first)
    if not training:
        raise InputError(f"{len(items)} annotated image", "two or more", "name another set")
    held_out = []
    for item in (item for item, first in zip(items, is_first, strict=True) if not first):
        read = read_item(item)
        labels = read.labels
        if dataset.labels_are == "mask":
            labels = np.asarray(ndimage.label(labels > 0)[0], np.int32)
        path = _write_pair(folder, item.name.replace("/", "_"), read.image, labels)
        held_out.append(HeldOut(path, labels, read.annotated))
    return replace(dataset, items=training), held_out


def _write_pair(folder: Path, name: str, image: NDArray[Any], labels: NDArray[np.int32]) -> Path:
    """Write an image (C, …) and its labels; the path of the image."""
    spatial = "ZYX"[-labels.ndim :]
    one = len(image) == 1
    for kind in ("images", "labels"):
        (folder / kind).mkdir(parents=True, exist_ok=True)
    path = folder / "images" / f"{name}.tif"
    write_image(path, image[0] if one else image, spatial if one else "C" + spatial)
    write_labels(folder / "labels" / f"{name}.tif", labels, spatial, None)
    return path


def _evaluated(
    held_out: HeldOut, matching: Sequence[Matching], labels: NDArray[Any]
) -> EvaluatedImage:
    counts = matching[0].counts
    opened = read_image(held_out.path)
    image = np.asarray(opened.data)
    image = image if "C" in opened.axes else image[None]
    return EvaluatedImage(
        held_out.path.stem,
        {"AP50": counts.jaccard, "F1 at IoU 0.5": counts.f_score},
        lambda: Compared(labels, held_out.truth, image, held_out.annotated),
    )


def _write_page(
    out: Path, title: str, told: str, images: Sequence[EvaluatedImage], at_half: Counts
) -> Path:
    """The page about the test images, followed by that of the run; its path."""
    page = run_page(RunFolder(out / "run"))
    numbers = (
        Number(
            f"{at_half.jaccard:.2f}",
            "AP50 on test images",
            "found / (found + missed + extra), at IoU 0.5; 1 is perfect",
        ),
        Number(
            f"{at_half.tp} of {at_half.tp + at_half.fn}", "objects found", f"{at_half.fp} extra"
        ),
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
        title=title,
        subtitle=f"{told}which the network never saw, to segment. {page.subtitle}",
        numbers=(*numbers, *page.numbers[-2:]),
        command=f"biounet predict {shlex.quote(str(out / 'run'))} IMAGES --out predicted",
        sections=(tested, *page.sections),
    )
    return write_page(whole, out / "report.html")
