"""Write what was asked for of an image whose results are in memory."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from biounet.config import Save
from biounet.images.challenge import write_isbi2012, write_linked_result
from biounet.images.image import Image
from biounet.images.objects import Piece, write_geojson, write_rois, write_table
from biounet.images.writing import write_image
from biounet.metrics.link import Linked, link_frame
from biounet.model import ModelFile
from biounet.prediction.planes import iterate_planes


@dataclass(frozen=True)
class Result:
    """The segmentation of an image, in the order TCZYX of its axes.

    Attributes:
        image: what was segmented; read again for intensities of objects.
        axes: of the labels.
        series: the sizes of the axes that the network does not see.
        labels: (*series, …) with ids of their own in each plane or volume.
        probabilities: (*series, K, …), or None where they are not asked for.
    """

    image: Image
    axes: str
    series: tuple[int, ...]
    labels: NDArray[np.int32]
    probabilities: NDArray[np.float32] | None


def write_output(result: Result, model: ModelFile, kind: Save, path: Path) -> None:
    """Write one kind of output; it appears under its name when it is whole."""
    size = result.image.pixel_size_um
    spatial = result.axes[len(result.series) :]
    classes = model.class_names if model.settings.objects.method == "classes" else None
    match kind:
        case "labels":
            write_labels(path, result.labels, result.axes, size)
        case "probabilities":
            write_probabilities(path, _probabilities(result), result, model.class_names)
        case "rois":
            write_rois(path, _pieces(result, model, False))
        case "geojson":
            write_geojson(path, _pieces(result, model, False), classes)
        case "table":
            names = result.image.channel_names
            write_table(path, _pieces(result, model, True), spatial, size, names)
        case "ctc":
            frames = result.labels.reshape(-1, *result.labels.shape[len(result.series) :])
            write_sequence(path, enumerate(frames))
        case "isbi2012":
            cell = 1 - np.take(_probabilities(result), 0, axis=len(result.series))
            write_isbi2012(path, cell.reshape(-1, *cell.shape[-2:]))


def write_labels(
    path: Path, labels: NDArray[np.int32], axes: str, pixel_size_um: tuple[float, ...] | None
) -> None:
    """Labels as uint16, or uint32 where there are more than 65,535."""
    wide = labels.size and int(labels.max()) > np.iinfo(np.uint16).max
    stored = labels.astype(np.uint32 if wide else np.uint16)
    write_image(path, stored, axes, pixel_size_um, compression="zlib", reduction="nearest")


def write_probabilities(
    path: Path, probabilities: NDArray[np.float32], result: Result, class_names: Sequence[str]
) -> None:
    """One plane a class, in the order TCZYX."""
    axes = result.axes[: len(result.series)] + "C" + result.axes[len(result.series) :]
    order = "".join(axis for axis in "TCZYX" if axis in axes)
    write_image(
        path,
        np.transpose(probabilities, [axes.index(axis) for axis in order]),
        order,
        result.image.pixel_size_um,
        tuple(class_names),
    )


def write_sequence(
    result: Path, frames: Iterable[tuple[int, NDArray[Any]]], n_digits: int = 3
) -> None:
    """Link the cells of successive frames and write them as a challenge's result folder, x_RES."""
    linked: Linked | None = None

    def link() -> Iterator[tuple[int, NDArray[np.uint16]]]:
        nonlocal linked
        for number, labels in frames:
            linked = link_frame(linked, number, labels)
            yield number, linked.labels

    def tracks() -> Iterator[tuple[int, int, int, int]]:
        for track in linked.tracks if linked else ():
            yield track.label, track.begin, track.end, track.parent

    write_linked_result(result, link(), tracks, n_digits)


def _pieces(result: Result, model: ModelFile, with_grey: bool) -> Iterator[Piece]:
    """Each plane or volume as a piece."""
    series, dimensions = result.axes[: len(result.series)], result.labels.ndim - len(result.series)
    start = (0,) * dimensions
    for index, plane in iterate_planes(result.image, dimensions, model.settings.network.channels):
        grey = plane[(slice(None),) * plane.ndim] if with_grey else None
        position = dict(zip(series, index, strict=True))
        yield Piece(result.labels[index], start, position, None, grey)


def _probabilities(result: Result) -> NDArray[np.float32]:
    if result.probabilities is None:
        raise ValueError("the probabilities were not kept")
    return result.probabilities
