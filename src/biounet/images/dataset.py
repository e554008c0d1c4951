"""A data set: images with their annotation, read one by one when they are asked for."""

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from biounet.errors import InputError
from biounet.images.formats.memory import check_fits
from biounet.images.formats.picture import JPEG_SUFFIXES
from biounet.images.image import Image
from biounet.images.labels import (
    LabelKind,
    LabelMeaning,
    as_integers,
    distinct_values,
    read_labels,
)
from biounet.images.partial import annotated_by_markers
from biounet.images.reading import read_image
from biounet.images.regions import Pixels
from biounet.images.statistics import not_finite

SpatialAxes = Literal["YX", "ZYX"]


@dataclass(frozen=True)
class Source:
    """Where pixels come from: a file or an array, and which page of it.

    `axes` names all axes of the file or array; `page` gives the index along each of those that
    are neither "C" nor spatial.
    """

    name: str
    path: Path | None = None
    array: Pixels | None = field(default=None, compare=False)
    axes: str | None = None
    page: tuple[int, ...] = ()


@dataclass(frozen=True)
class Item:
    """One annotated image of a data set, not yet read.

    `images` has one source, or one per channel. `labels` has one source, or one per annotated
    slice of a volume, whose positions along Z are in `slices`. `markers` are one per object, the
    annotated ones and the others (Cell Tracking Challenge). `shape` is (Y, X) or (Z, Y, X) px.
    """

    name: str
    shape: tuple[int, ...]
    images: tuple[Source, ...]
    labels: tuple[Source, ...]
    meaning: LabelMeaning
    slices: tuple[int, ...] | None = None
    markers: Source | None = None
    pixel_size_um: tuple[float, ...] | None = None


@dataclass(frozen=True)
class Annotated:
    """An annotated image in memory.

    `image`: (C, Y, X) or (C, Z, Y, X), the file's type. `labels`: int32 (Y, X) or (Z, Y, X):
    instance ids, 0 and 1 for a mask, class indices 0..n_classes-1; 0 where not annotated.
    `annotated`: bool, same shape, False where nobody annotated; None when all of it is.
    """

    name: str
    image: NDArray[Any]
    labels: NDArray[np.int32]
    annotated: NDArray[np.bool_] | None = None
    pixel_size_um: tuple[float, ...] | None = None


@dataclass(frozen=True)
class DataSet:
    """Annotated images that belong together, and what was seen when they were found.

    `layout` says in words how they lay; `notes` what was decided and why, one sentence each.
    `n_classes` counts the background: 2 for instances and masks.
    """

    items: tuple[Item, ...]
    layout: str
    labels_are: LabelKind
    n_channels: int
    n_classes: int
    axes: SpatialAxes
    notes: tuple[str, ...] = ()
    class_names: tuple[str, ...] | None = None


def read_item(item: Item) -> Annotated:
    """Read one item's image and annotation.

    Raises InputError for damaged files, NaN or infinite pixels, and labels that are no labels.
    """
    spatial = "ZYX"[-len(item.shape) :]
    image = np.concatenate([read_pixels(source, spatial) for source in item.images])
    _check_values(image, item.name)
    labels, annotated = read_labels(_read_raw_labels(item), item.meaning)
    for known in (_in_annotated_slices(item), _known_by_markers(item, labels)):
        if known is not None:
            annotated = known if annotated is None else annotated & known
    if annotated is not None:
        labels[~annotated] = 0
    return Annotated(item.name, image, labels, annotated, item.pixel_size_um)


def read_raw_labels(source: Source, spatial: str, ignore_value: int | None) -> NDArray[Any]:
    """The integers of a label image, (Y, X) or (Z, Y, X); checked, not interpreted."""
    raw = read_pixels(source, spatial)
    if len(raw) > 1:
        if not (raw == raw[:1]).all():
            raise InputError(
                f"a label image in colour ({len(raw)} channels): {source.name}",
                "one integer per pixel",
                "save the labels as a grey image of ids or classes",
            )
        raw = raw[:1]
    is_jpeg = source.path is not None and source.path.suffix.lower() in JPEG_SUFFIXES
    if is_jpeg and len(distinct_values(raw)) > 2:
        raise InputError(
            f"labels in a JPEG, which changes values at the edges: {source.path}",
            "labels in a file that keeps them",
            "save them as PNG or TIFF",
        )
    return as_integers(raw[0], source.name, ignore_value)


def read_pixels(source: Source, spatial: str) -> NDArray[Any]:
    """The pixels of a source as an array (C, *spatial)."""
    image = open_source(source)
    axes = image.axes if source.axes is None else source.axes
    pages = iter(source.page)
    kept = [axis in spatial or axis == "C" for axis in axes]
    box = tuple(slice(None) if keep else next(pages) for keep in kept)
    n_pixels = math.prod(n for n, keep in zip(image.data.shape, kept, strict=True) if keep)
    n_bytes = n_pixels * np.dtype(image.data.dtype).itemsize
    check_fits(n_bytes, source.name, "cut it into smaller images for training")
    pixels: NDArray[Any] = np.asarray(image.data[box])
    axes = "".join(axis for axis, keep in zip(axes, kept, strict=True) if keep)
    if "C" not in axes:
        pixels, axes = pixels[None], "C" + axes
    return np.transpose(pixels, [axes.index(axis) for axis in "C" + spatial])


def open_source(source: Source) -> Image:
    """The whole image that a source is a page of."""
    if source.array is not None:
        return Image(source.array, source.axes or "YX")
    if source.path is None:
        raise ValueError(f"{source.name} has neither a file nor an array")
    named = None if source.axes is None or "?" in source.axes else source.axes
    return read_image(source.path, named)


def _read_raw_labels(item: Item) -> NDArray[Any]:
    spatial = "ZYX"[-len(item.shape) :]
    if item.slices is None:
        return read_raw_labels(item.labels[0], spatial, item.meaning.ignore_value)
    raw = np.zeros(item.shape, dtype=np.int64)
    for position, source in zip(item.slices, item.labels, strict=True):
        raw[position] = read_raw_labels(source, "YX", item.meaning.ignore_value)
    return raw


def _in_annotated_slices(item: Item) -> NDArray[np.bool_] | None:
    if item.slices is None:
        return None
    known = np.zeros(item.shape, dtype=bool)
    known[list(item.slices)] = True
    return known


def _known_by_markers(item: Item, labels: NDArray[np.int32]) -> NDArray[np.bool_] | None:
    """Slice by slice where only slices are annotated: a marker counts where it is seen."""
    if item.markers is None:
        return None
    spatial = "ZYX"[-len(item.shape) :]
    markers = as_integers(read_pixels(item.markers, spatial)[0], item.markers.name)
    if item.slices is None:
        return annotated_by_markers(labels, markers, item.pixel_size_um)
    size = None if item.pixel_size_um is None else item.pixel_size_um[-2:]
    known = np.ones(item.shape, dtype=bool)
    for z in item.slices:
        in_slice = annotated_by_markers(labels[z], markers[z], size)
        known[z] = True if in_slice is None else in_slice
    return known


def _check_values(image: NDArray[Any], name: str) -> None:
    if image.dtype.kind not in "biuf":
        raise InputError(
            f"pixels of type {image.dtype} in {name}",
            "integer or float grey values",
            "save the image as such",
        )
    if image.dtype.kind == "f":
        n_bad = image.size - int(np.isfinite(image).sum())
        if n_bad:
            raise not_finite(f"{n_bad} pixels that are NaN or infinite in {name}")
