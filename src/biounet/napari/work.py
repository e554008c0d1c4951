"""What the widgets do, without a window: segment a layer, train on layers, told as they go."""

import shlex
import sys
import threading
import time
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue
from typing import Any, Literal, TypeVar

import numpy as np
from numpy.typing import NDArray

from biounet.api import load, train_dataset
from biounet.images.arrays import dataset_from_arrays
from biounet.images.image import as_image
from biounet.images.labels import LabelKind
from biounet.learning.run_folder import Record, RunFolder
from biounet.learning.setup import Request
from biounet.network_settings import NetworkSettings
from biounet.prediction.instances import label_objects
from biounet.prediction.planes import iterate_planes, planes_of
from biounet.prediction.predictor import predict_plane
from biounet.prediction.rescaling import shown_to_network
from biounet.prediction.stacks import join_stacks, stack_axis

LayerData = tuple[Any, dict[str, Any], Literal["image", "labels"]]
"""What napari makes a layer of: data, its attributes, its kind."""

T = TypeVar("T")


@dataclass(frozen=True)
class Progress:
    """How far the work is (0..1), and what to say of it."""

    share: float
    text: str


Report = Callable[[Progress], None]


class Cancelled(Exception):  # noqa: N818 (not an error)
    """The user does not want to wait any longer."""


@dataclass(frozen=True)
class Picked:
    """An image layer: its name, its pixels, whether its last axis is colour, and its scale."""

    name: str
    data: Any
    rgb: bool
    scale: tuple[float, ...]


def in_steps(work: Callable[[Report], T]) -> Generator[Progress, None, T]:
    """Do work in a thread of its own, and yield its progress as it comes.

    Raises whatever the work raises.
    """
    told: SimpleQueue[Progress | None] = SimpleQueue()
    with ThreadPoolExecutor(1, "biounet") as pool:
        future = pool.submit(work, told.put)
        future.add_done_callback(lambda _: told.put(None))
        while (progress := told.get()) is not None:
            yield progress
        return future.result()


def layer_axes(picked: Picked, network: NetworkSettings) -> str:
    """The names of a layer's axes, as a network sees them: Y and X last, or before the colours.

    An axis in front with as many entries as the network has channels is taken for them.
    """
    shape = picked.data.shape
    axes = "YXC" if picked.rgb else "YX"
    n_left = len(shape) - len(axes)
    front = ""
    if not picked.rgb and 1 < network.channels == shape[0] and n_left > network.dimensions - 2:
        front, n_left = "C", n_left - 1
    return front + "TZ"[-n_left:] * (n_left > 0) + axes


def segment_layer(
    picked: Picked,
    model: Path,
    average: str,
    scale: float,
    with_probabilities: bool,
    stop: threading.Event,
    report: Report,
) -> list[LayerData]:
    """Layers with the objects of an image, and the probability of each class.

    Args:
        picked: the image.
        model: a model file or a run folder.
        average: `none` or `d4`.
        scale: how many times larger the network sees the image.
        with_probabilities: whether to show them.
        stop: set by another thread to end early; then there are no layers.
        report: told of every tile.

    Raises:
        InputError: no model, or an image that does not fit it.
    """
    report(Progress(0.0, "reading the model"))
    predictor = load(model, average=average, scale=scale).predictor
    file, network = predictor.model, predictor.model.settings.network
    image = as_image(picked.data, layer_axes(picked, network))
    names, series = planes_of(image, network.dimensions, network.channels)
    planes = list(iterate_planes(image, network.dimensions, network.channels))
    shown = (shown_to_network(plane, predictor.scale) for _, plane in planes)
    n_tiles = sum(len(predictor.plan(view.shape[1:])) for view in shown)
    n_done = 0

    def on_tile() -> None:
        nonlocal n_done
        n_done += 1
        if stop.is_set():
            raise Cancelled
        report(Progress(n_done / n_tiles, f"tile {n_done} of {n_tiles}"))

    try:
        probabilities = [predict_plane(predictor, plane, on_tile) for _, plane in planes]
    except Cancelled:
        return []
    objects = file.settings.objects
    labels = _in_series([label_objects(each, objects) for each in probabilities], series)
    slices = stack_axis(names, image.axes, network, objects)
    if slices is not None:
        labels = join_stacks(labels, slices, objects.join_slices)
    world = _scale_without_channels(picked, image.axes)
    layers: list[LayerData] = []
    if with_probabilities:
        stacked = _in_series(probabilities, series)
        layers += [
            (
                stacked.take(number, axis=len(series)),
                {"name": f"{picked.name} {name}", "scale": world, "contrast_limits": (0, 1)},
                "image",
            )
            for number, name in enumerate(file.class_names)
        ]
    return [*layers, (labels, {"name": f"{picked.name} objects", "scale": world}, "labels")]


def _in_series(planes: Sequence[NDArray[Any]], series: tuple[int, ...]) -> NDArray[Any]:
    return np.stack(planes).reshape(*series, *planes[0].shape)


def _scale_without_channels(picked: Picked, axes: str) -> tuple[float, ...]:
    """The layer's scale (which has no entry for colours) along the axes of its labels."""
    return picked.scale[1:] if axes.startswith("C") else picked.scale


def train_on_layers(
    picked: Picked,
    labels: Any,
    volumes: bool,
    labels_are: LabelKind | None,
    minutes: float,
    out: Path,
    stop: threading.Event,
    report: Report,
) -> Path:
    """Train a network on an image layer and a labels layer; the model file.

    Args:
        picked: the image: one, or a stack.
        labels: integers, of the image's shape without colours.
        volumes: whether three axes are one volume, and not a stack of images.
        labels_are: `instances`, `mask` or `classes`; None: found by looking.
        minutes: wall time.
        out: a new run folder.
        stop: set by another thread to end early; what was learned so far is kept.
        report: told of every step.

    Raises:
        InputError: layers that do not fit together, a run folder that exists.
    """
    report(Progress(0.0, "preparing the data"))
    dataset = dataset_from_arrays(
        np.asarray(picked.data), np.asarray(labels), labels_are, axes="ZYX" if volumes else None
    )
    request = Request(
        preset="fast",
        said={"training": {"minutes": minutes}},
        device="auto",
        start_from=None,
        started=time.monotonic(),
        command=shlex.join(sys.argv),
    )

    def on_record(record: Record) -> None:
        if stop.is_set():
            raise KeyboardInterrupt  # as Ctrl-C: the training keeps its weights and ends
        if record["kind"] == "step":
            words = f"step {record['step']}, loss {record['loss']:.3f}"
            report(Progress(record["progress"], words))

    best = RunFolder(out).best
    try:
        train_dataset(dataset, request, out, False, on_record)
    except KeyboardInterrupt:
        if not best.exists():
            raise Cancelled from None
    return best
