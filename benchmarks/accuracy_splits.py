"""The divisions of the public sets that accuracy is measured on, as folders of files.

Choices are made on `choose`: a part of the images to train on, against others of them. `report` is
what the tables of `biounet reproduce` are divided into, its test part touched once a figure; `all`
trains on every image, for networks that are shipped, and scores none.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np

from biounet.errors import InputError
from biounet.images.atomic import written_whole
from biounet.images.dataset import Annotated, DataSet, Item, read_item
from biounet.images.layouts.cell_tracking import Truth
from biounet.images.layouts.find import find_dataset
from biounet.images.writing import write_image
from biounet.reproduce.tasks import (
    NUCLEI_SEED,
    TASKS,
    Division,
    Kind,
    Task,
    divide_blocks,
)

SetName = Literal["isbi2012", "dic-hela", "usiigaci", "nuclei"]
Part = Literal["choose", "report", "all"]

LAST_CHOICE_FRAME = 23
"""Of DIC-C2DH-HeLa: choices are made with frames up to this one, against the gold ones after."""

N_CHOICE_NUCLEI = 30

UNKNOWN = 65535
"""Label of pixels that nobody annotated."""


@dataclass(frozen=True)
class Split:
    """Images to learn from, images to score on, and both in words."""

    task: Task
    training: DataSet
    scored: tuple[Item, ...]
    trained_on: str
    measured_on: str


def plan_split(name: SetName, data: Path, part: Part, truth: Truth) -> Split:
    """Divide a set.

    Args:
        truth: of the training part, where there are several; scores are always by gold truth.
    """
    task = TASKS[name]
    gold = find_dataset([data], labels_are=task.labels_are)
    every = gold
    if truth != "gold":
        every = find_dataset([data], labels_are=task.labels_are, truth=truth)
    if part == "all":
        trained_on = f"all {len(every.items)} images" + ("" if truth == "gold" else f" ({truth})")
        return Split(task, every, (), trained_on, "nothing")
    division = task.divide(gold.items)
    if part == "choose":
        division = _choice(task, division)
    training = division.training
    trained_on = division.trained_on
    if truth != "gold":
        last = training[-1].name
        training = tuple(item for item in every.items if item.name <= last)
        trained_on = f"frames up to {last} ({len(training)}, {truth} truth)"
    return Split(
        task, replace(every, items=training), division.scored, trained_on, division.measured_on
    )


def _choice(task: Task, division: Division) -> Division:
    """The training part of a division, divided once more."""
    items = division.training
    match task.name:
        case "isbi2012":
            return divide_blocks(items, len(items) * 4 // 5, "slices")
        case "usiigaci":
            return divide_blocks(items, len(items) * 7 // 10, "fields")
        case "dic-hela":
            early = [int(item.name[-3:]) <= LAST_CHOICE_FRAME for item in items]
            return divide_blocks(items, sum(early), "gold frames")
        case "nuclei":
            order = np.random.default_rng(NUCLEI_SEED).permutation(len(items))
            mixed = tuple(items[k] for k in order)
            first, second = mixed[:N_CHOICE_NUCLEI], mixed[N_CHOICE_NUCLEI:]
            words = f"of the {len(items)} training images, drawn with seed {NUCLEI_SEED}"
            return Division(first, second, f"{len(first)} {words}", f"the other {len(second)}")
        case _:
            raise InputError(f"the set {task.name}", "one with a choice part", "choose another")


def few_images(split: Split, n_images: int, seed: int) -> Split:
    """The split with `n_images` to learn from: drawn with the seed, fewer among more."""
    items = split.training.items
    if not 0 < n_images <= len(items):
        raise InputError(
            f"{n_images} images to learn from", f"1 to {len(items)}", "ask for as many as there are"
        )
    order = np.random.default_rng(seed).permutation(len(items))[:n_images]
    chosen = tuple(items[k] for k in sorted(order))
    names = ", ".join(item.name for item in chosen)
    return replace(
        split,
        training=replace(split.training, items=chosen),
        trained_on=f"{n_images} of {split.trained_on}: {names}",
    )


def write_training(split: Split, folder: Path) -> None:
    """Write the images to learn from as `images/` and `labels/`; once."""
    _write_once(folder, split.training.items, lambda at, item, _: _write_pair(at, item, UNKNOWN))


def write_scored(split: Split, folder: Path) -> None:
    """Write the images to score on in the layout that their metric wants; once.

    SEG: `01/t000.tif` with `01_GT/SEG/`; else `images/` and `labels/`.
    """
    kind: Kind = split.task.kind

    def write(at: Path, item: Item, number: int) -> None:
        if kind == "seg":
            frame = _frame(item.name, number)
            image = read_item(item)
            _write_image(image, at / "01" / f"t{frame:03d}.tif")
            _write_labels(image, at / "01_GT" / "SEG" / f"man_seg{frame:03d}.tif", 0)
        else:
            _write_pair(at, item, 0)

    _write_once(folder, split.scored, write)


def _frame(name: str, number: int) -> int:
    """The number of a frame of a film (01/t039), else where it stands."""
    stem = name.split("/")[-1]
    return int(stem[1:]) if stem[:1] == "t" and stem[1:].isdecimal() else number


def _write_once(
    folder: Path, items: tuple[Item, ...], write: Callable[[Path, Item, int], None]
) -> None:
    names = [item.name for item in items]
    listed = folder / "names.json"
    if folder.exists():
        if json.loads(listed.read_text()) != names:
            raise InputError(f"other images in {folder}", "those of this split", "remove it")
        return
    folder.parent.mkdir(parents=True, exist_ok=True)
    with written_whole(folder) as temporary:
        temporary.mkdir()
        for number, item in enumerate(items):
            write(temporary, item, number)
        (temporary / "names.json").write_text(json.dumps(names, indent=1) + "\n")


def _write_pair(folder: Path, item: Item, unknown: int) -> None:
    image = read_item(item)
    name = f"{item.name.replace('/', '_')}.tif"
    _write_image(image, folder / "images" / name)
    _write_labels(image, folder / "labels" / name, unknown)


def _write_image(image: Annotated, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    one = len(image.image) == 1
    write_image(path, image.image[0] if one else image.image, "YX" if one else "CYX")


def _write_labels(image: Annotated, path: Path, unknown: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    labels = image.labels.astype(np.uint16)
    if image.annotated is not None:
        labels[~image.annotated] = unknown
    write_image(path, labels, "YX")
