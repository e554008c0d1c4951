"""How many pixels two label images share, label by label: the table under most metrics."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from biounet.errors import InputError

Labels = NDArray[np.integer] | NDArray[np.bool_]


@dataclass(frozen=True)
class Contingency:
    """The pairs of labels (prediction, truth) that share pixels; sparse, 0 = background.

    Attributes:
        prediction_labels, truth_labels: the labels that occur, ascending (0 too if it does).
        prediction_index, truth_index: for each pair, its places in these lists.
        pixels: for each pair, the number of pixels that carry both labels (int64).
    """

    prediction_labels: NDArray[np.int64]
    truth_labels: NDArray[np.int64]
    prediction_index: NDArray[np.int64]
    truth_index: NDArray[np.int64]
    pixels: NDArray[np.int64]

    @property
    def prediction_areas(self) -> NDArray[np.int64]:
        """Pixels of each predicted label."""
        return _sums(self.pixels, self.prediction_index, len(self.prediction_labels))

    @property
    def truth_areas(self) -> NDArray[np.int64]:
        """Pixels of each true label."""
        return _sums(self.pixels, self.truth_index, len(self.truth_labels))

    def objects(self) -> "ObjectPairs":
        """The pairs in which neither label is background."""
        prediction = self.prediction_labels[self.prediction_index]
        truth = self.truth_labels[self.truth_index]
        both = (prediction != 0) & (truth != 0)
        return ObjectPairs(
            prediction[both],
            truth[both],
            self.pixels[both],
            self.prediction_areas[self.prediction_index[both]],
            self.truth_areas[self.truth_index[both]],
        )


@dataclass(frozen=True)
class ObjectPairs:
    """Predicted and true objects that overlap: labels, shared pixels, and each one's area."""

    prediction: NDArray[np.int64]
    truth: NDArray[np.int64]
    pixels: NDArray[np.int64]
    prediction_area: NDArray[np.int64]
    truth_area: NDArray[np.int64]

    @property
    def iou(self) -> NDArray[np.float64]:
        """Intersection over union of each pair."""
        return self.pixels / (self.prediction_area + self.truth_area - self.pixels)

    @property
    def fills_truth(self) -> NDArray[np.bool_]:
        """More than half of the true object lies in the predicted one."""
        return 2 * self.pixels > self.truth_area

    @property
    def fills_prediction(self) -> NDArray[np.bool_]:
        """More than half of the predicted object lies in the true one."""
        return 2 * self.pixels > self.prediction_area


def contingency(
    prediction: Labels, truth: Labels, ignore: NDArray[np.bool_] | None = None
) -> Contingency:
    """Count the pixels that each pair of labels shares.

    Costs time in proportion to the pixels, plus a sort of the runs of equal pairs (a row of an
    image holds few), and memory in proportion to the runs.

    Args:
        prediction: integer labels >= 0, any shape.
        truth: the same shape.
        ignore: bool, the same shape; True where a pixel is left out.

    Raises:
        InputError: shapes differ, or labels are not integers >= 0.
    """
    check_labels(prediction, truth)
    if ignore is not None:
        if ignore.shape != truth.shape:
            raise InputError(
                f"a mask of shape {ignore.shape} for labels of shape {truth.shape}",
                "one shape",
                "give the mask of this image",
            )
        prediction, truth = prediction[~ignore], truth[~ignore]
    prediction, truth = prediction.ravel(), truth.ravel()
    if truth.size == 0:
        none = np.zeros(0, np.int64)
        return Contingency(none, none, none, none, none)
    changes = (prediction[1:] != prediction[:-1]) | (truth[1:] != truth[:-1])
    starts = np.concatenate([[0], np.flatnonzero(changes) + 1])
    run_pixels = np.diff(starts, append=truth.size)
    prediction_labels, prediction_of_run = np.unique(prediction[starts], return_inverse=True)
    truth_labels, truth_of_run = np.unique(truth[starts], return_inverse=True)
    pairs, pair_of_run = np.unique(
        prediction_of_run * len(truth_labels) + truth_of_run, return_inverse=True
    )
    return Contingency(
        prediction_labels.astype(np.int64),
        truth_labels.astype(np.int64),
        pairs // len(truth_labels),
        pairs % len(truth_labels),
        _sums(run_pixels, pair_of_run, len(pairs)),
    )


def check_labels(prediction: Labels, truth: Labels) -> None:
    """Raise InputError unless both are integer labels >= 0 of one shape."""
    if prediction.shape != truth.shape:
        raise InputError(
            f"a prediction of shape {prediction.shape} for a truth of shape {truth.shape}",
            "one shape",
            "compare images of the same size",
        )
    for name, labels in (("prediction", prediction), ("truth", truth)):
        if labels.dtype.kind not in "bui":
            raise InputError(
                f"{labels.dtype} values in the {name}",
                "integer labels, 0 = background",
                "turn probabilities or float labels into integer labels first",
            )
        if labels.dtype.kind == "i" and labels.size and labels.min() < 0:
            raise InputError(
                f"the label {labels.min()} in the {name}",
                "labels >= 0, 0 = background",
                "mark pixels that nobody annotated by a mask, not by a negative label",
            )


def _sums(values: NDArray[np.int64], group: NDArray[np.int64], n: int) -> NDArray[np.int64]:
    """Sum of the values in each of n groups (float64 inside: exact below 2^53)."""
    return np.bincount(group, weights=values, minlength=n).astype(np.int64)
