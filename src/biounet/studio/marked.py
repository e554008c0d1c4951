"""What is marked in a folder, and what a training learns from it."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from biounet.images.arrays import dataset_from_arrays
from biounet.images.dataset import DataSet
from biounet.model import ModelFile
from biounet.prediction.engines import choose_device
from biounet.studio.patches import NOT_ANNOTATED

CPU_WIDTH, CPU_PATCH_PX, CPU_LEARNING_RATE = 16, 212, 5e-3
"""A person waits for the first outlines, and on a CPU the preset's width and patches make so few
steps a minute that there are none: here a step costs about an eighth and goes further. (300 steps
on 23 painted cells of a simulated image, AP50 over all 231: 0.10 at the preset's rate, 0.44.)"""


@dataclass(frozen=True)
class Marked:
    """The annotated images of a folder.

    Attributes:
        images, labels: files.
        pages: label file and index of every plane that something is marked in; of an image that
            is no stack, the index is ().
    """

    images: tuple[Path, ...]
    labels: tuple[Path, ...]
    pages: frozenset[tuple[Path, tuple[int, ...]]]


def dataset_of(marked: Marked) -> DataSet:
    """What is marked, plane by plane."""
    dataset = dataset_from_arrays(
        list(marked.images), list(marked.labels), "instances", NOT_ANNOTATED, "YX"
    )
    items = tuple(
        item
        for item in dataset.items
        for label in item.labels
        if label.path is not None and (label.path, label.page) in marked.pages
    )
    return replace(dataset, items=items)


def settings_for(dataset: DataSet, minutes: float, start_from: ModelFile | None) -> dict[str, Any]:
    """What a training in the studio asks for: all that is painted is learned from.

    Args:
        start_from: whose network is kept; None: it is new.
    """
    training: dict[str, Any] = {"minutes": minutes, "validation_fraction": 0.0}
    if choose_device("auto").type != "cpu":
        return {"training": training}
    training["patch_px"] = min(CPU_PATCH_PX, *(min(item.shape) for item in dataset.items))
    if start_from is None:
        training["learning_rate"] = CPU_LEARNING_RATE
        return {"training": training, "network": {"width": CPU_WIDTH}}
    if start_from.settings.network.width == CPU_WIDTH:  # it began here
        training["learning_rate"] = CPU_LEARNING_RATE
    return {"training": training}
