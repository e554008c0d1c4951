"""Find annotated data by looking at folders and file names."""

from collections.abc import Sequence
from pathlib import Path

from biounet.errors import InputError
from biounet.images.assembly import Pair, assemble
from biounet.images.cell_tracking import Truth, find_sequences, pairs_of_sequence
from biounet.images.dataset import DataSet, Source, SpatialAxes
from biounet.images.labels import LabelKind
from biounet.images.matching import has_label_name, list_images, match_by_name
from biounet.images.reading import is_image

IMAGE_FOLDERS = ("images", "image", "imgs", "img", "raw", "input", "inputs")
LABEL_FOLDERS = (
    "labels",
    "label",
    "masks",
    "mask",
    "gt",
    "groundtruth",
    "ground_truth",
    "annotations",
    "targets",
)


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

    `sources`: one folder of any layout that is understood, several of them, or an image and its
    label (files or folders). `images` and `labels` name the two folders (or files) outright.
    `labels_are`, `ignore_value` and `axes` override what looking would decide; `truth` chooses
    among the truths of the Cell Tracking Challenge.

    Raises InputError for whatever does not fit together.
    """
    pairs: list[Pair] = []
    layouts: list[str] = []
    notes: list[str] = []
    for found, layout, said in _find(list(sources), images, labels, truth):
        pairs += found
        layouts.append(layout)
        notes += said
    return assemble(
        pairs,
        "; ".join(dict.fromkeys(layouts)),
        labels_are=labels_are,
        ignore_value=ignore_value,
        axes=axes,
        notes=notes,
    )


_Found = tuple[list[Pair], str, list[str]]


def _find(
    sources: list[Path], images: Path | None, labels: Path | None, truth: Truth
) -> list[_Found]:
    if images is not None or labels is not None:
        if images is None or labels is None or sources:
            raise InputError(
                "only a part of: images, labels",
                "both, and no other data",
                "give --images and --labels, or one folder that holds both",
            )
        return [_two(images, labels)]
    if not sources:
        raise InputError("no data", "a folder of images and labels", "give its path")
    for source in sources:
        if not source.exists():
            raise InputError(f"no file or folder {source}", "annotated images", "check the path")
    if len(sources) == 2 and (
        all(path.is_file() for path in sources) or not any(map(_has_layout, sources))
    ):
        first, second = sources
        if _named_like_labels(first) and not _named_like_labels(second):
            first, second = second, first
        return [_two(first, second)]
    return [_one(source, truth) for source in sources]


def _has_layout(folder: Path) -> bool:
    if find_sequences(folder) or any(_child(folder, names) for names in (LABEL_FOLDERS,)):
        return True
    return any(is_image(p) and has_label_name(p) for p in folder.iterdir())


def _named_like_labels(path: Path) -> bool:
    return path.name.lower() in LABEL_FOLDERS or (path.is_file() and has_label_name(path))


def _one(source: Path, truth: Truth) -> _Found:
    if source.is_file():
        files = list_images(source.parent)
        return _mixed(source.parent, files)
    sequences = find_sequences(source)
    if sequences:
        pairs: list[Pair] = []
        notes: list[str] = []
        for sequence in sequences:
            more, said = pairs_of_sequence(sequence, truth)
            pairs += more
            notes += said
        return pairs, "Cell Tracking Challenge", notes
    image_folders, label_folders = _child(source, IMAGE_FOLDERS), _child(source, LABEL_FOLDERS)
    if len(label_folders) > 1 or len(image_folders) > 1:
        several = label_folders if len(label_folders) > 1 else image_folders
        raise InputError(
            f"several folders that could be meant: {', '.join(p.name for p in several)}",
            "one folder of images and one of labels",
            "say which with --images and --labels",
        )
    if image_folders and label_folders:
        return _two(image_folders[0], label_folders[0])
    return _mixed(source, list_images(source))


def _child(folder: Path, names: Sequence[str]) -> list[Path]:
    if not folder.is_dir():
        return []
    return sorted(p for p in folder.iterdir() if p.is_dir() and p.name.lower() in names)


def _two(images: Path, labels: Path) -> _Found:
    """An image file and its label file, or a folder of each."""
    if images.is_file() and labels.is_file():
        return [_pair(images, labels)], "one image file and its label file", []
    matched, lone = match_by_name(list_images(images), list_images(labels))
    layout = f"two folders ({images.name}/ and {labels.name}/), matched by name"
    return [_pair(*pair) for pair in matched], layout, _without_label(lone)


def _mixed(folder: Path, files: Sequence[Path]) -> _Found:
    """Images and labels in one folder, told apart by the labels' endings."""
    labels = [path for path in files if has_label_name(path)]
    images = [path for path in files if not has_label_name(path)]
    if not labels or not images:
        raise InputError(
            f"{len(images)} images and {len(labels)} labels in {folder}",
            "images with labels: folders images/ and labels/, or x.png with x_mask.png",
            "arrange them so, or name the folders with --images and --labels",
        )
    matched, lone = match_by_name(images, labels)
    layout = "one folder, labels told by the ending of their names"
    return [_pair(*pair) for pair in matched], layout, _without_label(lone)


def _pair(image: Path, label: Path) -> Pair:
    return Pair(image.stem, (Source(image.name, image),), (Source(label.name, label),))


def _without_label(lone: Sequence[Path]) -> list[str]:
    if not lone:
        return []
    return [f"{len(lone)} images have no label and are left out (the first: {lone[0].name})"]
