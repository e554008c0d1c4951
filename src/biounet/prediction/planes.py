"""From an image of any axes to what a network takes: channels first, then its spatial axes.

A 2-D model sees a stack plane by plane, a 3-D model volume by volume; nothing is read until a tile
asks for it.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from biounet.errors import InputError
from biounet.images.image import Image
from biounet.images.regions import Pixels


@dataclass(frozen=True)
class Plane:
    """One plane (or volume) of an image as a (C, …) array that reads only what is asked for.

    Attributes:
        data: the whole image, in storage order.
        axes: its axes.
        spatial: the axes that the network sees, "YX" or "ZYX".
        index: the position along every other axis but C.
    """

    data: Pixels
    axes: str
    spatial: str
    index: tuple[int, ...]

    @property
    def shape(self) -> tuple[int, ...]:
        """(C, …)."""
        sizes = dict(zip(self.axes, self.data.shape, strict=True))
        return (sizes.get("C", 1), *(sizes[a] for a in self.spatial))

    @property
    def ndim(self) -> int:
        """One more than the spatial axes."""
        return 1 + len(self.spatial)

    @property
    def dtype(self) -> Any:
        """The image's."""
        return self.data.dtype

    def __getitem__(self, key: tuple[slice, ...]) -> NDArray[Any]:
        """A box: one slice an axis, channels first."""
        slices = dict(zip("C" + self.spatial, key, strict=True))
        positions = iter(self.index)
        box = np.asarray(
            self.data[tuple(slices[a] if a in slices else next(positions) for a in self.axes)]
        )
        kept = [a for a in self.axes if a in slices]
        if "C" not in kept:
            box, kept = box[None], ["C", *kept]
        return np.transpose(box, [kept.index(a) for a in "C" + self.spatial])


def resolve_axes(axes: str, dimensions: int) -> str:
    """Give pages without a name one: slices of a volume for a 3-D model, a series ("T") for 2-D."""
    return axes.replace("?", "Z" if dimensions == 3 else "T")


def axes_for(image: Image, dimensions: int, n_channels: int) -> str:
    """The axes of an image as a model sees them.

    As many pages without a name as a 2-D model has channels are its channels, as in training.
    """
    if dimensions == 2 and image.axes == "?YX" and 1 < n_channels == image.data.shape[0]:
        return "CYX"
    return resolve_axes(image.axes, dimensions)


def planes_of(image: Image, dimensions: int, n_channels: int) -> tuple[str, tuple[int, ...]]:
    """The axes (letters and sizes) along which an image is a series for a model.

    Raises:
        InputError: the image lacks an axis that the model needs, or has other channels.
    """
    axes = axes_for(image, dimensions, n_channels)
    sizes = dict(zip(axes, image.data.shape, strict=True))
    spatial = "ZYX"[-dimensions:]
    name = image.path or "the image"
    if missing := [a for a in spatial if a not in sizes]:
        raise InputError(
            f"{name} with axes {axes}",
            f"an axis {missing[0]} for a {dimensions}-D model",
            "name its axes (--axes), or use a model for its dimensions",
        )
    if sizes.get("C", 1) != n_channels:
        raise InputError(
            f"{name} with {sizes.get('C', 1)} channels",
            f"{n_channels}, as the model was trained on",
            "choose these channels, or name the axes (--axes CYX) where the file does not",
        )
    series = [a for a in axes if a not in spatial and a != "C"]
    return "".join(series), tuple(sizes[a] for a in series)


def iterate_planes(
    image: Image, dimensions: int, n_channels: int
) -> Iterator[tuple[tuple[int, ...], Plane]]:
    """Every plane of an image with its index along the series axes."""
    _, sizes = planes_of(image, dimensions, n_channels)
    axes = axes_for(image, dimensions, n_channels)
    for index in product(*(range(n) for n in sizes)):
        yield index, Plane(image.data, axes, "ZYX"[-dimensions:], index)
