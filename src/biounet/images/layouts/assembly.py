"""From matched files or arrays to a data set: what the labels mean, and whether all fits."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from numpy.typing import NDArray

from biounet.errors import InputError
from biounet.images.dataset import DataSet, Item, SpatialAxes, read_raw_labels
from biounet.images.labels import (
    LabelKind,
    decide_kind,
    distinct_values,
    in_many_parts,
    meaning_of,
)
from biounet.images.layouts.pages import Pair, Sized, items_of, look


@dataclass(frozen=True)
class Found:
    """What lay in one place, and what the layout itself says about it."""

    pairs: tuple[Pair, ...]
    layout: str
    notes: tuple[str, ...] = ()
    labels_are: LabelKind | None = None
    ignore_value: int | None = None
    class_names: tuple[str, ...] | None = None


def assemble(
    found: Found,
    labels_are: LabelKind | None = None,
    ignore_value: int | None = None,
    axes: SpatialAxes | None = None,
) -> DataSet:
    """Check the pairs against each other and decide what they are.

    `labels_are`, `ignore_value` and `axes` go before what the layout says and what looking shows.

    Raises InputError for sizes that don't match, different channel counts, 2-D and 3-D images in
    one set, label files that are no labels, and masks among instance ids.
    """
    ignore = found.ignore_value if ignore_value is None else ignore_value
    sized = [look(pair) for pair in found.pairs]
    n_channels = _n_channels(sized)
    spatial = axes or _spatial_axes(sized)
    items = [item for one in sized for item in items_of(one, spatial)]
    values_of = [_values(item, ignore) for item in items]
    values = sorted(set[int]().union(*values_of))
    if not values:
        raise InputError(
            f"labels that hold nothing but the ignore value {ignore}",
            "at least one annotated pixel",
            "annotate an image, or check the ignore value",
        )
    kind, why = labels_are or found.labels_are, "the labels are read as asked"
    if kind is None:
        kind, why = decide_kind(values, _label_images(items, ignore))
        if kind == "instances":
            _refuse_masks(items, values_of, ignore)
    elif labels_are is None:
        why = f"the labels are {kind}, as the layout says"
    meaning = meaning_of(kind, values, ignore)
    n_classes = len(values) if kind == "classes" else 2
    notes = [*found.notes, why, *_on_pages(sized, items, spatial)]
    if ignore is not None:
        notes.append(f"label value {ignore} = not annotated")
    named = found.class_names is not None and len(found.class_names) == n_classes
    return DataSet(
        items=tuple(replace(item, meaning=meaning) for item in items),
        layout=found.layout,
        labels_are=kind,
        n_channels=n_channels,
        n_classes=n_classes,
        axes=spatial,
        notes=tuple(notes),
        class_names=found.class_names if named else None,
    )


def join(found: Sequence[Found]) -> Found:
    """Several places as one data set; what their layouts say must agree."""
    if len(found) == 1:
        return found[0]
    said = {(one.labels_are, one.ignore_value, one.class_names) for one in found}
    if len(said) > 1:
        raise InputError(
            f"data sets with labels of different kinds: {'; '.join(one.layout for one in found)}",
            "labels that mean the same",
            "train on them apart",
        )
    return replace(
        found[0],
        pairs=tuple(pair for one in found for pair in one.pairs),
        layout="; ".join(dict.fromkeys(one.layout for one in found)),
        notes=tuple(note for one in found for note in one.notes),
    )


def _n_channels(sized: Sequence[Sized]) -> int:
    examples = {one.n_channels: one.pair.name for one in reversed(sized)}
    if len(examples) > 1:
        (n_a, name_a), (n_b, name_b) = sorted(examples.items())[:2]
        raise InputError(
            f"images with different numbers of channels: {name_a} has {n_a}, {name_b} has {n_b}",
            "the same channels in every image",
            "convert them, or train on each kind apart",
        )
    return next(iter(examples))


def _spatial_axes(sized: Sequence[Sized]) -> SpatialAxes:
    """Volumes when the files name an axis Z; pages without a name are 2-D images."""
    volumes = [one.pair.name for one in sized if "Z" in one.image.axes]
    flat = [one.pair.name for one in sized if "Z" not in one.image.axes]
    if volumes and flat:
        raise InputError(
            f"2-D and 3-D images in one set ({flat[0]} and {volumes[0]})",
            "images of one kind",
            "take one kind out, or ask for the axes YX: every plane is an image then",
        )
    return "ZYX" if volumes else "YX"


def _on_pages(sized: Sequence[Sized], items: Sequence[Item], spatial: SpatialAxes) -> list[str]:
    if spatial == "ZYX":
        return [f"{len(items)} volumes"]
    if len(items) == len(sized):
        return []
    stacks = "a stack" if len(sized) == 1 else f"{len(sized)} stacks"
    return [f"{stacks} with {len(items)} pages, each an image (volumes: axes ZYX)"]


def _label_images(items: Sequence[Item], ignore_value: int | None) -> Iterator[NDArray[Any]]:
    for item in items:
        spatial = "YX" if item.slices is not None else "ZYX"[-len(item.shape) :]
        for source in item.labels:
            yield read_raw_labels(source, spatial, ignore_value)


def _refuse_masks(
    items: Sequence[Item], values_of: Sequence[set[int]], ignore_value: int | None
) -> None:
    for item, values in zip(items, values_of, strict=True):
        ids = values - {0}
        if len(ids) != 1:
            continue
        value = ids.pop()
        if any(in_many_parts(raw, value) for raw in _label_images([item], ignore_value)):
            raise InputError(
                f"a mask among instance ids: one value in many separate parts ({item.name})",
                "labels of one kind",
                "number its objects, or say what all labels are (labels-are)",
            )


def _values(item: Item, ignore_value: int | None) -> set[int]:
    """The distinct values of an item's labels, without the ignore value."""
    found = [distinct_values(raw).tolist() for raw in _label_images([item], ignore_value)]
    return set[int]().union(*found) - {ignore_value}
