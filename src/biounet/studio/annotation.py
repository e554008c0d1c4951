"""The annotation of an image: what a person painted, on disk before a stroke is acknowledged.

The file holds 0 for background, the ids of cells, and NOT_ANNOTATED for the rest. While the rest
counts as background it is stored as 0, so that every program reads it so, and a second, hidden
file remembers which pixels nobody painted.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
from numpy.typing import NDArray

from biounet.errors import InputError
from biounet.images.atomic import cannot_write
from biounet.images.dataset import Source, read_raw_labels
from biounet.images.layouts.label_notes import LabelNotes, read_label_notes, write_label_notes
from biounet.images.writing import write_image
from biounet.studio.folder import ImageFolder, labels_path
from biounet.studio.patches import KEEP, LAST_ID, NOT_ANNOTATED, Patch

NOTES = LabelNotes(labels_are="instances", ignore_value=NOT_ANNOTATED)

Stamp = tuple[int, int]


class OutdatedError(Exception):
    """Someone else changed the annotation since the version that a change was made on."""


@dataclass
class Annotation:
    """The labels of one image, as they are on disk.

    Attributes:
        path: the label file; it appears with the first stroke.
        labels: (Y, X) uint16.
        rest_is_background: whether unpainted pixels count as background.
        version: grows with every change.
        stamp: time and size of the file when it was read or written last.
        lock: held while it is read or changed.
    """

    path: Path
    labels: NDArray[np.uint16]
    rest_is_background: bool
    pixel_size_um: tuple[float, ...] | None
    version: int = 1
    stamp: Stamp | None = None
    lock: Lock = field(default_factory=Lock)

    @property
    def rest_path(self) -> Path:
        """Where the unpainted pixels are remembered while they count as background."""
        return self.path.with_name(f".{self.path.stem}_rest.tif")


def open_annotation(
    folder: ImageFolder,
    name: str,
    shape: tuple[int, int],
    pixel_size_um: tuple[float, ...] | None,
) -> Annotation:
    """The annotation of an image, empty where there is none yet.

    Raises:
        InputError: a label file that does not fit the image or the studio.
    """
    annotation = Annotation(
        labels_path(folder, name),
        np.full(shape, NOT_ANNOTATED, np.uint16),
        False,
        pixel_size_um,
    )
    _read(annotation)
    return annotation


def current(annotation: Annotation) -> Annotation:
    """The annotation, read again if another program changed its file. Call it with the lock."""
    if annotation.stamp is not None and _stamp(annotation.path) not in (annotation.stamp, None):
        _read(annotation)
        annotation.version += 1
    return annotation


def apply_patches(annotation: Annotation, patches: Sequence[Patch], version: int) -> int:
    """Paint and save; the new version. Nothing changes when saving fails.

    Raises:
        OutdatedError: the annotation is no longer that version.
        InputError: it cannot be written.
    """

    def paint() -> Callable[[], None]:
        before = []
        for patch in patches:
            part = annotation.labels[patch.box]
            before.append(part.copy())
            np.copyto(part, patch.values, where=patch.values != KEEP)

        def undo() -> None:
            for patch, old in zip(reversed(patches), reversed(before), strict=True):
                annotation.labels[patch.box] = old

        return undo

    return _change(annotation, version, paint)


def set_rest(annotation: Annotation, is_background: bool, version: int) -> int:
    """Make unpainted pixels count as background, or no longer; the new version.

    Raises:
        OutdatedError: the annotation is no longer that version.
        InputError: it cannot be written.
    """

    def switch() -> Callable[[], None]:
        old, was = annotation.labels.copy(), annotation.rest_is_background
        if is_background and not was:
            rest = annotation.labels == NOT_ANNOTATED
            _make_folder(annotation)
            write_image(annotation.rest_path, rest, "YX", compression="zlib")
            annotation.labels[rest] = 0
        elif was and not is_background:
            annotation.labels[_rest(annotation) & (annotation.labels == 0)] = NOT_ANNOTATED
        annotation.rest_is_background = is_background

        def undo() -> None:
            annotation.labels[:] = old
            annotation.rest_is_background = was

        return undo

    new_version = _change(annotation, version, switch)
    if not is_background:
        annotation.rest_path.unlink(missing_ok=True)
    return new_version


def is_trainable(labels: NDArray[Any]) -> tuple[bool, bool]:
    """Whether there is a cell, and whether there is background."""
    return bool(((labels > 0) & (labels <= LAST_ID)).any()), bool((labels == 0).any())


def _change(annotation: Annotation, version: int, change: Callable[[], Callable[[], None]]) -> int:
    with annotation.lock:
        if current(annotation).version != version:
            raise OutdatedError
        undo = change()
        try:
            _save(annotation)
        except BaseException:
            undo()
            raise
        annotation.version += 1
        return annotation.version


def _save(annotation: Annotation) -> None:
    _make_folder(annotation)
    write_image(
        annotation.path, annotation.labels, "YX", annotation.pixel_size_um, compression="zlib"
    )
    annotation.stamp = _stamp(annotation.path)


def _make_folder(annotation: Annotation) -> None:
    """labels/ and what it says of itself; never the image folder, should that be gone."""
    folder = annotation.path.parent
    try:
        folder.mkdir(exist_ok=True)
    except OSError as error:
        raise cannot_write(folder, error) from error
    if read_label_notes(folder) is None:
        write_label_notes(folder, NOTES)


def _read(annotation: Annotation) -> None:
    path, shape = annotation.path, annotation.labels.shape
    if not path.exists():
        return
    stamp = _stamp(path)
    notes = read_label_notes(path.parent)
    if notes not in (None, NOTES):
        raise InputError(
            f"labels that mean something else ({path.parent / 'biounet.json'})",
            f"instances, with {NOT_ANNOTATED} for not annotated",
            "keep them in another folder",
        )
    raw = read_raw_labels(Source(path.name, path), "YX", NOT_ANNOTATED)
    if raw.shape != shape:
        raise InputError(
            f"labels of {' x '.join(map(str, raw.shape))} px: {path.name}",
            f"the image's {shape[0]} x {shape[1]} px",
            "take the label file out of the folder",
        )
    wrong = raw > LAST_ID if notes is None else (raw > LAST_ID) & (raw != NOT_ANNOTATED)
    if wrong.any():
        raise InputError(
            f"the label value {raw[wrong].max()} in {path.name}",
            f"ids up to {LAST_ID}",
            "number the cells from 1 on",
        )
    annotation.labels = raw.astype(np.uint16)
    # a switch that was never acknowledged leaves its file behind, and pixels not annotated
    unpainted = bool((raw == NOT_ANNOTATED).any())
    annotation.rest_is_background = annotation.rest_path.exists() and not unpainted
    annotation.stamp = stamp


def _rest(annotation: Annotation) -> NDArray[np.bool_]:
    path = annotation.rest_path
    rest = read_raw_labels(Source(path.name, path), "YX", None) > 0
    if rest.shape != annotation.labels.shape:
        raise InputError(f"{path} of another size", "the image's size", "remove it")
    return np.asarray(rest)


def _stamp(path: Path) -> Stamp | None:
    try:
        stat = path.stat()
    except OSError:
        return None
    return stat.st_mtime_ns, stat.st_size
