"""What became of each object: matched, missed, extra, merged or split."""

from collections import Counter
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from biounet.metrics.contingency import Labels, contingency
from biounet.metrics.matching import match_objects, mostly_within


class Outcome(StrEnum):
    """What became of an object, true or predicted."""

    MATCHED = "matched"
    MISSED = "missed"
    EXTRA = "extra"
    MERGED = "merged"
    SPLIT = "split"


@dataclass(frozen=True)
class ObjectOutcomes:
    """The outcome of each object by its label; `matched` are the pairs that AP counts.

    Attributes:
        prediction: matched, extra, merged (holds several true objects) or split (a piece of a
            true object that was cut up).
        truth: matched, missed, merged (lies in a predicted object with other true objects) or
            split (cut up).
    """

    prediction: dict[int, Outcome]
    truth: dict[int, Outcome]


def classify_objects(
    prediction: Labels,
    truth: Labels,
    iou_threshold: float = 0.5,
    ignore: NDArray[np.bool_] | None = None,
) -> ObjectOutcomes:
    """Say what became of each object of an image, for a picture or a table of mistakes.

    Matches are those of `match_objects` at the threshold. Among the rest, an object lies in
    another if more than half of it does: a true object that shares its predicted object with
    other true ones is merged, one in which several predicted ones lie (a match may be one of
    them) is split, and so are the predicted objects in question.

    Args:
        prediction, truth: integer labels of one shape, 0 = background.
        iou_threshold: 0.5..1.
        ignore: bool, True where nobody annotated; unmatched predicted objects that lie there by
            more than half are left out, and true ones that lie there entirely.

    Raises:
        InputError: as in `match_objects`.
    """
    (matching,) = match_objects(prediction, truth, ignore, (iou_threshold,))
    table = contingency(prediction, truth, ignore)
    pairs = table.objects()
    matched = dict(matching.pairs)
    unjudged = set() if ignore is None else mostly_within(prediction, ignore) - matched.keys()
    matched_truth = set(matched.values())
    home_of_truth = dict(
        zip(
            pairs.truth[pairs.fills_truth].tolist(),
            pairs.prediction[pairs.fills_truth].tolist(),
            strict=True,
        )
    )
    home_of_prediction = dict(
        zip(
            pairs.prediction[pairs.fills_prediction].tolist(),
            pairs.truth[pairs.fills_prediction].tolist(),
            strict=True,
        )
    )
    n_in_prediction = Counter(home_of_truth.values())
    n_in_truth = Counter(home_of_prediction.values())

    def of_truth(label: int) -> Outcome:
        if label in matched_truth:
            return Outcome.MATCHED
        if n_in_prediction[home_of_truth.get(label, 0)] > 1:
            return Outcome.MERGED
        return Outcome.SPLIT if n_in_truth[label] > 1 else Outcome.MISSED

    def of_prediction(label: int) -> Outcome:
        if label in matched:
            return Outcome.MATCHED
        if n_in_truth[home_of_prediction.get(label, 0)] > 1:
            return Outcome.SPLIT
        return Outcome.MERGED if n_in_prediction[label] > 1 else Outcome.EXTRA

    return ObjectOutcomes(
        prediction={
            k: of_prediction(k) for k in table.prediction_labels.tolist() if k not in {0, *unjudged}
        },
        truth={k: of_truth(k) for k in table.truth_labels.tolist() if k != 0},
    )
