"""The files of an evaluation: which prediction belongs to which truth, and what they hold."""

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from biounet.errors import InputError
from biounet.images.image import Image
from biounet.images.labels import as_integers
from biounet.images.layouts.matching import list_images, match_by_name
from biounet.images.reading import image_stem, read_image
from biounet.metrics import MetricWarning, Track


@dataclass(frozen=True)
class Pair:
    """A prediction and its truth, by name."""

    name: str
    prediction: Path
    truth: Path


def pair_files(prediction: Path, truth: Path, kind: str = "labels") -> list[Pair]:
    """Each truth with its prediction: two files, or the files of two folders by name.

    Args:
        kind: `labels` or `probabilities`; where a folder holds `x_labels` and `x_probabilities`,
            as `predict` writes them, only these are taken.
    """
    if prediction.is_dir() != truth.is_dir() and ".zarr" not in f"{prediction}{truth}":
        raise InputError(
            f"a folder and a file ({prediction}, {truth})",
            "two folders, or two files",
            "of single slices, predict --save probabilities gives a folder",
        )
    if not truth.is_dir() or truth.suffix == ".zarr":
        return [Pair(truth.stem, prediction, truth)]
    predicted_files = list_images(prediction)
    named = [p for p in predicted_files if image_stem(p).endswith(f"_{kind}")]
    matched, _ = match_by_name(named or predicted_files, list_images(truth))
    return [Pair(truth_file.stem, predicted, truth_file) for predicted, truth_file in matched]


def slice_names(pairs: Sequence[Pair], n_slices: Sequence[int]) -> list[str]:
    """A name for each slice of each truth: that of its file where that holds one only."""
    return [
        pair.name if n == 1 else f"{pair.name}, slice {z}"
        for pair, n in zip(pairs, n_slices, strict=True)
        for z in range(n)
    ]


def read_grey(path: Path, shape: tuple[int, ...], z: int | None = None) -> NDArray[Any]:
    """The grey values (C, …) behind labels of a shape; `z`: behind those of one slice.

    Raises:
        InputError: an image of another size.
    """
    image = read_image(path)
    data = np.asarray(image.data)
    data = np.moveaxis(data, image.axes.index("C"), 0) if "C" in image.axes else data[None]
    data = data if z is None else data[:, z]
    if math.prod(data.shape[1:]) != math.prod(shape) or data.shape[-2:] != shape[-2:]:
        raise InputError(
            f"{path} of shape {data.shape[1:]}", f"{shape}, as its labels", "give their images"
        )
    return data.reshape(len(data), *shape)


def read_truth(
    path: Path, ignore_value: int | None
) -> tuple[NDArray[Any], NDArray[np.bool_] | None]:
    """The integers of a label file, 0 where nobody annotated, and where that is (None: nowhere)."""
    labels = read_labels(path, ignore_value)
    if ignore_value is None:
        return labels, None
    ignored = labels == ignore_value
    return np.where(ignored, 0, labels), ignored


def read_labels(path: Path, ignore_value: int | None = None) -> NDArray[Any]:
    """The integers of a label file, all its pages.

    Labels have no channels: pages that a program saved as such ("CYX") are slices, and grey values
    saved as colours are grey values.
    """
    image = read_image(path)
    data = np.asarray(image.data)
    if "C" in image.axes and image.axes != "CYX":
        channels = np.moveaxis(data, image.axes.index("C"), 0)
        if not (channels == channels[0]).all():
            raise InputError(
                f"{path} with channels (axes {image.axes})",
                "labels of one channel",
                "take one channel",
            )
        data = channels[0]
    return as_integers(data, path.name, ignore_value)


def cell_probabilities(image: Image, labels: NDArray[Any]) -> NDArray[Any]:
    """P(cell) of every slice: the last class where the axes name a class axis ("C").

    Of labels that `predict` wrote (`x_labels.tif`): 1 in cells, 0 outside and where two meet.

    As many pages as the labels have slices are slices, also where a program saved them as
    channels ("CYX").
    """
    data = np.asarray(image.data)
    if "C" in image.axes and not (image.axes == "CYX" and len(data) == len(labels)):
        data = np.take(data, -1, axis=image.axes.index("C"))
    data = data.reshape(-1, *data.shape[-2:])
    if data.dtype.kind == "u" and image.path and image_stem(image.path).endswith("_labels"):
        data = parted_cells(data)
    if data.dtype == np.uint8 and data.max() != 1:
        warnings.warn(
            "8-bit probabilities are divided by 255 (the organisers' program would silently take "
            "them as all cell)",
            MetricWarning,
            stacklevel=2,
        )
        data = data / np.float32(255)
    if data.dtype.kind in "iu":
        raise InputError(
            f"integer probabilities ({data.dtype}, up to {data.max()}) in {image.path}",
            "32-bit floats in 0..1, or 8-bit values in 0..255",
            "save them as floats; labels of cells are scored in files named x_labels.tif",
        )
    if data.shape != labels.shape:
        raise InputError(
            f"{image.path}: {len(data)} slices of {_size(data)}",
            f"{len(labels)} slices of {_size(labels)}, as the labels",
            "give the prediction of these labels",
        )
    return data


def parted_cells(labels: NDArray[Any]) -> NDArray[np.float32]:
    """1 in the labelled pixels of slices (Z, Y, X), 0 elsewhere and in a dam between two labels.

    The dam takes the pixel before the other label along each axis.
    """
    cells = (labels > 0).astype(np.float32)
    for axis in (1, 2):
        here, there = np.moveaxis(labels, axis, 0)[:-1], np.moveaxis(labels, axis, 0)[1:]
        np.moveaxis(cells, axis, 0)[:-1][(here != there) & (there > 0)] = 0
    return cells


def _size(array: NDArray[Any]) -> str:
    return " x ".join(map(str, array.shape[1:])) + " px"


def read_tracks(path: Path) -> list[Track]:
    """The lines "L B E P" of a table of tracks."""
    tracks = []
    for number, line in enumerate(path.read_text().splitlines(), start=1):
        if not line.strip():
            continue
        try:
            label, begin, end, parent = map(int, line.split())
        except ValueError:
            raise InputError(
                f"line {number} of {path}: {line!r}", "four whole numbers L B E P", "mend it"
            ) from None
        tracks.append(Track(label, begin, end, parent))
    return tracks
