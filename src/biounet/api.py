"""What people call: `train`, `load`, and `Model` with `predict`, `segment` and `save`."""

import shlex
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from biounet.config import PREDICTION, merged
from biounet.errors import InputError
from biounet.images.arrays import dataset_from_arrays
from biounet.images.dataset import DataSet
from biounet.images.image import Image, as_image
from biounet.images.labels import LabelKind
from biounet.images.reading import read_image
from biounet.learning.processes import from_first
from biounet.learning.run_folder import Record, open_run
from biounet.learning.setup import Request
from biounet.learning.training import train as train_run
from biounet.model import ModelFile, at_scale, read_model, with_objects, write_model
from biounet.network_settings import NetworkSettings
from biounet.prediction.ensemble import make_ensemble
from biounet.prediction.instances import label_objects
from biounet.prediction.planes import iterate_planes, planes_of
from biounet.prediction.predictor import Predictor, make_predictor, predict_plane
from biounet.prediction.rescaling import scale_per_axis
from biounet.prediction.stacks import join_stacks, stack_axis
from biounet.shipped import find_model_file


@dataclass(frozen=True)
class Model:
    """A trained network, ready to use.

    Attributes:
        file: everything that its model file holds.
        predictor: the network on the device it runs on, with its settings of labels at the scale
            that was asked for.
    """

    file: ModelFile
    predictor: Predictor

    def predict(self, image: Any, *, axes: str | None = None) -> NDArray[np.float32]:
        """Probabilities of every class, float32 in 0..1.

        Args:
            image: (Y, X), or (Z, Y, X) for a 3-D model; with channels first or last if the model
                has several; an array, a lazy array (zarr, dask) or a path. Further axes are series.
            axes: the names of its axes, such as "TCYX", where they are not plain.

        Returns:
            (classes, Y, X) or (classes, Z, Y, X), the series axes in front.

        Raises:
            InputError: the image does not fit the model.
        """
        network = self.file.settings.network
        opened = open_image(image, axes, network)
        _, sizes = planes_of(opened, network.dimensions, network.channels)
        planes = [
            predict_plane(self.predictor, plane)
            for _, plane in iterate_planes(opened, network.dimensions, network.channels)
        ]
        return np.stack(planes).reshape(*sizes, *planes[0].shape)

    def segment(self, image: Any, *, axes: str | None = None) -> NDArray[np.int32]:
        """Labels, int32: 0 is background, every object has its own number.

        Takes what `predict` takes; returns (Y, X) or (Z, Y, X), the series axes in front.
        Objects of a 2-D model go through the slices of a stack where `objects.join_slices` is set.
        """
        network, objects = self.file.settings.network, self.predictor.model.settings.objects
        opened = open_image(image, axes, network)
        names, sizes = planes_of(opened, network.dimensions, network.channels)
        labels = [
            label_objects(predict_plane(self.predictor, plane), objects)
            for _, plane in iterate_planes(opened, network.dimensions, network.channels)
        ]
        series = np.stack(labels).reshape(*sizes, *labels[0].shape)
        slices = stack_axis(names, opened.axes, network, objects)
        return series if slices is None else join_stacks(series, slices, objects.join_slices)

    def save(self, path: str | Path) -> None:
        """Write the model file (`.safetensors`)."""
        write_model(self.file, Path(path))


def open_image(image: Any, axes: str | None, network: NetworkSettings) -> Image:
    """An `Image` of a path or an array; one axis more than a model with channels sees is theirs."""
    if isinstance(image, str | Path):
        return read_image(image, axes)
    shape: tuple[int, ...] = getattr(image, "shape", ())
    if axes is None and network.channels > 1 and len(shape) == network.dimensions + 1:
        spatial = "ZYX"[-network.dimensions :]
        axes = "C" + spatial if shape[0] == network.channels else spatial + "C"
    return as_image(image, axes)


def load(
    path: str | Path | Sequence[str | Path],
    *,
    device: str = PREDICTION.device,
    precision: str = PREDICTION.precision,
    tile: int | None = PREDICTION.tile,
    average: str = PREDICTION.average,
    scale: float | Sequence[float] = PREDICTION.scale,
    engine: str = PREDICTION.engine,
    objects: dict[str, Any] = PREDICTION.objects,
) -> Model:
    """Read a model file, the best model of a run folder, or a network that comes with biounet.

    Several, trained with the same settings, become one.

    Args:
        path: a `.safetensors` file, a run folder, or a name: `em-membranes`, `dic-cells`,
            `phase-contrast-cells`, `nuclei` (a file or run folder of that name goes before).
            Several of these, trained alike: their probabilities are averaged.
        device: `auto`, `cpu`, `cuda` or `mps`.
        precision: `auto`, `float32`, `bfloat16` or `float16`.
        tile: side of the input tile in px; None: chosen.
        average: `none`, `d4` (the 8 symmetries) or `rotations:N`.
        scale: how many times larger the network sees images; one factor, or one for each axis.
            Smaller than 1 where objects are larger than those learned from.
        engine: `auto` (the fastest that is installed; measured once), `torch`, `openvino` or
            `onnx`.
        objects: settings of labels in place of the model's, such as `{"threshold": 0.9}`.
    """
    files = [find_model(each) for each in ([path] if isinstance(path, str | Path) else path)]
    file = files[0] if len(files) == 1 else make_ensemble(files)
    factors = (scale,) if isinstance(scale, float | int) else tuple(scale)
    factors = scale_per_axis(factors, file.settings.network.dimensions)
    seen = with_objects(at_scale(file, factors), objects)
    predictor = make_predictor(seen, device, precision, tile, average, engine, scale=factors)
    return Model(with_objects(file, objects), predictor)


def find_model(name: str | Path) -> ModelFile:
    """The model of a model file, the best of a run folder, or one that comes with biounet."""
    return read_model(find_model_file(name))


def train(
    images: Any,
    labels: Any = None,
    *,
    out: str | Path | None = None,
    preset: Literal["fast", "paper"] = "fast",
    minutes: float | None = None,
    steps: int | None = None,
    labels_are: LabelKind | None = None,
    settings: dict[str, Any] | None = None,
    start_from: str | Path | None = None,
    device: str = "auto",
    on_record: Callable[[Record], None] = lambda _: None,
) -> Model:
    """Train a network on annotated images.

    Args:
        images: a list of arrays or paths, a stack, or a folder; see `dataset_from_arrays`.
        labels: the same of instance ids, masks or class maps; None: `images` is a folder that holds
            both, as for `biounet train`.
        out: a new run folder to keep; None: only the model is returned.
        preset: `fast`, or `paper` for the 2015 recipe.
        minutes: wall time, 10 where no budget is given; or
        steps: a number of steps.
        labels_are: `instances`, `mask` or `classes`; None: found by looking.
        settings: any other settings, a tree of names as in `settings.yaml`.
        start_from: what `load` takes, whose weights to begin with.
        device: `auto`, `cpu`, `cuda` or `mps`.
        on_record: called with every record of the log, and with every step.

    Raises:
        InputError: images and labels that do not fit together, or wrong settings.
    """
    dataset = dataset_from_arrays(images, labels, labels_are)
    said = merged(settings or {}, {"training": _budget(minutes, steps)})
    request = Request(
        preset=preset,
        said=said,
        device=device,
        start_from=None if start_from is None else find_model(start_from),
        started=time.monotonic(),
        command=shlex.join(sys.argv),
    )
    if out is not None:
        return train_dataset(dataset, request, Path(out), False, on_record)
    with tempfile.TemporaryDirectory(prefix="biounet-") as folder:
        return train_dataset(dataset, request, Path(folder) / "run", False, on_record)


def train_dataset(
    dataset: DataSet,
    request: Request,
    out: Path,
    resume: bool,
    on_record: Callable[[Record], None],
) -> Model:
    """Train on a data set that was found; the best model."""
    folder = from_first(request.processes, lambda: open_run(out, resume))
    file = train_run(dataset, request, folder, on_record)
    return Model(file, make_predictor(file, request.device, "auto", None, "none"))


def _budget(minutes: float | None, steps: int | None) -> dict[str, float | None]:
    """The budget that was asked for, in place of any in the settings."""
    if minutes is not None and steps is not None:
        raise InputError("both minutes and steps", "one budget", "leave one out")
    if minutes is None and steps is None:
        return {}
    return {"minutes": minutes, "steps": steps}
