"""Find annotated data by looking at folders and file names."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from biounet.errors import InputError
from biounet.images.dataset import DataSet, SpatialAxes
from biounet.images.labels import LabelKind
from biounet.images.layouts.assembly import Found, assemble, join
from biounet.images.layouts.cell_tracking import Truth, find_sequences, pairs_of_sequences
from biounet.images.layouts.folders import (
    IMAGE_FOLDERS,
    LABEL_FOLDERS,
    child_folders,
    find_in_folder,
    find_label_of,
    find_two,
    named_like_labels,
)
from biounet.images.layouts.matching import has_label_name
from biounet.images.layouts.nnunet import find_nnunet, is_nnunet
from biounet.images.reading import is_image

_TRAINING_FOLDERS = ("train", "training")


def find_dataset(
    sources: Sequence[Path] = (),
    images: Path | None = None,
    labels: Path | None = None,
    labels_are: LabelKind | None = None,
    ignore_value: int | None = None,
    truth: Truth = "gold",
    axes: SpatialAxes | None = None,
) -> DataSet:
    """Find the annotated images in folders or files, and decide what they are.

    `sources`: a folder of any layout that is understood, several of them, an image with its label
    beside it, or an image and its label (files or folders). `images` and `labels` name the two
    folders or files outright. `labels_are`, `ignore_value` and `axes` override what looking would
    decide; `truth` chooses among the truths of the Cell Tracking Challenge.

    Raises InputError for whatever is missing, unreadable or does not fit together.
    """
    if images is None and labels is None:
        found = join(_find([Path(source) for source in sources], truth))
    elif images is None or labels is None or sources:
        raise InputError(
            "only a part of: images and labels" if not sources else "two ways to name the data",
            "a folder that holds both, or a folder of images and one of labels",
            "give --images together with --labels and nothing else, or one folder",
        )
    else:
        found = find_two(Path(images), Path(labels))
    return assemble(found, labels_are, ignore_value, axes)


def _find(sources: list[Path], truth: Truth) -> list[Found]:
    if not sources:
        raise InputError("no data", "a folder of images and labels", "give its path")
    for source in sources:
        if not source.exists():
            raise InputError(f"no file or folder {source}", "annotated images", "check the path")
    if len(sources) == 2 and not any(map(_is_whole, sources)):
        first, second = sources
        if named_like_labels(first) and not named_like_labels(second):
            first, second = second, first
        return [find_two(first, second)]
    return [_find_one(source, truth) for source in sources]


def _is_whole(source: Path) -> bool:
    """Whether a folder holds images and labels both."""
    if is_image(source) or source.is_file():
        return False
    if is_nnunet(source) or find_sequences(source) or child_folders(source, LABEL_FOLDERS):
        return True
    files = [path for path in source.iterdir() if is_image(path)]
    return len({has_label_name(path) for path in files}) == 2


def _find_one(source: Path, truth: Truth) -> Found:
    if is_image(source) or source.is_file():
        return find_label_of(source)
    if is_nnunet(source):
        return find_nnunet(source)
    sequences = find_sequences(source)
    if sequences:
        return pairs_of_sequences(sequences, truth)
    training = child_folders(source, _TRAINING_FOLDERS)
    if len(training) == 1 and not child_folders(source, IMAGE_FOLDERS + LABEL_FOLDERS):
        found = _find_one(training[0], truth)
        return replace(found, notes=(f"taken from {training[0].name}/", *found.notes))
    return find_in_folder(source)
