"""What a run leaves to look at: a few images, samples and predictions, for its report.

RUN/gallery/training.npz     written when the run starts
            validation.npz   written when it ends

Pictures are 8-bit, one slice of a volume, at most 512 px a side; what is said about a data set
counts all of it. Compressed numpy arrays without pickle, and one JSON text (`gallery_views.py`
makes what is written here).
"""

import json
import zipfile
from collections.abc import Callable
from dataclasses import dataclass, fields, is_dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from biounet.errors import InputError
from biounet.images.atomic import written_whole
from biounet.learning.run_folder import RunFolder

Grey = NDArray[np.uint8]
"""A picture: (Y, X), or (Y, X, 3) in colour."""

G = TypeVar("G")


@dataclass(frozen=True)
class ImageFacts:
    """One image of the data set, all of it.

    Attributes:
        part: "training" or "validation".
        class_px: annotated pixels of each class, background first.
        n_unannotated_px: pixels that nobody annotated.
    """

    name: str
    part: str
    shape: tuple[int, ...]
    n_objects: int
    class_px: tuple[int, ...]
    n_unannotated_px: int


@dataclass(frozen=True)
class View:
    """A part of an annotated image.

    Attributes:
        labels: integers (Y, X), as annotated.
        annotated: bool (Y, X); all True where everything is.
        whole: whether this is all of the image.
    """

    name: str
    image: Grey
    labels: NDArray[np.int32]
    annotated: NDArray[np.bool_]
    whole: bool


@dataclass(frozen=True)
class PreparedView:
    """A view with what training makes of it: the class map with cut borders, and the weights."""

    view: View
    class_map: NDArray[np.uint8]
    weights: NDArray[np.float32]


@dataclass(frozen=True)
class Sample:
    """A training sample as the network sees it.

    Attributes:
        source: the image it was drawn from.
        image: the input patch.
        class_map, weights: of the output patch, in the middle of the input.
        coordinates: (2, y, x) Y and X in the source image, px, of every fourth pixel of the input.
    """

    source: str
    image: Grey
    class_map: NDArray[np.uint8]
    weights: NDArray[np.float32]
    coordinates: NDArray[np.float32]


@dataclass(frozen=True)
class Corner:
    """The first pixels of an image, and how its first tile lies on it.

    Attributes:
        shape: (Y, X) of the whole image.
        margin, input_shape: of the tile, px.
        written: (Y, X) that the tile writes.
    """

    name: str
    image: Grey
    shape: tuple[int, ...]
    margin: tuple[int, ...]
    input_shape: tuple[int, ...]
    written: tuple[int, ...]


@dataclass(frozen=True)
class TrainingGallery:
    """What a run leaves when it starts; `sizes_px` are areas or volumes of training objects."""

    labels_are: str
    class_names: tuple[str, ...]
    pixel_size_um: tuple[float, ...] | None
    facts: tuple[ImageFacts, ...]
    sizes_px: NDArray[np.int64]
    views: tuple[View, ...]
    prepared: tuple[PreparedView, ...]
    samples: tuple[Sample, ...]
    corner: Corner


@dataclass(frozen=True)
class ImageResult:
    """How one validation image, all of it, was segmented.

    Attributes:
        scores: by name, the run's own score first; 0..1.
        true_objects, predicted_objects: how many there are of each `Outcome`; empty without
            instances.
    """

    name: str
    scores: dict[str, float]
    true_objects: dict[str, int]
    predicted_objects: dict[str, int]


@dataclass(frozen=True)
class PredictedView:
    """A view and the labels that were predicted for it."""

    view: View
    predicted: NDArray[np.int32]


@dataclass(frozen=True)
class ValidationGallery:
    """What a run leaves at its end: all results, worst first, and pictures of some of them."""

    labels_are: str
    dimensions: int
    results: tuple[ImageResult, ...]
    true_sizes_px: NDArray[np.int64]
    predicted_sizes_px: NDArray[np.int64]
    views: tuple[PredictedView, ...]


def write_training_gallery(gallery: TrainingGallery, run: RunFolder) -> None:
    """Write what the report shows of the data."""
    _write(gallery, run.path / "gallery" / "training.npz")


def write_validation_gallery(gallery: ValidationGallery, run: RunFolder) -> None:
    """Write what the report shows of the predictions."""
    _write(gallery, run.path / "gallery" / "validation.npz")


def read_training_gallery(run: RunFolder) -> TrainingGallery | None:
    """What the run left when it started; None where it left nothing."""
    return _read(run.path / "gallery" / "training.npz", _training_gallery)


def read_validation_gallery(run: RunFolder) -> ValidationGallery | None:
    """What the run left at its end; None where it left nothing."""
    return _read(run.path / "gallery" / "validation.npz", _validation_gallery)


def _training_gallery(tree: dict[str, Any]) -> TrainingGallery:
    return TrainingGallery(
        **{
            **tree,
            "facts": tuple(ImageFacts(**each) for each in tree["facts"]),
            "views": tuple(View(**each) for each in tree["views"]),
            "prepared": tuple(
                PreparedView(**{**each, "view": View(**each["view"])}) for each in tree["prepared"]
            ),
            "samples": tuple(Sample(**each) for each in tree["samples"]),
            "corner": Corner(**tree["corner"]),
        }
    )


def _validation_gallery(tree: dict[str, Any]) -> ValidationGallery:
    return ValidationGallery(
        **{
            **tree,
            "results": tuple(ImageResult(**each) for each in tree["results"]),
            "views": tuple(
                PredictedView(**{**each, "view": View(**each["view"])}) for each in tree["views"]
            ),
        }
    )


def _write(gallery: Any, path: Path) -> None:
    arrays: dict[str, NDArray[Any]] = {}
    text = json.dumps(_without_arrays(gallery, arrays))
    path.parent.mkdir(parents=True, exist_ok=True)
    with written_whole(path) as temporary, temporary.open("wb") as file:
        np.savez_compressed(file, allow_pickle=False, text=np.array(text), **arrays)


def _read(path: Path, build: Callable[[dict[str, Any]], G]) -> G | None:
    if not path.exists():
        return None
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
        return build(_with_arrays(json.loads(str(arrays["text"])), arrays))
    except (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile) as error:
        raise InputError(
            f"{path}, which is damaged or of another version ({error})",
            "what this version's training run wrote",
            "delete it: the report then leaves these pictures out",
        ) from None


def _without_arrays(value: Any, arrays: dict[str, NDArray[Any]]) -> Any:
    """A value as plain JSON, its arrays put aside and named in their places."""
    if isinstance(value, np.ndarray):
        name = f"array{len(arrays)}"
        arrays[name] = value
        return {"array": name}
    if is_dataclass(value):
        return {f.name: _without_arrays(getattr(value, f.name), arrays) for f in fields(value)}
    if isinstance(value, tuple):
        return [_without_arrays(each, arrays) for each in value]
    return value


def _with_arrays(tree: Any, arrays: dict[str, NDArray[Any]]) -> Any:
    if isinstance(tree, dict):
        if set(tree) == {"array"}:
            return arrays[tree["array"]]
        return {name: _with_arrays(value, arrays) for name, value in tree.items()}
    if isinstance(tree, list):
        return tuple(_with_arrays(each, arrays) for each in tree)
    return tree
