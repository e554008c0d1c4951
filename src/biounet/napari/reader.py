"""Open what biounet wrote: folders of results, single results, run folders."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from biounet.images.reading import is_image, read_image
from biounet.learning.gallery import read_training_gallery, read_validation_gallery
from biounet.learning.run_folder import RunFolder
from biounet.napari.work import LayerData

Paths = str | list[str]

RESULTS = {"_labels": "labels", "_probabilities": "image"}
"""The ends of the names of results, and the layers that they become."""


def get_reader(path: Paths) -> Callable[[Paths], list[LayerData]] | None:
    """A function that reads these paths; None where biounet wrote none of them."""
    paths = [Path(one) for one in ([path] if isinstance(path, str) else path)]
    if paths and all(_is_ours(one) for one in paths):
        return read_layers
    return None


def _is_ours(path: Path) -> bool:
    return is_run(path) or bool(results_in(path))


def is_run(path: Path) -> bool:
    """Whether a path is a run folder."""
    run = RunFolder(path)
    return run.settings.is_file() and run.log.is_file()


def results_in(path: Path) -> list[Path]:
    """The results in a folder, or the path itself if it is one."""
    candidates = sorted(path.iterdir()) if path.is_dir() and not is_image(path) else [path]
    return [one for one in candidates if _ending(one) is not None and is_image(one)]


def _ending(path: Path) -> str | None:
    stem = path.name.split(".")[0]
    return next((ending for ending in RESULTS if stem.endswith(ending)), None)


def read_layers(path: Paths) -> list[LayerData]:
    """The layers of results and run folders."""
    layers: list[LayerData] = []
    for one in [path] if isinstance(path, str) else path:
        folder = Path(one)
        if is_run(folder):
            layers += read_run(folder)
        else:
            for result in results_in(folder):
                layers += read_result(result)
    return layers


def read_result(path: Path) -> list[LayerData]:
    """A labels layer, or an image layer for each class of probabilities."""
    image = read_image(path)
    ending = _ending(path)
    size = image.pixel_size_um or (1.0,) * len(image.axes.replace("C", ""))
    attributes: dict[str, Any] = {"name": path.name.split(".")[0]}
    spatial = dict(zip("ZYX"[-len(size) :], size, strict=True))
    attributes["scale"] = tuple(spatial.get(axis, 1.0) for axis in image.axes if axis != "C")
    if ending == "_labels":
        return [(np.asarray(image.data), attributes, "labels")]
    attributes["contrast_limits"] = (0, 1)
    if "C" not in image.axes:
        return [(image.data, attributes, "image")]
    channel = image.axes.index("C")
    planes = np.moveaxis(np.asarray(image.data), channel, 0)
    names = image.channel_names or tuple(f"class {number}" for number in range(len(planes)))
    return [
        (plane, {**attributes, "name": f"{attributes['name']} {name}"}, "image")
        for name, plane in zip(names, planes, strict=True)
    ]


def read_run(folder: Path) -> list[LayerData]:
    """The validation images of a run with true and predicted labels; before its end, the data."""
    run = RunFolder(folder)
    layers: list[LayerData] = []
    if (validation := read_validation_gallery(run)) is not None:
        for each in validation.views:
            name = each.view.name
            layers += [
                (each.view.image, {"name": name, "rgb": each.view.image.ndim == 3}, "image"),
                (each.view.labels, {"name": f"{name} truth", "visible": False}, "labels"),
                (each.predicted, {"name": f"{name} predicted"}, "labels"),
            ]
    elif (training := read_training_gallery(run)) is not None:
        for view in training.views:
            layers += [
                (view.image, {"name": view.name, "rgb": view.image.ndim == 3}, "image"),
                (view.labels, {"name": f"{view.name} truth"}, "labels"),
            ]
    return layers
