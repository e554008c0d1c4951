"""Training batches: which image, where, and how it is changed; decided by the sample's number."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from biounet.config import AugmentationSettings
from biounet.geometry import Shape
from biounet.learning.augmentation import (
    Change,
    change_grey,
    draw_change,
    sample_image,
    sample_rng,
    sampling_grid,
)
from biounet.networks.convolution import crop


@dataclass(frozen=True)
class TrainingImage:
    """One annotated image, ready to be sampled.

    Attributes:
        name: its name in the data set.
        image: (C, …) float32, normalised.
        truth: (3, …) float32: the class map, the weights w(x) (0 where not annotated), and the
            ids of the objects (0 where none; all, where labels are classes).
    """

    name: str
    image: Tensor
    truth: Tensor

    @cached_property
    def classes(self) -> list[float]:
        """The classes of its annotated pixels."""
        class_map, weights, _ = self.truth
        found: list[float] = torch.unique(class_map[weights > 0]).tolist()
        return found


@dataclass(frozen=True)
class Batch:
    """One training batch: images (N, C, …); class maps, weights and ids (N, …) of the output."""

    image: Tensor
    class_map: Tensor
    weights: Tensor
    objects: Tensor


def draw_batch(
    images: Sequence[TrainingImage],
    numbers: Sequence[int],
    input_shape: Shape,
    output_shape: Shape,
    augmentation: AugmentationSettings,
    balanced: bool,
    seed: int,
) -> Batch:
    """The samples of the given numbers, as one batch on the images' device."""
    areas = np.array([i.truth[1].numel() for i in images], np.float64)
    samples = [
        draw_sample(
            images,
            areas / areas.sum(),
            input_shape,
            output_shape,
            augmentation,
            balanced,
            sample_rng(seed, number),
        )
        for number in numbers
    ]
    image, class_map, weights, objects = (torch.stack(p) for p in zip(*samples, strict=True))
    return Batch(image, class_map, weights, objects)


def draw_sample(
    images: Sequence[TrainingImage],
    chances: NDArray[np.float64],
    input_shape: Shape,
    output_shape: Shape,
    augmentation: AugmentationSettings,
    balanced: bool,
    rng: np.random.Generator,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """One sample: image (C, *input); class map int64, weights float32, ids int64 (*output)."""
    source, change, centre = choose_sample(
        images, chances, len(input_shape), augmentation, balanced, rng
    )
    grid = sampling_grid(change, centre, input_shape, source.image)
    inner = crop(grid[None], torch.Size(output_shape))[0]
    image = change_grey(sample_image(source.image, grid, "bilinear"), change.grey)
    class_map, weights, objects = sample_image(source.truth, inner, "nearest")
    return image, class_map.long(), weights, objects.long()


def choose_sample(
    images: Sequence[TrainingImage],
    chances: NDArray[np.float64],
    dimensions: int,
    augmentation: AugmentationSettings,
    balanced: bool,
    rng: np.random.Generator,
) -> tuple[TrainingImage, Change, NDArray[np.float64]]:
    """Everything random about one sample: the image, its changes, the patch's centre in px."""
    source = images[rng.choice(len(images), p=chances)]
    change = draw_change(augmentation, dimensions, rng)
    centre = draw_centre(source, balanced, rng)
    return source, change, centre


def draw_centre(
    source: TrainingImage, balanced: bool, rng: np.random.Generator
) -> NDArray[np.float64]:
    """A random point of the image, at an annotated pixel where there is one.

    Balanced: at a pixel of a class that is drawn first, of those that the image has.
    """
    class_map, weights, _ = source.truth
    classes = source.classes if balanced else []
    wanted = classes[rng.integers(len(classes))] if classes else None
    point = np.zeros(class_map.ndim)
    for _ in range(64):
        point = np.array([rng.uniform(-0.5, n - 0.5) for n in class_map.shape])
        pixel = tuple(np.clip(np.round(point), 0, np.array(class_map.shape) - 1).astype(int))
        if weights[pixel] > 0 and (wanted is None or class_map[pixel] == wanted):
            return point
    # Few pixels are annotated, a stroke or two in a large image: one of them.
    fitting = (weights > 0) if wanted is None else (weights > 0) & (class_map == wanted)
    places = torch.nonzero(fitting)
    if len(places):
        place = places[int(rng.integers(len(places)))].cpu().numpy()
        return np.asarray(place + rng.uniform(-0.5, 0.5, class_map.ndim), np.float64)
    return point
