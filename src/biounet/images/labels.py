"""What the numbers in a label image mean: instance ids, a mask, or classes."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from biounet.errors import InputError

LabelKind = Literal["instances", "mask", "classes"]

MOST_CLASSES = 32
"""More values than this in a set of label images are instance ids, unless said otherwise."""

MOST_PARTS = 4
"""A value that is alone in its image, in more parts than this, is a mask's foreground, no id."""

_N_LOOKED_AT = 16


@dataclass(frozen=True)
class LabelMeaning:
    """How raw label values become labels.

    `values` are the distinct raw values of the whole set (for instances: empty), without
    `ignore_value`; `background` is the raw value of a mask's background.
    """

    kind: LabelKind
    values: tuple[int, ...] = ()
    background: int = 0
    ignore_value: int | None = None


def as_integers(raw: NDArray[Any], what: str, ignore_value: int | None = None) -> NDArray[Any]:
    """`raw` as integer labels; floats are accepted when all are whole numbers.

    Raises InputError for fractions, NaN, negative ids (other than `ignore_value`), and ids beyond
    31 bits.
    """
    if raw.dtype == np.bool_:
        return raw.astype(np.uint8)
    if raw.dtype.kind == "f":
        finite = np.isfinite(raw)
        if not finite.all():
            raise InputError(
                f"{raw.size - int(finite.sum())} label pixels that are NaN or infinite in {what}",
                "whole numbers",
                "save the labels as 8- or 16-bit integers",
            )
        whole = raw.astype(np.int64)
        n_fractions = int((whole != raw).sum())
        if n_fractions:
            raise InputError(
                f"{n_fractions} label pixels that are not whole numbers in {what}",
                "instance ids, a mask or classes",
                "check that this is a label image and not an image or a probability map",
            )
        raw = whole
    if raw.dtype.kind not in "iu":
        raise InputError(
            f"labels of type {raw.dtype} in {what}", "integers", "save them as 16-bit integers"
        )
    if raw.size == 0:
        return raw
    low, high = int(raw.min()), int(raw.max())
    if low < 0 and low != ignore_value:
        raise InputError(
            f"negative label ids (down to {low}) in {what}",
            "0 for background and positive ids",
            "save the labels again, or give the value to leave out as ignore value",
        )
    if low < 0 and np.any((raw < 0) & (raw != low)):
        raise InputError(
            f"negative label ids besides the ignore value {ignore_value} in {what}",
            "0 for background and positive ids",
            "save the labels again",
        )
    if high > np.iinfo(np.int32).max:
        raise InputError(
            f"a label id of {high} in {what}",
            "ids below 2^31",
            "number the objects from 1 (for example skimage.segmentation.relabel_sequential)",
        )
    return raw


def distinct_values(raw: NDArray[Any]) -> NDArray[np.int64]:
    """The sorted distinct values of an integer array."""
    if raw.dtype.kind == "u" and raw.dtype.itemsize <= 2:
        return np.flatnonzero(np.bincount(raw.ravel())).astype(np.int64)
    return np.unique(raw).astype(np.int64)


def decide_kind(values: Sequence[int], images: Iterable[NDArray[Any]]) -> tuple[LabelKind, str]:
    """The kind of labels that a set with these distinct `values` holds, and why, in words.

    `images` are some of the set's label images, looked at only when the values alone do not tell.
    """
    shown = ", ".join(map(str, values[:4])) + (", …" if len(values) > 4 else "")
    if list(values) == [0]:
        return "mask", "the labels are 0 everywhere: a mask without foreground, nothing to find"
    if len(values) <= 2:
        return "mask", f"the labels have the values {shown}: a mask, {values[-1]} = foreground"
    consecutive = list(values) == list(range(values[0], values[0] + len(values)))
    if not consecutive or values[0] > 1 or len(values) > MOST_CLASSES:
        return "instances", f"the labels have {len(values)} values ({shown}): instance ids"
    n_parts = _parts_per_value(values, images)
    if n_parts >= 2:
        return "classes", (
            f"the labels have the values {shown}, each in about {n_parts:.0f} separate parts an "
            "image: a class map"
        )
    return "instances", (
        f"the labels have the values {shown}, each in one part an image: instance ids "
        "(say so if they are classes)"
    )


def _parts_per_value(values: Sequence[int], images: Iterable[NDArray[Any]]) -> float:
    """Median over the non-zero values of the connected parts per image that has the value."""
    parts: dict[int, list[int]] = {value: [] for value in values if value != 0}
    for raw, _ in zip(images, range(_N_LOOKED_AT), strict=False):
        for value in distinct_values(raw):
            if int(value) in parts:
                parts[int(value)].append(int(ndimage.label(raw == value)[1]))
    means = [float(np.mean(counts)) for counts in parts.values() if counts]
    return float(np.median(means)) if means else 0.0


def in_many_parts(raw: NDArray[Any], value: int) -> bool:
    """Whether the pixels of a value lie in more than `MOST_PARTS` separate parts."""
    return int(ndimage.label(raw == value)[1]) > MOST_PARTS


def meaning_of(kind: LabelKind, values: Sequence[int], ignore_value: int | None) -> LabelMeaning:
    """The meaning of raw labels of this kind in a set with these distinct values."""
    if kind == "instances":
        return LabelMeaning(kind, (), 0, ignore_value)
    background = values[0] if len(values) == 2 else 0
    return LabelMeaning(kind, tuple(values), background, ignore_value)


def read_labels(
    raw: NDArray[Any], meaning: LabelMeaning
) -> tuple[NDArray[np.int32], NDArray[np.bool_] | None]:
    """Labels (int32: ids; 0 and 1; or class indices) and where they are annotated (None: all)."""
    annotated = None
    if meaning.ignore_value is not None:
        known: NDArray[np.bool_] = raw != meaning.ignore_value
        annotated = None if known.all() else known
    if meaning.kind == "mask":
        labels = (raw != meaning.background).astype(np.int32)
    elif meaning.kind == "classes":
        labels = np.searchsorted(np.asarray(meaning.values), raw).astype(np.int32)
    else:
        labels = raw.astype(np.int32)
    if annotated is not None:
        labels[~annotated] = 0
    return labels, annotated
