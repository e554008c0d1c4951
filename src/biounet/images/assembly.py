"""From matched files or arrays to a data set: pages, sizes, channels, what the labels mean."""

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from biounet.errors import InputError
from biounet.images.dataset import DataSet, Item, Source, SpatialAxes, read_raw_labels
from biounet.images.image import Header, check_axes
from biounet.images.labels import (
    LabelKind,
    LabelMeaning,
    decide_kind,
    distinct_values,
    meaning_of,
)
from biounet.images.reading import read_header


@dataclass(frozen=True)
class Pair:
    """An image (one source per channel file) and its labels, as whole files or arrays."""

    name: str
    images: tuple[Source, ...]
    labels: tuple[Source, ...]
    slices: tuple[int, ...] | None = None
    markers: Source | None = None


def assemble(
    pairs: Sequence[Pair],
    layout: str,
    *,
    labels_are: LabelKind | None = None,
    ignore_value: int | None = None,
    axes: SpatialAxes | None = None,
    notes: Sequence[str] = (),
    class_names: tuple[str, ...] | None = None,
) -> DataSet:
    """Check the pairs against each other and decide what they are.

    Raises InputError for sizes that don't match, different channel counts, 2-D and 3-D images in
    one set, and label files that are no labels.
    """
    said = list(notes)
    headers = [tuple(_header(source) for source in pair.images) for pair in pairs]
    spatial = axes or _spatial_axes([h[0] for h in headers])
    draft = LabelMeaning("instances", ignore_value=ignore_value)
    items: list[Item] = []
    channels: dict[int, str] = {}
    for pair, pair_headers in zip(pairs, headers, strict=True):
        channels.setdefault(_n_channels(pair_headers), pair.name)
        items += _pages(pair, pair_headers, spatial, draft)
    if len(channels) > 1:
        (n_a, name_a), (n_b, name_b) = list(channels.items())[:2]
        raise InputError(
            f"images with different numbers of channels: {name_a} has {n_a}, {name_b} has {n_b}",
            "the same channels in every image",
            "convert them, or train on each kind apart",
        )
    values = _all_values(items, spatial, ignore_value)
    if not values:
        raise InputError(
            f"labels that hold nothing but the ignore value {ignore_value}",
            "at least one annotated pixel",
            "annotate an image, or check the ignore value",
        )
    if labels_are is None:
        labels_are, why = decide_kind(values, _label_images(items, spatial, ignore_value))
        said.append(why)
    else:
        said.append(f"the labels are read as {labels_are}, as asked")
    meaning = meaning_of(labels_are, values, ignore_value)
    if ignore_value is not None:
        said.append(f"label value {ignore_value} = not annotated")
    return DataSet(
        items=tuple(replace(item, meaning=meaning) for item in items),
        layout=layout,
        labels_are=labels_are,
        n_channels=next(iter(channels)),
        n_classes=len(values) if labels_are == "classes" else 2,
        axes=spatial,
        notes=tuple(said),
        class_names=class_names,
    )


def _header(source: Source) -> Header:
    if source.array is not None:
        array = source.array
        axes = check_axes(source.axes, array.ndim, source.name) if source.axes else "YX"
        return Header(_no_path(source), tuple(array.shape), np.dtype(array.dtype), axes)
    if source.path is None:
        raise ValueError(f"{source.name} has neither a file nor an array")
    return read_header(source.path, source.axes)


def _no_path(source: Source) -> Any:
    return source.path


def _spatial_axes(headers: Sequence[Header]) -> SpatialAxes:
    """Volumes when the files name an axis Z; pages without a name are 2-D images."""
    volumes = [header for header in headers if "Z" in header.axes]
    flat = [header for header in headers if "Z" not in header.axes]
    if volumes and flat:
        raise InputError(
            f"2-D and 3-D images in one set ({flat[0].path} and {volumes[0].path})",
            "images of one kind",
            "take one kind out, or name the axes: YX takes the planes of a volume one by one",
        )
    return "ZYX" if volumes else "YX"


def _n_channels(headers: tuple[Header, ...]) -> int:
    return sum(h.shape[h.axes.index("C")] if "C" in h.axes else 1 for h in headers)


def _pages(
    pair: Pair, headers: tuple[Header, ...], spatial: SpatialAxes, meaning: LabelMeaning
) -> Iterator[Item]:
    """One item for each index along the axes that are neither channels nor spatial."""
    header = headers[0]
    for other in headers[1:]:
        if (other.shape, other.axes) != (header.shape, header.axes):
            raise InputError(
                f"channel files of different sizes: {header.path} and {other.path}",
                "one size for all channels of an image",
                "export them again",
            )
    axes = header.axes.replace("?", "Z") if spatial == "ZYX" else header.axes
    if spatial == "ZYX" and "Z" not in axes:
        raise InputError(
            f"an image without an axis Z: {pair.name} has shape {header.shape} ({header.axes})",
            "volumes, because ZYX was asked for",
            "give stacks, or train in 2-D",
        )
    extent = dict(zip(axes, header.shape, strict=True))
    shape = tuple(extent[axis] for axis in spatial)
    page_axes = [axis for axis in axes if axis not in spatial and axis != "C"]
    image_shape = tuple(size for axis, size in extent.items() if axis != "C")
    label_axes = [_label_axes(pair, source, axes, image_shape, spatial) for source in pair.labels]
    markers_axes = (
        None
        if pair.markers is None
        else _label_axes(replace(pair, slices=None), pair.markers, axes, image_shape, spatial)
    )
    for page in itertools.product(*(range(extent[axis]) for axis in page_axes)):
        digits = [
            str(k).zfill(len(str(extent[a] - 1))) for k, a in zip(page, page_axes, strict=True)
        ]
        yield Item(
            name=pair.name + (f"[{','.join(digits)}]" if digits else ""),
            shape=shape,
            images=tuple(replace(source, axes=axes, page=page) for source in pair.images),
            labels=tuple(
                replace(source, axes=named, page=page if pair.slices is None else ())
                for source, named in zip(pair.labels, label_axes, strict=True)
            ),
            meaning=meaning,
            slices=pair.slices,
            markers=None
            if pair.markers is None
            else replace(pair.markers, axes=markers_axes, page=page),
            pixel_size_um=header.pixel_size_um
            if header.pixel_size_um is None or len(header.pixel_size_um) == len(spatial)
            else header.pixel_size_um[-2:]
            if spatial == "YX"
            else None,
        )


def _label_axes(
    pair: Pair,
    source: Source,
    image_axes: str,
    image_shape: tuple[int, ...],
    spatial: SpatialAxes,
) -> str:
    """The axes of a label file: those of the image but "C"; its sizes must be the image's."""
    header = _header(source)
    found = tuple(s for s, axis in zip(header.shape, header.axes, strict=True) if axis != "C")
    wanted, wanted_axes = image_shape, image_axes.replace("C", "")
    if pair.slices is not None:
        wanted, wanted_axes = image_shape[-2:], "YX"
        deepest = max(pair.slices)
        if spatial == "ZYX" and deepest >= image_shape[-3]:
            raise InputError(
                f"a label for slice {deepest} of {pair.name}, which has {image_shape[-3]} slices",
                "labels of slices that exist (numbered from 0)",
                "check the numbers in the file names",
            )
    if found != wanted:
        raise InputError(
            f"sizes that don't match: image {pair.name} is {_size(wanted)} px, "
            f"its label {source.name} is {_size(found)} px",
            "a label of the image's size",
            "check that they belong together, and export the label again",
        )
    letters = iter(wanted_axes)
    return "".join("C" if axis == "C" else next(letters) for axis in header.axes)


def _size(shape: tuple[int, ...]) -> str:
    return " x ".join(map(str, shape))


def _label_images(
    items: Sequence[Item], spatial: SpatialAxes, ignore_value: int | None
) -> Iterator[NDArray[Any]]:
    for item in items:
        for source in item.labels:
            yield read_raw_labels(source, spatial if item.slices is None else "YX", ignore_value)


def _all_values(items: Sequence[Item], spatial: SpatialAxes, ignore_value: int | None) -> list[int]:
    values: set[int] = set()
    for raw in _label_images(items, spatial, ignore_value):
        values.update(distinct_values(raw).tolist())
    return sorted(values - {ignore_value})


def describe_sizes(items: Sequence[Item]) -> str:
    """The sizes of the images in words: one, or the range."""
    shapes = sorted({item.shape for item in items}, key=math.prod)
    first = _size(shapes[0])
    return f"{first} px" if len(shapes) == 1 else f"{first} to {_size(shapes[-1])} px"
