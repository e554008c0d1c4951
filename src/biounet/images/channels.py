"""Images whose channels lie in files of their own, as nnU-Net has them: x_0000.tif, x_0001.tif."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from biounet.errors import InputError
from biounet.images.image import Image
from biounet.images.reading import image_stem, read_image
from biounet.images.regions import Pixels

_CHANNEL = re.compile(r"(.+)_(\d{4})")


def channel_of(path: Path) -> tuple[str, int] | None:
    """The case and the channel that a file's name tells; None where it tells none."""
    match = _CHANNEL.fullmatch(image_stem(path))
    return None if match is None else (match.group(1), int(match.group(2)))


def grouped_channels(paths: Sequence[Path], n_channels: int) -> list[tuple[Path, ...]]:
    """The files of each image, in the order of its first: channels 0, 1, … that are all there.

    Files without a channel number, and cases of more or fewer channels, stay by themselves.
    """
    cases: dict[tuple[Path, str], dict[int, Path]] = {}
    for path in paths:
        if (named := channel_of(path)) is not None:
            cases.setdefault((path.parent, named[0]), {})[named[1]] = path
    groups: dict[tuple[Path, ...], None] = {}
    for path in paths:
        named = channel_of(path)
        files = {} if named is None else cases[path.parent, named[0]]
        whole = n_channels > 1 and sorted(files) == list(range(n_channels))
        groups[tuple(files[k] for k in range(n_channels)) if whole else (path,)] = None
    return list(groups)


def read_channels(paths: Sequence[Path], axes: str | None = None) -> Image:
    """Read an image of one file, or of a file for each channel.

    Raises InputError as `read_image` does, and for channels that differ in shape or axes or have
    channels themselves.
    """
    images = [read_image(path, axes) for path in paths]
    first = images[0]
    if len(images) == 1:
        return first
    for path, image in zip(paths, images, strict=True):
        if "C" in image.axes:
            raise InputError(
                f"{path} with axes {image.axes}, a file of one channel by its name",
                "one channel in each file",
                "rename it, or split its channels",
            )
        if (image.axes, image.data.shape) != (first.axes, first.data.shape):
            raise InputError(
                f"channels that differ: {paths[0].name} is {_told(first)}, {path.name} "
                f"is {_told(image)}",
                "channels of one shape",
                "export them again",
            )
    return Image(
        Joined(tuple(image.data for image in images)),
        "C" + first.axes,
        first.pixel_size_um,
        None,
        first.path,
    )


def _told(image: Image) -> str:
    return f"{' x '.join(map(str, image.data.shape))} ({image.axes})"


@dataclass(frozen=True)
class Joined:
    """Arrays of one shape as channels of one, (C, …); nothing is read before it is asked for."""

    channels: tuple[Pixels, ...]

    @property
    def shape(self) -> tuple[int, ...]:
        """(C, …)."""
        return (len(self.channels), *self.channels[0].shape)

    @property
    def ndim(self) -> int:
        """One more than each channel's."""
        return 1 + self.channels[0].ndim

    @property
    def dtype(self) -> np.dtype[Any]:
        """One that holds every channel's values."""
        return np.result_type(*(channel.dtype for channel in self.channels))

    def __getitem__(self, key: tuple[slice | int, ...]) -> NDArray[Any]:
        """A box; a slice of channels first."""
        chosen = self.channels[key[0]] if isinstance(key[0], slice) else (self.channels[key[0]],)
        box = np.stack([np.asarray(channel[key[1:]], self.dtype) for channel in chosen])
        return box if isinstance(key[0], slice) else np.asarray(box[0])
