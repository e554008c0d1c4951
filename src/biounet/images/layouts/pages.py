"""From a matched image and label to items: the axes of both, and one item for each page."""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from biounet.errors import InputError
from biounet.images.dataset import Item, Source, SpatialAxes
from biounet.images.image import Header, check_axes
from biounet.images.labels import LabelMeaning
from biounet.images.reading import read_header


@dataclass(frozen=True)
class Pair:
    """An image (one source per channel file) and its labels, as whole files or arrays.

    `labels` is one source, or one per annotated slice of a volume, whose positions along Z are
    `slices`.
    """

    name: str
    images: tuple[Source, ...]
    labels: tuple[Source, ...]
    slices: tuple[int, ...] | None = None
    markers: Source | None = None


@dataclass(frozen=True)
class Sized:
    """A pair with the headers of its image and its first label, axes settled between the two."""

    pair: Pair
    image: Header
    label: Header

    @property
    def n_channels(self) -> int:
        image = self.image
        per_file = image.shape[image.axes.index("C")] if "C" in image.axes else 1
        return per_file * len(self.pair.images)


def look(pair: Pair) -> Sized:
    """Read the headers of a pair, and settle what unnamed axes are by comparing the two.

    Pages of an image whose label is a single plane are channels. Stacks of 3 or 4 pages that some
    programs write as if they were colours are pages when the label has as many.

    Raises InputError for channel files of different sizes, and files that cannot be read.
    """
    image, *others = (_header(source) for source in pair.images)
    for other in others:
        if (other.shape, other.axes) != (image.shape, image.axes):
            raise InputError(
                f"channel files of different sizes: {image.path} and {other.path}",
                "one size for all channels of an image",
                "export them again",
            )
    label = _header(pair.labels[0])
    if image.axes == label.axes == "CYX" and image.shape == label.shape:
        image, label = replace(image, axes="?YX"), replace(label, axes="?YX")
    elif label.axes == "CYX" and label.shape == _without_channels(image):
        label = replace(label, axes="?YX")
    elif image.axes == "?YX" and _without_channels(label) == image.shape[1:]:
        image = replace(image, axes="CYX")
    return Sized(pair, image, label)


def items_of(sized: Sized, spatial: SpatialAxes) -> Iterator[Item]:
    """One item for each index along the axes that are neither channels nor spatial.

    Raises InputError when the label has another size than the image, or `spatial` asks for a
    volume where there is none.
    """
    pair, header = sized.pair, sized.image
    axes = header.axes.replace("?", "Z") if spatial == "ZYX" else header.axes
    if spatial == "ZYX" and "Z" not in axes:
        raise InputError(
            f"an image without an axis Z among volumes: {pair.name} has shape {header.shape}",
            "volumes (Z, Y, X)",
            "give stacks, or ask for the axes YX",
        )
    extent = dict(zip(axes, header.shape, strict=True))
    size = {axis: n for axis, n in extent.items() if axis != "C"}
    if pair.slices is None:
        label_axes = _fitting_axes(pair, sized.label, pair.labels[0].name, size)
    else:
        _check_slices(pair, extent["Z"])
        plane = {axis: size[axis] for axis in "YX"}
        label_axes = _fitting_axes(pair, sized.label, pair.labels[0].name, plane)
    markers = pair.markers
    if markers is not None:
        markers = replace(markers, axes=_fitting_axes(pair, _header(markers), markers.name, size))
    page_axes = [axis for axis in axes if axis not in spatial and axis != "C"]
    widths = [len(str(extent[axis] - 1)) for axis in page_axes]
    for page in itertools.product(*(range(extent[axis]) for axis in page_axes)):
        digits = ",".join(str(k).zfill(width) for k, width in zip(page, widths, strict=True))
        yield Item(
            name=f"{pair.name}[{digits}]" if digits else pair.name,
            shape=tuple(extent[axis] for axis in spatial),
            images=tuple(replace(source, axes=axes, page=page) for source in pair.images),
            labels=tuple(replace(source, axes=label_axes, page=page) for source in pair.labels),
            meaning=LabelMeaning("instances"),
            slices=pair.slices,
            markers=None if markers is None else replace(markers, page=page),
            pixel_size_um=_spatial_size_um(header, spatial),
        )


def _header(source: Source) -> Header:
    if source.array is not None:
        array = source.array
        axes = check_axes(source.axes, array.ndim, source.name)
        return Header(source.path, tuple(array.shape), np.dtype(array.dtype), axes)
    if source.path is None:
        raise ValueError(f"{source.name} has neither a file nor an array")
    return read_header(source.path, source.axes)


def _without_channels(header: Header) -> tuple[int, ...]:
    return tuple(n for n, axis in zip(header.shape, header.axes, strict=True) if axis != "C")


def _fitting_axes(pair: Pair, label: Header, name: str, size: dict[str, int]) -> str:
    """The axes of a label file, named after the image's: sizes must agree one by one."""
    found, wanted = _without_channels(label), tuple(size.values())
    if found != wanted:
        raise InputError(
            f"sizes that don't match: image {pair.name} is {in_words(wanted)} px, "
            f"its label {name} is {in_words(found)} px",
            "a label of the image's size",
            "check that they belong together, and export the label again",
        )
    letters = iter(size)
    return "".join("C" if axis == "C" else next(letters) for axis in label.axes)


def _check_slices(pair: Pair, n_slices: int) -> None:
    deepest = max(pair.slices or (0,))
    if deepest >= n_slices:
        raise InputError(
            f"a label for slice {deepest} of {pair.name}, which has {n_slices} slices",
            "labels of slices that exist (numbered from 0)",
            "check the numbers in the file names",
        )


def _spatial_size_um(header: Header, spatial: str) -> tuple[float, ...] | None:
    size = header.pixel_size_um
    return None if size is None or len(size) < len(spatial) else size[-len(spatial) :]


def in_words(shape: tuple[int, ...]) -> str:
    """A size as people write it: "512 x 512"."""
    return " x ".join(map(str, shape))
