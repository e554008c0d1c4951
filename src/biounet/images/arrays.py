"""A data set from arrays in memory, for the Python API."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from biounet.errors import InputError
from biounet.images.dataset import DataSet, Source, SpatialAxes
from biounet.images.labels import LabelKind
from biounet.images.layouts.assembly import Found, assemble
from biounet.images.layouts.find import find_dataset
from biounet.images.layouts.pages import Pair


def dataset_from_arrays(
    images: Any,
    labels: Any = None,
    labels_are: LabelKind | None = None,
    ignore_value: int | None = None,
    axes: SpatialAxes | None = None,
) -> DataSet:
    """A data set from images and labels given in Python.

    Both are a list (of arrays, lazy arrays or paths), one array, or one path (folder or file).
    An array is one image when it fits one label: (Y, X), (C, Y, X) or (Y, X, C) with labels
    (Y, X). Arrays with as many leading entries as their labels are stacks of images: (N, Y, X),
    (N, C, Y, X), (N, Y, X, C), (N, Z, Y, X); with `axes="ZYX"`, (Z, Y, X) is one volume. One path
    without labels is a folder that holds both.

    Raises InputError for numbers or shapes that don't match.
    """
    if isinstance(images, str | Path) and labels is None:
        return find_dataset(
            [Path(images)], labels_are=labels_are, ignore_value=ignore_value, axes=axes
        )
    if isinstance(images, str | Path) and isinstance(labels, str | Path):
        return find_dataset((), Path(images), Path(labels), labels_are, ignore_value, axes=axes)
    image_list, label_list = _as_lists(images, labels, axes)
    if len(image_list) != len(label_list):
        raise InputError(
            f"{len(image_list)} images and {len(label_list)} labels",
            "one label per image",
            "give lists of the same length, in the same order",
        )
    if not image_list:
        raise InputError("no images", "at least one annotated image", "give some")
    pairs = tuple(_pair(k, *one) for k, one in enumerate(zip(image_list, label_list, strict=True)))
    return assemble(Found(pairs, "arrays"), labels_are, ignore_value, axes)


def _as_lists(
    images: Any, labels: Any, axes: SpatialAxes | None
) -> tuple[Sequence[Any], Sequence[Any]]:
    if _is_array(images) and _is_array(labels):
        if labels.ndim == (2 if axes is None else len(axes)):
            return [images], [labels]
        return _entries(images), _entries(labels)
    return _listed(images, labels, "images"), _listed(labels, images, "labels")


def _entries(stack: Any) -> list[Any]:
    return [stack[k] for k in range(stack.shape[0])]


def _listed(given: Any, other: Any, what: str) -> Sequence[Any]:
    if isinstance(given, str | Path):
        return [given]
    if _is_array(given):
        return [given] if isinstance(other, str | Path) else _entries(given)
    if isinstance(given, Sequence):
        return given
    raise InputError(
        f"{what} of type {type(given).__name__}", "a list, an array or a path", "give one of them"
    )


def _is_array(given: Any) -> bool:
    return hasattr(given, "shape") and hasattr(given, "dtype")


def _pair(k: int, image: Any, label: Any) -> Pair:
    image_source = _source(f"image {k}", image)
    label_source = _source(f"label {k}", label)
    if image_source.array is not None and label_source.array is not None:
        found = image_source.array.shape
        wanted = label_source.array.shape
        image_axes = _image_axes(image_source.name, found, label_source.name, wanted)
        image_source = Source(image_source.name, array=image_source.array, axes=image_axes)
        label_axes = "ZYX"[-len(wanted) :]
        label_source = Source(label_source.name, array=label_source.array, axes=label_axes)
    return Pair(str(k), (image_source,), (label_source,))


def _source(name: str, given: Any) -> Source:
    if isinstance(given, str | Path):
        return Source(Path(given).name, Path(given))
    if not _is_array(given):
        given = np.asarray(given)
    axes = "ZYX"[-given.ndim :] if given.ndim in (2, 3) else None
    return Source(name, array=given, axes=axes)


def _image_axes(
    name: str, shape: tuple[int, ...], label_name: str, label_shape: tuple[int, ...]
) -> str:
    """The axes of an image array, told by the shape of its label."""
    if len(label_shape) not in (2, 3):
        raise InputError(
            f"{label_name} with {len(label_shape)} axes",
            "labels (Y, X) or (Z, Y, X)",
            "give one label image per image",
        )
    spatial = "ZYX"[-len(label_shape) :]
    if shape == label_shape:
        return spatial
    if shape[1:] == label_shape:
        return "C" + spatial
    if shape[:-1] == label_shape:
        return spatial + "C"
    raise InputError(
        f"sizes that don't match: {name} has shape {tuple(shape)}, "
        f"{label_name} has shape {tuple(label_shape)}",
        "labels of the image's size, channels first or last in the image",
        "check that they belong together",
    )
