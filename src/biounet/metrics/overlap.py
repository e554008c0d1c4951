"""IoU and Dice of class maps, and the area of a structure slice by slice."""

import warnings
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from biounet.errors import InputError
from biounet.metrics.contingency import Labels, check_labels, contingency
from biounet.metrics.counts import Counts
from biounet.metrics.warning import MetricWarning


@dataclass(frozen=True)
class OverlapScores:
    """IoU and Dice of a data set, all its pixels counted together.

    A class that occurs in neither truth nor prediction scores 1 and is left out of the means.

    Attributes:
        iou, dice: of each class, background (class 0) first.
        mean_iou, mean_dice: over the classes that occur.
        foreground_iou, foreground_dice: the same without background.
    """

    iou: tuple[float, ...]
    dice: tuple[float, ...]
    mean_iou: float
    mean_dice: float
    foreground_iou: float
    foreground_dice: float


def confusion(
    prediction: Labels,
    truth: Labels,
    n_classes: int,
    ignore: NDArray[np.bool_] | None = None,
) -> NDArray[np.int64]:
    """Count the pixels of each true class (rows) by predicted class (columns).

    Args:
        prediction, truth: class maps 0..n_classes - 1 of one shape, or bool masks.
        n_classes: the number of classes, background included.
        ignore: bool, True where nobody annotated.

    Returns:
        int64 (n_classes, n_classes). The sum over images is the table of a data set.

    Raises:
        InputError: shapes differ, or a class is not in 0..n_classes - 1.
    """
    table = contingency(prediction, truth, ignore)
    for name, classes in (("prediction", table.prediction_labels), ("truth", table.truth_labels)):
        if classes.size and classes[-1] >= n_classes:
            raise InputError(
                f"class {classes[-1]} in the {name}",
                f"classes 0..{n_classes - 1}",
                "give class maps, not instance ids, and the right number of classes",
            )
    counts = np.zeros((n_classes, n_classes), np.int64)
    rows = table.truth_labels[table.truth_index]
    counts[rows, table.prediction_labels[table.prediction_index]] = table.pixels
    return counts


def overlap_scores(counts: NDArray[np.int64]) -> OverlapScores:
    """IoU and Dice from a table of `confusion`, or from the sum of several.

    Raises:
        InputError: no pixel was compared.

    Warns:
        MetricWarning: a class occurs in neither truth nor prediction, or not in the truth.
    """
    if not counts.any():
        raise InputError(
            "no annotated pixel", "at least one", "compare images that are annotated somewhere"
        )
    right = np.diagonal(counts)
    predicted, true = counts.sum(axis=0), counts.sum(axis=1)
    for k in np.flatnonzero(true == 0):
        consequence = "scores 0" if predicted[k] else "is left out of the means"
        warnings.warn(
            f"class {k} does not occur in the truth: it {consequence}", MetricWarning, stacklevel=2
        )
    classes = [
        Counts(int(tp), int(p - tp), int(t - tp))
        for tp, p, t in zip(right, predicted, true, strict=True)
    ]
    occurs = (predicted + true > 0).tolist()
    iou = tuple(c.jaccard for c in classes)
    dice = tuple(c.f_score for c in classes)
    return OverlapScores(
        iou=iou,
        dice=dice,
        mean_iou=_mean(iou, occurs),
        mean_dice=_mean(dice, occurs),
        foreground_iou=_mean(iou[1:], occurs[1:]),
        foreground_dice=_mean(dice[1:], occurs[1:]),
    )


@dataclass(frozen=True)
class SliceAreas:
    """Area of a structure (of lungs, say) in each slice of a stack, in px."""

    predicted_px: NDArray[np.int64]
    true_px: NDArray[np.int64]

    @property
    def mean_absolute_error_px(self) -> float:
        """How far the predicted area is from the true one, on average over the slices."""
        return float(np.abs(self.predicted_px - self.true_px).mean())


def slice_areas(prediction: Labels, truth: Labels) -> SliceAreas:
    """Count the pixels that are not background in each slice.

    Args:
        prediction, truth: masks, class maps or labels (Z, Y, X), or (Y, X) for one slice.

    Raises:
        InputError: shapes differ, or labels are not integers >= 0.
    """
    check_labels(prediction, truth)

    def areas(labels: Labels) -> NDArray[np.int64]:
        slices = (labels != 0).reshape(-1, *labels.shape[-2:])
        return np.array([np.count_nonzero(one) for one in slices], np.int64)

    return SliceAreas(areas(prediction), areas(truth))


def _mean(scores: tuple[float, ...], occurs: list[bool]) -> float:
    counted = [score for score, there in zip(scores, occurs, strict=True) if there]
    return sum(counted) / len(counted) if counted else 1.0
