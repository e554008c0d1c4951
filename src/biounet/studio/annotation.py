"""The annotation of an image: what a person painted, on disk before a stroke is acknowledged.

The file holds 0 for background, the ids of cells, and NOT_ANNOTATED for the rest. While the rest
counts as background it is stored as 0, so that every program reads it so, and a second, hidden
file remembers which pixels nobody painted.

A stack has one file of its shape. Every plane has a version of its own and counts its rest as
background or not, but ids are those of the whole stack: a cell may go on in the next plane.
"""

import math
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
from biounet.images.layouts.pages import in_words
from biounet.images.reading import read_header, read_image
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
        labels: uint16, in the order of the axes.
        axes: such as "YX" or "TZYX".
        versions: of each plane; grows with every change.
        rest: of each plane, whether unpainted pixels count as background.
        last_id: no cell ever had a larger one.
        stamp: time and size of the file when it was read or written last.
        lock: held while it is read or changed.
    """

    path: Path
    labels: NDArray[np.uint16]
    axes: str
    pixel_size_um: tuple[float, ...] | None
    versions: list[int]
    rest: list[bool]
    last_id: int = 0
    stamp: Stamp | None = None
    lock: Lock = field(default_factory=Lock)

    @property
    def planes(self) -> NDArray[np.uint16]:
        """(P, Y, X), the same memory as the labels."""
        return self.labels.reshape(-1, *self.labels.shape[-2:])

    @property
    def rest_path(self) -> Path:
        """Where the unpainted pixels are remembered while they count as background."""
        return self.path.with_name(f".{self.path.stem}_rest.tif")


def open_annotation(
    folder: ImageFolder,
    name: str,
    shape: tuple[int, ...],
    pixel_size_um: tuple[float, ...] | None,
    axes: str = "YX",
) -> Annotation:
    """The annotation of an image, empty where there is none yet.

    Raises:
        InputError: a label file that does not fit the image or the studio.
    """
    n_planes = math.prod(shape[:-2])
    annotation = Annotation(
        labels_path(folder, name),
        np.full(shape, NOT_ANNOTATED, np.uint16),
        axes,
        pixel_size_um,
        [1] * n_planes,
        [False] * n_planes,
    )
    _read(annotation)
    return annotation


def current(annotation: Annotation) -> Annotation:
    """The annotation, read again if another program changed its file. Call it with the lock."""
    if annotation.stamp is not None and _stamp(annotation.path) not in (annotation.stamp, None):
        _read(annotation)
        annotation.versions = [version + 1 for version in annotation.versions]
    return annotation


def apply_patches(
    annotation: Annotation,
    patches: Sequence[Patch],
    version: int,
    plane: int = 0,
    known_id: int | None = None,
) -> int:
    """Paint a plane and save; its new version. Nothing changes when saving fails.

    Args:
        known_id: the last id when the patches were painted: what lies above is a new cell.

    Raises:
        OutdatedError: the plane is no longer that version, or a new cell has an id that was given
            to another one meanwhile.
        InputError: it cannot be written.
    """
    largest = max((_largest_id(patch.values) for patch in patches), default=0)

    def paint() -> Callable[[], None]:
        last_id = annotation.last_id
        if known_id is not None and largest > known_id and known_id != last_id:
            raise OutdatedError
        labels, before = annotation.planes[plane], []
        for patch in patches:
            part = labels[patch.box]
            before.append(part.copy())
            np.copyto(part, patch.values, where=patch.values != KEEP)
        annotation.last_id = max(last_id, largest)

        def undo() -> None:
            annotation.last_id = last_id
            for patch, old in zip(reversed(patches), reversed(before), strict=True):
                labels[patch.box] = old

        return undo

    return _change(annotation, version, plane, paint)


def set_rest(annotation: Annotation, is_background: bool, version: int, plane: int = 0) -> int:
    """Make a plane's unpainted pixels count as background, or no longer; its new version.

    Raises:
        OutdatedError: the plane is no longer that version.
        InputError: it cannot be written.
    """

    def switch() -> Callable[[], None]:
        labels, was = annotation.planes[plane], annotation.rest[plane]
        old = labels.copy()
        if is_background and not was:
            remembered = _rest(annotation)
            remembered[~np.array(annotation.rest)] = False  # of switches that broke off
            remembered[plane] = labels == NOT_ANNOTATED
            _make_folder(annotation)
            write_image(
                annotation.rest_path,
                remembered.reshape(annotation.labels.shape),
                annotation.axes,
                compression="zlib",
            )
            labels[remembered[plane]] = 0
        elif was and not is_background:
            labels[_rest(annotation)[plane] & (labels == 0)] = NOT_ANNOTATED
        annotation.rest[plane] = is_background

        def undo() -> None:
            labels[:] = old
            annotation.rest[plane] = was

        return undo

    new_version = _change(annotation, version, plane, switch)
    if not any(annotation.rest):
        annotation.rest_path.unlink(missing_ok=True)
    return new_version


def is_trainable(labels: NDArray[Any]) -> tuple[bool, bool]:
    """Whether there is a cell, and whether there is background."""
    return bool(((labels > 0) & (labels <= LAST_ID)).any()), bool((labels == 0).any())


def _largest_id(values: NDArray[np.uint16]) -> int:
    return int(values.max(initial=0, where=values <= LAST_ID))


def _change(
    annotation: Annotation, version: int, plane: int, change: Callable[[], Callable[[], None]]
) -> int:
    with annotation.lock:
        if current(annotation).versions[plane] != version:
            raise OutdatedError
        undo = change()
        try:
            _save(annotation)
        except BaseException:
            undo()
            raise
        annotation.versions[plane] += 1
        return annotation.versions[plane]


def _save(annotation: Annotation) -> None:
    _make_folder(annotation)
    size = annotation.pixel_size_um
    write_image(annotation.path, annotation.labels, annotation.axes, size, compression="zlib")
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
    header = read_header(path)
    found = tuple(n for n, a in zip(header.shape, header.axes, strict=True) if a != "C")
    if found != shape:
        raise InputError(
            f"labels of {in_words(found)} px: {path.name}",
            f"the image's {in_words(shape)} px",
            "take the label file out of the folder",
        )
    # pages that the file does not name are the image's
    axes = annotation.axes if len(header.axes) == len(shape) else None
    raw = read_raw_labels(Source(path.name, path, axes=axes), annotation.axes, NOT_ANNOTATED)
    wrong = raw > LAST_ID if notes is None else (raw > LAST_ID) & (raw != NOT_ANNOTATED)
    if wrong.any():
        raise InputError(
            f"the label value {raw[wrong].max()} in {path.name}",
            f"ids up to {LAST_ID}",
            "number the cells from 1 on",
        )
    annotation.labels = raw.astype(np.uint16)
    annotation.last_id = max(annotation.last_id, _largest_id(annotation.labels))
    annotation.stamp = stamp
    # a switch that was never acknowledged leaves its file behind, and pixels not annotated
    remembered = _rest(annotation) if annotation.rest_path.exists() else None
    for plane, labels in enumerate(annotation.planes):
        was_switched = remembered is not None and (len(remembered) == 1 or remembered[plane].any())
        annotation.rest[plane] = bool(was_switched and not (labels == NOT_ANNOTATED).any())


def _rest(annotation: Annotation) -> NDArray[np.bool_]:
    """(P, Y, X), the pixels that nobody painted, of planes where they count as background."""
    path, shape = annotation.rest_path, annotation.planes.shape
    if not path.exists():
        return np.zeros(shape, bool)
    rest = np.asarray(read_image(path).data) > 0
    if rest.size != math.prod(shape) or rest.shape[-2:] != shape[-2:]:
        raise InputError(f"{path} of another size", "the image's size", "remove it")
    return np.asarray(rest.reshape(shape))


def _stamp(path: Path) -> Stamp | None:
    try:
        stat = path.stat()
    except OSError:
        return None
    return stat.st_mtime_ns, stat.st_size
