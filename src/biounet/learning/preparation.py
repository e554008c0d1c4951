"""From a data set to training images: normalised grey values, class maps and weight maps."""

import hashlib
import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage

from biounet.config import Settings, WeightSettings
from biounet.geometry import Footprint
from biounet.images.dataset import Annotated, DataSet
from biounet.images.statistics import intensity_statistics
from biounet.learning.borders import separate_touching
from biounet.learning.sampling import TrainingImage
from biounet.learning.weight_map import class_weights, count_classes, weight_map
from biounet.model import Intensity
from biounet.prediction.intensity import intensity_of
from biounet.prediction.overlap_tile import normalise

N_TUNING = 16
"""Training images, at most, on which the settings of labels are found."""


@dataclass(frozen=True)
class Split:
    """Annotated images to learn from and to score on, and why they were split so."""

    training: tuple[Annotated, ...]
    validation: tuple[Annotated, ...]
    why: str


@dataclass(frozen=True)
class TrainingData:
    """What the training loop takes.

    Attributes:
        training: ready to be sampled.
        validation: as they were read; scored by real prediction.
        tuning: some of the training images, as they were read: the settings of labels are found on
            these and the held-out ones. None for classes, which have no such settings.
        intensity: of the training set as a whole.
        class_weight: w_c of the training set.
        data_hash: of every pixel and label, for the provenance.
    """

    training: tuple[TrainingImage, ...]
    validation: tuple[Annotated, ...]
    tuning: tuple[Annotated, ...]
    intensity: Intensity
    class_weight: tuple[float, ...]
    data_hash: str


def split_items(
    items: Sequence[Annotated], fraction: float, most: int, footprint: Footprint, seed: int
) -> Split:
    """Hold out images for validation, `most` at most.

    Images of a numbered series (slices of a stack, frames of a film) resemble their neighbours,
    so the last ones are held out together; others are drawn at random. Where one image is more
    than the fraction, a region at its end is held out, if what remains is large enough for the
    network's margin.
    """
    if fraction == 0:
        return Split(tuple(items), (), "nothing, as asked")
    series = is_numbered_series([item.name for item in items])
    shuffled = np.random.default_rng(seed).permutation(len(items)).tolist()
    order = list(reversed(range(len(items)))) if series else shuffled
    if len(items) == 1 or len(items) * fraction < 1:
        part = _split_image(items[order[0]], footprint)
        if part.validation or len(items) == 1:
            others = tuple(items[k] for k in sorted(order[1:]))
            return replace(part, training=(*others, *part.training))
    n_held_out = min(max(round(len(items) * fraction), 1), most, len(items) - 1)
    held_out = set(order[:n_held_out])
    return Split(
        tuple(item for k, item in enumerate(items) if k not in held_out),
        tuple(item for k, item in enumerate(items) if k in held_out),
        f"the last {n_held_out} of a series of {len(items)}"
        if series
        else f"{n_held_out} of {len(items)}, drawn at random",
    )


def is_numbered_series(names: Sequence[str]) -> bool:
    """Whether names differ in one number only: slices of a stack, frames of a film."""
    return len({re.sub(r"\d+(?!.*\d)", "", name) for name in names}) == 1


def _split_image(item: Annotated, footprint: Footprint) -> Split:
    """Hold out the last quarter along the longer axis of Y and X, unless too little remains."""
    axis = item.labels.ndim - 2 + int(item.labels.shape[-1] >= item.labels.shape[-2])
    size = item.labels.shape[axis]
    border = size * 3 // 4
    if border < 2 * footprint.margin[axis] or size - border < footprint.step[axis]:
        return Split((item,), (), "one small image: all of it is for training, nothing is scored")
    first, last = (_part(item, axis, *ends) for ends in ((0, border), (border, size)))
    if not (last.labels > 0).any() or not (first.labels > 0).any():
        return Split((item,), (), "one image with objects in one part only: nothing is scored")
    return Split(
        (first,),
        (last,),
        f"the part of {item.name} from {'ZYX'[axis - item.labels.ndim]} = {border} px on",
    )


def _part(item: Annotated, axis: int, start: int, stop: int) -> Annotated:
    box = (slice(None),) * axis + (slice(start, stop),)
    return Annotated(
        name=f"{item.name}[{start}:{stop}]",
        image=item.image[(slice(None), *box)],
        labels=item.labels[box],
        annotated=None if item.annotated is None else item.annotated[box],
        pixel_size_um=item.pixel_size_um,
    )


def prepare(split: Split, dataset: DataSet, settings: Settings) -> TrainingData:
    """Normalise, cut borders between touching objects, and weigh every pixel (eq. 2)."""
    separated = [separate(item, dataset.labels_are, settings.weights) for item in split.training]
    counts = [
        count_classes(class_map, dataset.n_classes, item.annotated)
        for item, (_, class_map) in zip(split.training, separated, strict=True)
    ]
    whole = class_weights(np.sum(counts, axis=0))
    statistics = [
        intensity_of(
            intensity_statistics(i.image, "C" + "ZYX"[-i.labels.ndim :]), settings.intensity
        )
        for i in split.training
    ]
    of_the_set = Intensity(
        tuple(np.mean([s.offset for s in statistics], axis=0).tolist()),
        tuple(np.mean([s.scale for s in statistics], axis=0).tolist()),
    )
    training = []
    for item, (labels, class_map), count, own in zip(
        split.training, separated, counts, statistics, strict=True
    ):
        balance = settings.weights.class_balance
        weights = weight_map(
            labels,
            class_map,
            {
                "training-set": whole,
                "image": class_weights(count),
                "none": np.ones(dataset.n_classes),
            }[balance],
            settings.weights.border_weight,
            settings.weights.border_sigma_px,
            item.annotated,
            voxel_spacing(item.pixel_size_um),
        )
        intensity = own if settings.intensity.source == "image" else of_the_set
        training.append(
            TrainingImage(
                item.name,
                torch.from_numpy(normalise(item.image, intensity)),
                torch.from_numpy(np.stack([class_map, weights, labels]).astype(np.float32)),
            )
        )
    every = max(1, math.ceil(len(split.training) / N_TUNING))
    return TrainingData(
        training=tuple(training),
        validation=split.validation,
        tuning=() if dataset.labels_are == "classes" else split.training[::every],
        intensity=of_the_set,
        class_weight=tuple(whole.tolist()),
        data_hash=hash_of([*split.training, *split.validation]),
    )


def separate(
    item: Annotated, labels_are: str, weights: WeightSettings
) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """(labels of separate objects, class map) of one annotated image.

    Instances: a border is cut between touching ones. A mask: its connected components are the
    objects (4- or 6-connected). Classes: no objects, so no border weights.
    """
    if labels_are == "classes":
        return np.zeros_like(item.labels), item.labels
    if labels_are == "mask":
        labels = np.asarray(ndimage.label(item.labels > 0)[0], np.int32)
    else:
        labels = separate_touching(item.labels, weights.border_width_px)
    return labels, (labels > 0).astype(np.int32)


def voxel_spacing(pixel_size_um: Sequence[float] | None) -> tuple[float, ...] | None:
    """Relative voxel size, 1 along the finest axis: distances are in finest pixels."""
    if pixel_size_um is None:
        return None
    return tuple(size / min(pixel_size_um) for size in pixel_size_um)


def hash_of(items: Iterable[Annotated]) -> str:
    """SHA-256 over every image and label, in order."""
    digest = hashlib.sha256()
    for item in items:
        for array in (item.image, item.labels, item.annotated):
            if array is not None:
                digest.update(f"{array.shape}{array.dtype}".encode())
                digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()
