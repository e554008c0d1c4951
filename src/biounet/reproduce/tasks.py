"""The six tasks: which data, how it is divided, and what is measured.

Neighbouring slices of a stack and frames of a film look alike, so they are never divided at
random: a task trains on one block or sequence, and is scored on another.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from biounet.errors import InputError
from biounet.images.dataset import Item
from biounet.images.labels import LabelKind
from biounet.reproduce.paper import TABLE_1, TABLE_2, PaperTable

TaskName = Literal["isbi2012", "dic-hela", "phc-u373", "usiigaci", "nuclei", "lungs"]
Kind = Literal["isbi2012", "seg", "matching", "overlap"]
Items = tuple[Item, ...]


@dataclass(frozen=True)
class Division:
    """The images to learn from and those to score on, and both in words."""

    training: Items
    scored: Items
    trained_on: str
    measured_on: str


@dataclass(frozen=True)
class Measure:
    """A score: its name in results, its column, how it is printed, and which way is better."""

    key: str
    column: str
    digits: int = 4
    best: Literal["largest", "smallest"] = "largest"


@dataclass(frozen=True)
class Task:
    """What is reproduced.

    Attributes:
        title: for people.
        source: the data, as rows name it.
        labels_are: what its labels mean.
        kind: how it is scored.
        divide: its images, in the order of their names, into two parts.
        measures: its columns, the one that decides first.
        paper: the paper's table; None where the paper has none.
        many_colours: objects are drawn in colours of their own, or all in one.
    """

    name: TaskName
    title: str
    source: str
    labels_are: LabelKind
    kind: Kind
    divide: Callable[[Items], Division]
    measures: tuple[Measure, ...]
    paper: PaperTable | None = None
    many_colours: bool = True


def divide_blocks(items: Items, n_training: int, what: str) -> Division:
    """The first `n_training` and the others, in order."""
    if not 0 < n_training < len(items):
        raise InputError(
            f"{len(items)} annotated {what}", "enough to train on some and score others", "add some"
        )
    training, scored = items[:n_training], items[n_training:]
    return Division(
        training,
        scored,
        f"{what} {_span(training)}",
        f"{what} {_span(scored)}",
    )


def _span(items: Sequence[Item]) -> str:
    return f"{items[0].name} to {items[-1].name} ({len(items)})"


def divide_isbi2012(items: Items) -> Division:
    """The first two thirds of the public training stack (slices 0 to 19), and the others."""
    return divide_blocks(items, len(items) * 2 // 3, "slices")


def divide_alternately(items: Items) -> Division:
    """Every other field of view, from the first; these are single fields, not a series.

    Usiigaci shows cells in two sizes, most of the small ones in its last fields: so both halves
    have both.
    """
    if len(items) < 2:
        raise InputError(f"{len(items)} annotated fields", "at least two", "add some")
    return Division(items[::2], items[1::2], _every_other(items[::2]), _every_other(items[1::2]))


def _every_other(items: Items) -> str:
    return f"every other field, {_span(items)}"


LAST_TRAINING_FRAME, FIRST_SCORED_FRAME = 31, 39
"""Of sequence 01 of DIC-C2DH-HeLa, where it is the only one: the gold frames between these
resemble those on either side, and are left out."""


def divide_sequences(items: Items) -> Division:
    """Sequence 01 and sequence 02 of a training set of the Cell Tracking Challenge."""
    sequences = {number: [i for i in items if i.name.startswith(number)] for number in ("01", "02")}
    if missing := [number for number, found in sequences.items() if not found]:
        raise InputError(
            f"no annotated frame of sequence {missing[0]}",
            "both sequences of the official training set (01, 01_GT, 02, 02_GT)",
            "unpack the whole archive of the Cell Tracking Challenge",
        )
    training, scored = map(tuple, sequences.values())
    return Division(
        training,
        scored,
        f"sequence 01 ({len(training)} gold frames)",
        f"sequence 02 ({len(scored)} gold frames); training used sequence 01",
    )


def divide_dic_hela(items: Items) -> Division:
    """By sequence; of a single sequence the first and the last gold frames."""
    if len({item.name.split("/")[0] for item in items}) > 1:
        return divide_sequences(items)
    numbers = [(int(re.sub(r"\D", "", item.name.split("/")[-1])), item) for item in items]
    training = tuple(item for number, item in numbers if number <= LAST_TRAINING_FRAME)
    scored = tuple(item for number, item in numbers if number >= FIRST_SCORED_FRAME)
    if not training or not scored:
        raise InputError(
            f"gold frames {', '.join(item.name for item in items)}",
            f"some up to {LAST_TRAINING_FRAME} and some from {FIRST_SCORED_FRAME} on",
            "give the sequence 01 of DIC-C2DH-HeLa",
        )
    names = [", ".join(i.name.split("/")[-1] for i in part) for part in (training, scored)]
    return Division(
        training,
        scored,
        f"gold frames {names[0]} of sequence 01",
        f"gold frames {names[1]} (partly annotated) of sequence 01",
    )


N_TRAINING_NUCLEI, NUCLEI_SEED = 50, 0


def divide_nuclei(items: Items) -> Division:
    """50 images, drawn at random with a fixed seed; these are single fields, not a series."""
    if len(items) <= N_TRAINING_NUCLEI:
        raise InputError(
            f"{len(items)} annotated images", f"more than {N_TRAINING_NUCLEI}", "add some"
        )
    drawn = np.random.default_rng(NUCLEI_SEED).permutation(len(items))[:N_TRAINING_NUCLEI]
    chosen = set(drawn.tolist())
    scored = tuple(item for k, item in enumerate(items) if k not in chosen)
    return Division(
        tuple(item for k, item in enumerate(items) if k in chosen),
        scored,
        f"{N_TRAINING_NUCLEI} of {len(items)} images, drawn with seed {NUCLEI_SEED}",
        f"the other {len(scored)} of {len(items)} images",
    )


def divide_lungs(items: Items) -> Division:
    """The first two thirds of the slices and the others; no patient (ID_…) is in both."""
    cut = len(items) * 2 // 3
    patients = [patient_of(item.name) for item in items]
    while 0 < cut < len(items) and patients[cut] is not None and patients[cut] == patients[cut - 1]:
        cut += 1
    division = divide_blocks(items, cut, "slices")
    known = "other patients" if patients[0] is not None else "patients not known"
    return replace(division, measured_on=f"{division.measured_on} ({known})")


def patient_of(name: str) -> str | None:
    """The patient in the name of a slice (ID_0001_Z_0142); None where it names none."""
    match = re.match(r"(ID_\d+)", name)
    return None if match is None else match.group(1)


_ISBI2012 = (
    # first, as on the challenge's later board: the least warping error of a poor prediction is that
    # of the threshold above which nothing is left of it
    Measure("v_rand", "V_Rand"),
    Measure("warping_error", "Warping Error", 6, "smallest"),
    Measure("rand_error", "Rand Error", 4, "smallest"),
    Measure("pixel_error", "Pixel Error", 4, "smallest"),
    Measure("v_info", "V_Info"),
)

TASKS: dict[TaskName, Task] = {
    task.name: task
    for task in (
        Task(
            "isbi2012",
            "Neuronal membranes in electron microscopy (ISBI 2012)",
            "the public training stack",
            "mask",
            "isbi2012",
            divide_isbi2012,
            _ISBI2012,
            TABLE_1,
        ),
        Task(
            "dic-hela",
            "HeLa cells in differential interference contrast (DIC-C2DH-HeLa)",
            "the public training set DIC-C2DH-HeLa",
            "instances",
            "seg",
            divide_dic_hela,
            (Measure("seg", "DIC-HeLa"),),
            TABLE_2,
        ),
        Task(
            "phc-u373",
            "U373 cells in phase contrast (PhC-C2DH-U373)",
            "the public training set PhC-C2DH-U373",
            "instances",
            "seg",
            divide_sequences,
            (Measure("seg", "PhC-U373"),),
            TABLE_2,
            many_colours=False,
        ),
        Task(
            "usiigaci",
            "Cells in phase contrast (Usiigaci)",
            "Usiigaci (not the paper's data)",
            "instances",
            "seg",
            divide_alternately,
            (Measure("seg", "Usiigaci (SEG)"),),
            TABLE_2,
            many_colours=False,
        ),
        Task(
            "nuclei",
            "Nuclei in fluorescence (BBBC038, 2018 Data Science Bowl)",
            "BBBC038 (fluorescence)",
            "instances",
            "matching",
            divide_nuclei,
            (
                Measure("ap50", "AP50"),
                Measure("f1_50", "F1 at IoU 0.5"),
                Measure("ap75", "AP75"),
                Measure("mean_ap", "Mean AP (0.5 to 0.95)"),
            ),
        ),
        Task(
            "lungs",
            "Lungs in computed tomography",
            "the data given",
            "mask",
            "overlap",
            divide_lungs,
            (
                Measure("dice", "Dice"),
                Measure("iou", "IoU"),
                Measure("area_error", "Area error", 4, "smallest"),
            ),
            many_colours=False,
        ),
    )
}
