"""What a run leaves to look at, made: pictures and counts of its images, samples, predictions."""

import warnings
from collections import Counter
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from biounet.config import ObjectSettings, Settings
from biounet.geometry import plan_tiles
from biounet.images.dataset import Annotated, DataSet
from biounet.learning.augmentation import (
    change_grey,
    in_pixels,
    sample_image,
    sample_rng,
    sampling_grid,
)
from biounet.learning.derive import object_areas
from biounet.learning.gallery import (
    Corner,
    ImageFacts,
    ImageResult,
    PredictedView,
    PreparedView,
    Sample,
    TrainingGallery,
    ValidationGallery,
)
from biounet.learning.preparation import Split, TrainingData, separate
from biounet.learning.sampling import TrainingImage, choose_sample
from biounet.learning.validation import score
from biounet.learning.views import SIDE_PX, grey_picture, shown_box, spread, view_of
from biounet.metrics.outcomes import classify_objects
from biounet.metrics.warning import MetricWarning
from biounet.networks.convolution import crop
from biounet.prediction.instances import label_objects

N_IMAGES = 12
N_SAMPLES = 4
N_PREPARED = 2
N_SIZES = 50_000
GRID_STEP_PX = 4
"""Every how many pixels of a sample its coordinates are kept."""


def training_gallery(
    split: Split, data: TrainingData, dataset: DataSet, settings: Settings
) -> TrainingGallery:
    """Look at the data of a run that is set up."""
    facts = [
        _facts(item, part, dataset, settings)
        for part, items in (("training", split.training), ("validation", split.validation))
        for item in items
    ]
    shown = spread(len(split.training), N_IMAGES)
    return TrainingGallery(
        labels_are=dataset.labels_are,
        class_names=dataset.class_names or (),
        pixel_size_um=split.training[0].pixel_size_um,
        facts=tuple(facts),
        sizes_px=_sizes([item.labels for item in split.training], dataset.labels_are),
        views=tuple(view_of(split.training[k]) for k in shown),
        prepared=tuple(_prepared(split.training[k], data.training[k]) for k in shown[:N_PREPARED]),
        samples=tuple(_sample(data.training, number, settings) for number in range(N_SAMPLES)),
        corner=_corner(split.training[0], settings),
    )


def validation_gallery(
    items: Sequence[Annotated],
    probabilities: Sequence[NDArray[np.float32]],
    labels_are: str,
    objects: ObjectSettings,
) -> ValidationGallery:
    """Score every validation image by itself, and keep pictures of the worst and of some others."""
    labels = [label_objects(p, objects) for p in probabilities]
    predicted = [(p > 0).astype(np.int32) for p in labels] if labels_are == "mask" else labels
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", MetricWarning)  # an image without objects is no mistake
        scores = [
            score([p], [item], labels_are, objects)
            for p, item in zip(probabilities, items, strict=True)
        ]
    order = sorted(range(len(items)), key=lambda k: scores[k].value)
    results = []
    for k in order:
        true_objects: dict[str, int] = {}
        predicted_objects: dict[str, int] = {}
        if labels_are == "instances":
            annotated = items[k].annotated
            ignore = None if annotated is None else ~annotated
            outcomes = classify_objects(predicted[k], items[k].labels, ignore=ignore)
            true_objects = dict(Counter(o.value for o in outcomes.truth.values()))
            predicted_objects = dict(Counter(o.value for o in outcomes.prediction.values()))
        all_scores = {scores[k].name: scores[k].value, **scores[k].details}
        results.append(ImageResult(items[k].name, all_scores, true_objects, predicted_objects))
    n_worst = N_IMAGES * 3 // 4
    shown = [*order[:n_worst], *(order[n_worst + k] for k in spread(len(order) - n_worst, 3))]
    return ValidationGallery(
        labels_are=labels_are,
        dimensions=items[0].labels.ndim,
        results=tuple(results),
        true_sizes_px=_sizes([item.labels for item in items], labels_are),
        predicted_sizes_px=_sizes(predicted, labels_are),
        views=tuple(
            PredictedView(view_of(items[k]), predicted[k][shown_box(items[k].labels)])
            for k in shown
        ),
    )


def _facts(item: Annotated, part: str, dataset: DataSet, settings: Settings) -> ImageFacts:
    if dataset.labels_are == "instances":  # as annotated: no borders are cut
        labels, class_map = item.labels, (item.labels > 0).astype(np.int32)
    else:
        labels, class_map = separate(item, dataset.labels_are, settings.weights)
    annotated = item.annotated
    counted = class_map if annotated is None else class_map[annotated]
    return ImageFacts(
        name=item.name,
        part=part,
        shape=item.labels.shape,
        n_objects=len(object_areas(labels)),
        class_px=tuple(np.bincount(counted.ravel(), minlength=dataset.n_classes).tolist()),
        n_unannotated_px=0 if annotated is None else int(annotated.size - annotated.sum()),
    )


def _sizes(labels: Sequence[NDArray[np.int32]], labels_are: str) -> NDArray[np.int64]:
    """Pixels of the objects of all images; of evenly chosen ones where there are very many."""
    if labels_are != "instances" or not labels:
        return np.zeros(0, np.int64)
    sizes = np.concatenate([object_areas(one) for one in labels])
    return sizes[spread(len(sizes), N_SIZES)]


def _prepared(item: Annotated, prepared: TrainingImage) -> PreparedView:
    class_map, weights, _ = prepared.truth.cpu().numpy()[(slice(None), *shown_box(item.labels))]
    return PreparedView(view_of(item), class_map.astype(np.uint8), weights)


def _sample(images: Sequence[TrainingImage], number: int, settings: Settings) -> Sample:
    """Sample `number` of the run, drawn as the training loop draws it."""
    training, footprint = settings.training, settings.network.footprint
    input_shape = footprint.input_for((training.patch_px,) * settings.network.dimensions)
    output_shape = footprint.output_shape(input_shape)
    areas = np.array([i.truth[1].numel() for i in images], np.float64)
    source, change, centre = choose_sample(
        images,
        areas / areas.sum(),
        len(input_shape),
        settings.augmentation,
        training.balanced_sampling,
        sample_rng(training.seed, number),
    )
    whole = source.image.cpu()
    grid = sampling_grid(change, centre, input_shape, whole)
    if len(input_shape) == 3:
        middle = input_shape[0] // 2
        grid, output_shape = grid[:, middle : middle + 1], (1, *output_shape[1:])
    image = change_grey(sample_image(whole, grid, "bilinear"), change.grey).numpy()
    inner = crop(grid[None], torch.Size(output_shape))[0]
    class_map, weights, _ = sample_image(source.truth.cpu(), inner, "nearest").numpy()
    plane = (slice(None),) + (0,) * (len(input_shape) - 2)
    return Sample(
        source=source.name,
        image=grey_picture(image[plane]),
        class_map=class_map[plane[1:]].astype(np.uint8),
        weights=weights[plane[1:]],
        coordinates=in_pixels(grid, whole).numpy()[-2:][plane][:, ::GRID_STEP_PX, ::GRID_STEP_PX],
    )


def _corner(item: Annotated, settings: Settings) -> Corner:
    """A tile small enough that the first pixels of the image show it and its neighbours."""
    footprint, shape = settings.network.footprint, item.labels.shape
    plan = plan_tiles(shape, footprint, footprint.input_for((SIDE_PX * 3 // 8,) * len(shape)))
    tile = plan.tile((0,) * len(shape))
    box = (0,) * (len(shape) - 2) + (slice(0, SIDE_PX), slice(0, SIDE_PX))
    return Corner(
        name=item.name,
        image=grey_picture(item.image[(slice(None), *box)]),
        shape=shape[-2:],
        margin=footprint.margin[-2:],
        input_shape=plan.input_shape[-2:],
        written=tile.write_stop[-2:],
    )
