"""Scores of real predictions of annotated images, and the labels' settings that score best."""

import math
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.typing import NDArray

from biounet.config import ObjectSettings
from biounet.geometry import plan_tiles
from biounet.images.dataset import Annotated
from biounet.metrics.matching import instance_scores, match_objects
from biounet.metrics.overlap import confusion, overlap_scores
from biounet.metrics.warning import MetricWarning
from biounet.model import ModelFile
from biounet.prediction.engines import Engine
from biounet.prediction.instances import label_objects
from biounet.prediction.overlap_tile import predict_image
from biounet.prediction.predictor import plane_intensity
from biounet.prediction.tile_choice import OUTPUT_PX

IOU_THRESHOLDS = (0.5, 0.6, 0.7, 0.8, 0.9)

THRESHOLDS = (0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.75, 0.8, 0.85, 0.9, 0.93, 0.95, 0.97, 0.98)
"""Of P(foreground), tried for labels; balanced classes move what is best upwards."""

FIRST_PAIRS = ((3, 3), (5, 4), (7, 5), (9, 5), (11, 5), (13, 5))
"""Numbers of the thresholds of cores, and of growth, that are tried at first."""


@dataclass(frozen=True)
class Score:
    """A validation score: its name, its value (0..1, larger is better), and what else was seen."""

    name: str
    value: float
    details: dict[str, float]


EASE = 0.15
"""Over sqrt(n), with n objects: settings whose values differ by no more are nearly equal. Chosen on
eight networks of three sets (`docs/research.md`)."""

SCORE_NOISE = 0.05
"""Scores closer than this tell nothing about which network is better on other images."""


def score_noise(items: Sequence[Annotated], labels_are: str) -> float:
    """The difference of scores that these images tell nothing about.

    At least `SCORE_NOISE`; of n objects the largest standard error of a share found, 0.5 / sqrt(n).
    """
    if labels_are != "instances":
        return SCORE_NOISE
    return max(SCORE_NOISE, 0.5 / math.sqrt(max(1, n_objects(items))))


def n_objects(items: Sequence[Annotated]) -> int:
    """Annotated objects of all images."""
    return sum(len(np.unique(item.labels[item.labels > 0])) for item in items)


def predict_items(
    items: Sequence[Annotated], model: ModelFile, engine: Engine
) -> list[NDArray[np.float32]]:
    """Probabilities (K, …) of each image, in tiles of the usual size."""
    network = model.settings.network
    largest = network.footprint.input_for((OUTPUT_PX[network.dimensions],) * network.dimensions)
    probabilities = []
    for item in items:
        plan = plan_tiles(item.labels.shape, network.footprint, largest)
        intensity = plane_intensity(model, item.image)
        probabilities.append(predict_image(item.image, plan, intensity, engine, network.classes))
    return probabilities


def score(
    probabilities: Sequence[NDArray[np.float32]],
    items: Sequence[Annotated],
    labels_are: str,
    objects: ObjectSettings,
) -> Score:
    """Instances: mean average precision over IoU thresholds 0.5 to 0.9. Else: mean IoU.

    `object_IoU`: the mean IoU of the true objects, 0 for each that is not found.
    """
    if labels_are == "instances":
        matchings = [
            match_objects(label_objects(p, objects), i.labels, _ignored(i), IOU_THRESHOLDS)
            for p, i in zip(probabilities, items, strict=True)
        ]
        with warnings.catch_warnings():  # a young network that finds nothing is no news
            warnings.simplefilter("ignore", MetricWarning)
            pooled = instance_scores(matchings, IOU_THRESHOLDS).pooled
        mean_ap = float(np.mean([s.ap for s in pooled]))
        found = [matching[0] for matching in matchings]
        n_true = sum(m.counts.tp + m.counts.fn for m in found)
        details = {
            "AP50": pooled[0].ap,
            "F1_50": pooled[0].f1,
            "object_IoU": sum(m.iou_sum for m in found) / max(1, n_true),
        }
        return Score("AP", mean_ap, details)
    n_classes = probabilities[0].shape[0]
    table = np.sum(
        [
            confusion(_class_map(p, objects), i.labels, n_classes, _ignored(i))
            for p, i in zip(probabilities, items, strict=True)
        ],
        axis=0,
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", MetricWarning)
        overlap = overlap_scores(table)
    return Score("IoU", overlap.mean_iou, {"Dice": overlap.mean_dice})


def best_score(
    probabilities: Sequence[NDArray[np.float32]],
    items: Sequence[Annotated],
    labels_are: str,
    objects: ObjectSettings,
) -> Score:
    """The score at the best of a few thresholds.

    The threshold that suits a network drifts while it learns; at a fixed one, an early state
    would pass for the best.
    """
    trials = [objects]
    if labels_are != "classes":
        trials += [
            objects.model_copy(update={"threshold": core, "grow_threshold": rim})
            for core, rim in ((0.7, 0.6), (0.8, 0.7), (0.9, 0.7), (0.97, 0.7))
        ]
    scores = [score(probabilities, items, labels_are, trial) for trial in trials]
    return max(scores, key=lambda s: s.value)


def _class_map(probabilities: NDArray[np.float32], objects: ObjectSettings) -> NDArray[np.int32]:
    if objects.method == "classes":
        return np.asarray(np.argmax(probabilities, axis=0), np.int32)
    return np.asarray(1 - probabilities[0] > objects.threshold, np.int32)


def _ignored(item: Annotated) -> NDArray[np.bool_] | None:
    return None if item.annotated is None else ~item.annotated


def tune_objects(
    probabilities: Sequence[NDArray[np.float32]],
    items: Sequence[Annotated],
    labels_are: str,
    objects: ObjectSettings,
    fixed: frozenset[str],
    out_of_time: Callable[[], bool],
) -> ObjectSettings:
    """The settings, near the given ones, that suit annotated images best.

    The threshold of cores, which parts objects, and that of growth, which draws their outlines, are
    tried together: from the best of a few pairs to the better neighbour, as long as there is one.
    Then half and twice the growth, and half and twice the smallest size.

    Settings of instances are valued by the mean of AP and `object_IoU`. Of nearly equal ones
    (within `EASE`) the lowest threshold of cores is taken: on images learned by heart a strict one
    costs nothing, on others it loses objects (`docs/research.md`).

    Args:
        fixed: names of settings that stay as they are.
        out_of_time: asked before each trial.
    """
    if labels_are == "classes":
        return objects
    values: dict[ObjectSettings, float] = {}

    def value(trial: ObjectSettings) -> float:
        if trial not in values:
            late = out_of_time()
            values[trial] = -1.0 if late else _value(score(probabilities, items, labels_are, trial))
        return values[trial]

    def changed(base: ObjectSettings, **change: object) -> ObjectSettings:
        free = {name: to for name, to in change.items() if name not in fixed}
        return base.model_copy(update=free)

    def paired(base: ObjectSettings, pair: tuple[int, int]) -> ObjectSettings:
        core, rim = (THRESHOLDS[at] for at in pair)
        if labels_are == "mask":
            return changed(base, threshold=core)
        return changed(base, threshold=core, grow_threshold=rim)

    def reached(pair: tuple[int, int]) -> float:
        return value(paired(objects, pair))

    if value(objects) < 0:
        return objects
    pair = max(FIRST_PAIRS, key=reached)
    while reached(better := max(_neighbours(pair), key=reached)) > reached(pair):
        pair = better
    if labels_are == "mask":
        return max(objects, paired(objects, pair), key=value)
    least = max(values.values()) - EASE / math.sqrt(max(1, n_objects(items)))
    near = [trial for trial in values if value(trial) >= least]
    best = min(near, key=lambda trial: (trial.threshold, -value(trial)))
    for name in ("grow_px", "minimum_size_px"):
        usual = getattr(best, name)
        best = max((changed(best, **{name: n}) for n in (usual, usual // 2, usual * 2)), key=value)
    return best


def _value(reached: Score) -> float:
    """What settings of labels are chosen by."""
    return (reached.value + reached.details.get("object_IoU", reached.value)) / 2


def _neighbours(pair: tuple[int, int]) -> list[tuple[int, int]]:
    """The pairs one step away; cores are never less certain than what they grow into."""
    core, rim = pair
    near = [(core + i, rim + j) for i, j in product((-1, 0, 1), repeat=2)]
    return [(i, j) for i, j in near if 0 <= j <= i < len(THRESHOLDS)]
