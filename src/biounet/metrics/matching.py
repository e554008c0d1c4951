"""One-to-one matching of predicted and true objects by IoU: AP, F1, panoptic quality.

AP here is TP / (TP + FP + FN) at an IoU threshold, as StarDist (Schmidt et al. 2018,
doi:10.1007/978-3-030-00934-2_30) and the 2018 Data Science Bowl (Caicedo et al. 2019,
doi:10.1038/s41592-019-0612-7) define it; panoptic quality: Kirillov et al. 2019,
doi:10.1109/CVPR.2019.00963.

Two ways to score a data set are in use, and they differ: `pooled` adds up the objects of all
images (each object counts the same), `mean_over_images` scores each image and averages (each
image counts the same, as in the Data Science Bowl).
"""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from biounet.errors import InputError
from biounet.metrics.contingency import Labels, ObjectPairs, contingency
from biounet.metrics.counts import Counts
from biounet.metrics.warning import MetricWarning

IOU_THRESHOLDS = (0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95)


@dataclass(frozen=True)
class Matching:
    """The objects of one image, matched at one threshold.

    Attributes:
        pairs: predicted label and true label of each match.
        iou_sum: the sum of their IoU.
        counts: matched, extra and missed objects.
    """

    pairs: tuple[tuple[int, int], ...]
    iou_sum: float
    counts: Counts


@dataclass(frozen=True)
class MatchingScores:
    """The scores of an image or a data set at one threshold, all in 0..1, 1 = perfect."""

    ap: float
    f1: float
    precision: float
    recall: float
    panoptic_quality: float


@dataclass(frozen=True)
class InstanceScores:
    """The scores of a data set at each IoU threshold, in both conventions.

    Attributes:
        iou_thresholds: an object is found if its IoU is this much or more.
        pooled: objects of all images counted together.
        mean_over_images: the mean of each image's scores.
    """

    iou_thresholds: tuple[float, ...]
    pooled: tuple[MatchingScores, ...]
    mean_over_images: tuple[MatchingScores, ...]

    @property
    def mean_ap(self) -> float:
        """Mean AP over thresholds and images, the score of the 2018 Data Science Bowl."""
        return sum(scores.ap for scores in self.mean_over_images) / len(self.mean_over_images)


def match_objects(
    prediction: Labels,
    truth: Labels,
    ignore: NDArray[np.bool_] | None = None,
    iou_thresholds: Sequence[float] = IOU_THRESHOLDS,
) -> tuple[Matching, ...]:
    """Match the objects of one image, 2-D or 3-D, at each IoU threshold.

    Time and memory grow with the pixels and with the pairs that overlap, not with the product
    of the numbers of objects.

    Args:
        prediction, truth: integer labels of one shape, 0 = background.
        ignore: bool, True where nobody annotated. These pixels count in no area, and an
            unmatched predicted object that lies there by more than half is no mistake.
        iou_thresholds: 0.5 or more each, where matches are unique (at exactly 0.5, where an
            object can contain two halves, the half of smaller label is the match).

    Raises:
        InputError: shapes differ, labels are not integers >= 0, or a threshold is not in 0.5..1.
    """
    if any(not 0.5 <= threshold <= 1 for threshold in iou_thresholds):
        raise InputError(
            f"the IoU thresholds {tuple(iou_thresholds)}",
            "thresholds in 0.5..1",
            "below 0.5 an object could match several others",
        )
    table = contingency(prediction, truth, ignore)
    pairs = table.objects()
    true = set(table.truth_labels[table.truth_labels != 0].tolist())
    predicted = set(table.prediction_labels[table.prediction_labels != 0].tolist())
    unjudged = set() if ignore is None else mostly_within(prediction, ignore)
    return tuple(
        _match_at(threshold, pairs, predicted, true, unjudged) for threshold in iou_thresholds
    )


def _match_at(
    threshold: float, pairs: ObjectPairs, predicted: set[int], true: set[int], unjudged: set[int]
) -> Matching:
    iou = pairs.iou
    match_of: dict[int, int] = {}
    iou_sum = 0.0
    found: set[int] = set()
    for i in np.flatnonzero(iou >= threshold).tolist():
        a, b = int(pairs.prediction[i]), int(pairs.truth[i])
        if a not in match_of and b not in found:
            match_of[a] = b
            found.add(b)
            iou_sum += float(iou[i])
    n_extra = len(predicted - unjudged - match_of.keys())
    counts = Counts(len(match_of), n_extra, len(true) - len(found))
    return Matching(tuple(match_of.items()), iou_sum, counts)


def mostly_within(labels: Labels, mask: NDArray[np.bool_]) -> set[int]:
    """The objects that lie in a mask by more than half."""
    pairs = contingency(labels, mask).objects()
    return set(pairs.prediction[pairs.fills_prediction].tolist())


def instance_scores(
    images: Sequence[Sequence[Matching]], iou_thresholds: Sequence[float] = IOU_THRESHOLDS
) -> InstanceScores:
    """Score a data set.

    Args:
        images: for each image, what `match_objects` returned.
        iou_thresholds: those that it was given.

    Raises:
        InputError: no image.

    Warns:
        MetricWarning: no object in all of the truth, or in all of the prediction. (An image
            without objects in which none is predicted scores 1.)
    """
    if not images:
        raise InputError("no image", "at least one", "give the matchings of one image or more")
    counts = [matchings[0].counts for matchings in images]
    for name, n in (
        ("truth", sum(c.tp + c.fn for c in counts)),
        ("prediction", sum(c.tp + c.fp for c in counts)),
    ):
        if n == 0:
            warnings.warn(f"the {name} has no object in any image", MetricWarning, stacklevel=2)
    by_threshold = list(zip(*images, strict=True))
    return InstanceScores(
        tuple(iou_thresholds),
        pooled=tuple(_scores(_pool(matchings)) for matchings in by_threshold),
        mean_over_images=tuple(
            _mean([_scores(matching) for matching in matchings]) for matchings in by_threshold
        ),
    )


def _pool(matchings: Sequence[Matching]) -> Matching:
    counts = sum((matching.counts for matching in matchings), Counts(0, 0, 0))
    return Matching((), sum(matching.iou_sum for matching in matchings), counts)


def _scores(matching: Matching) -> MatchingScores:
    counts = matching.counts
    half_sum = counts.tp + counts.fp / 2 + counts.fn / 2
    return MatchingScores(
        ap=counts.jaccard,
        f1=counts.f_score,
        precision=counts.precision,
        recall=counts.recall,
        panoptic_quality=matching.iou_sum / half_sum if half_sum else 1.0,
    )


def _mean(scores: Sequence[MatchingScores]) -> MatchingScores:
    n = len(scores)
    return MatchingScores(
        ap=sum(s.ap for s in scores) / n,
        f1=sum(s.f1 for s in scores) / n,
        precision=sum(s.precision for s in scores) / n,
        recall=sum(s.recall for s in scores) / n,
        panoptic_quality=sum(s.panoptic_quality for s in scores) / n,
    )
