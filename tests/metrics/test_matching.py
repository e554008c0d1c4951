"""Matching of objects against a dense optimal assignment, and by hand."""

from math import nan

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy.optimize import linear_sum_assignment

from biounet.errors import InputError
from biounet.metrics import (
    IOU_THRESHOLDS,
    MetricWarning,
    Outcome,
    classify_objects,
    instance_scores,
    match_objects,
)

label_images = hnp.arrays(
    np.uint8, st.tuples(st.integers(1, 5), st.integers(1, 6)), elements=st.integers(0, 4)
)


@st.composite
def pairs_of_images(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray]:
    """A truth and a prediction that repaints some of its pixels."""
    truth = draw(label_images)
    paint = draw(hnp.arrays(np.uint8, truth.shape, elements=st.integers(0, 4)))
    where = draw(hnp.arrays(np.bool_, truth.shape, fill=st.just(False)))
    return np.where(where, paint, truth), truth


def assign_slowly(
    prediction: np.ndarray, truth: np.ndarray, threshold: float
) -> tuple[int, int, int, float]:
    """As StarDist words it: most matches first, then the greatest IoU, over a dense table."""
    a = [k for k in np.unique(prediction) if k != 0]
    b = [k for k in np.unique(truth) if k != 0]
    iou = np.array(
        [
            [
                ((prediction == i) & (truth == j)).sum() / ((prediction == i) | (truth == j)).sum()
                for j in b
            ]
            for i in a
        ]
    ).reshape(len(a), len(b))
    rows, columns = linear_sum_assignment((iou >= threshold) + iou / 100, maximize=True)
    matched = iou[rows, columns][iou[rows, columns] >= threshold]
    return len(matched), len(a) - len(matched), len(b) - len(matched), float(matched.sum())


@settings(deadline=None, max_examples=300)
@given(pairs_of_images())
def test_is_the_best_assignment(images: tuple[np.ndarray, np.ndarray]) -> None:
    for threshold, matching in zip(IOU_THRESHOLDS, match_objects(*images), strict=True):
        tp, fp, fn, iou_sum = assign_slowly(*images, threshold)
        counts = matching.counts
        assert (counts.tp, counts.fp, counts.fn) == (tp, fp, fn)
        assert matching.iou_sum == pytest.approx(iou_sum)


@settings(deadline=None)
@given(pairs_of_images(), st.permutations([1, 2, 3, 4]))
def test_ids_mean_nothing_and_roles_can_be_exchanged(
    images: tuple[np.ndarray, np.ndarray], ids: list[int]
) -> None:
    prediction, truth = images
    found = match_objects(prediction, truth)
    renamed = match_objects(np.array([0, *ids])[prediction], truth)
    swapped = match_objects(truth, prediction)
    assert [m.counts for m in renamed] == [m.counts for m in found]
    assert [(m.counts.tp, m.counts.fp, m.counts.fn) for m in swapped] == [
        (m.counts.tp, m.counts.fn, m.counts.fp) for m in found
    ]


@given(label_images)
def test_perfect_is_one(truth: np.ndarray) -> None:
    matchings = match_objects(truth, truth)
    if truth.any():
        scores = instance_scores([matchings])
        assert scores.mean_ap == 1
        assert {s.panoptic_quality for s in scores.pooled} == {1}


def test_hand_worked() -> None:
    """IoU 3/4, a miss and an extra object: AP = 1/3, F1 = 1/2, PQ = 0.75 / 2 up to 0.75."""
    prediction = np.array([[1, 1, 1, 0, 0, 0, 7]])
    truth = np.array([[5, 5, 5, 5, 6, 6, 0]])
    scores = instance_scores([match_objects(prediction, truth)])
    at = dict(zip(scores.iou_thresholds, scores.pooled, strict=True))
    assert at[0.75].ap == pytest.approx(1 / 3)
    assert at[0.75].f1 == at[0.75].precision == at[0.75].recall == pytest.approx(1 / 2)
    assert at[0.75].panoptic_quality == pytest.approx(0.75 / 2)
    assert at[0.8].ap == at[0.8].f1 == at[0.8].panoptic_quality == 0
    assert scores.mean_ap == pytest.approx(6 / 10 / 3)


def test_two_halves_of_one_object_match_it_once() -> None:
    whole, halves = np.array([1, 1, 1, 1]), np.array([3, 3, 4, 4])
    for prediction, truth in ((whole, halves), (halves, whole)):
        (matching,) = match_objects(prediction, truth, iou_thresholds=(0.5,))
        assert matching.counts.tp == 1
        assert 3 in matching.pairs[0]


def test_pooled_and_mean_over_images_differ() -> None:
    """An image of one object, found; an image of three, none found."""
    good = match_objects(np.array([1, 0, 0]), np.array([1, 0, 0]))
    bad = match_objects(np.array([0, 0, 0]), np.array([1, 2, 3]))
    scores = instance_scores([good, bad])
    assert scores.pooled[0].ap == 1 / 4
    assert scores.mean_over_images[0].ap == 1 / 2
    assert scores.pooled[0].f1 == pytest.approx(2 / 5)


def test_unannotated_regions_are_no_mistake() -> None:
    truth = np.array([[1, 1, 0, 0, 0, 0, 0, 0]])
    prediction = np.array([[1, 1, 0, 2, 3, 3, 4, 4]])
    ignore = np.array([[0, 0, 0, 0, 0, 1, 1, 1]], np.bool_)
    (matching,) = match_objects(prediction, truth, ignore, (0.5,))
    # 2 is extra, 3 lies outside by half only and is extra too, 4 lies outside
    assert (matching.counts.tp, matching.counts.fp, matching.counts.fn) == (1, 2, 0)
    prediction[0, 4] = 4
    (matching,) = match_objects(prediction, truth, ignore, (0.5,))
    assert matching.counts.fp == 1


def test_outcomes_leave_out_what_matching_does_not_count() -> None:
    truth = np.array([1, 1, 0, 0, 0, 0, 0, 0, 0])
    prediction = np.array([1, 1, 0, 2, 3, 3, 3, 4, 4])
    ignore = np.array([0, 0, 0, 0, 0, 1, 1, 1, 1], np.bool_)
    found = classify_objects(prediction, truth, ignore=ignore)
    # 3 lies outside by more than half, 4 wholly
    assert found.prediction == {1: Outcome.MATCHED, 2: Outcome.EXTRA}
    assert found.truth == {1: Outcome.MATCHED}


def test_areas_count_annotated_pixels_only() -> None:
    truth, prediction = np.array([1, 1, 0, 0]), np.array([1, 1, 1, 1])
    ignore = np.array([False, False, True, True])
    (matching,) = match_objects(prediction, truth, ignore, (0.9,))
    assert matching.iou_sum == 1


def test_volumes_are_matched_too() -> None:
    truth = np.zeros((3, 4, 5), int)
    truth[1:, :2], truth[0] = 1, 2
    assert match_objects(truth, truth)[-1].counts.tp == 2


def test_empty_truth_and_empty_prediction_are_told() -> None:
    none, some = np.zeros(4, int), np.array([0, 1, 1, 2])
    with pytest.warns(MetricWarning, match="the truth has no object"):
        scores = instance_scores([match_objects(some, none)])
    assert scores.pooled[0].ap == scores.pooled[0].f1 == 0
    with pytest.warns(MetricWarning, match="the prediction has no object"):
        scores = instance_scores([match_objects(none, some)])
    assert scores.pooled[0].ap == scores.pooled[0].panoptic_quality == 0
    with pytest.warns(MetricWarning) as told:
        scores = instance_scores([match_objects(none, none)])
    assert len(told) == 2
    assert scores.mean_ap == scores.pooled[0].panoptic_quality == 1


@pytest.mark.parametrize("threshold", [0.4, 1.1, nan])
def test_wrong_thresholds_are_refused(threshold: float) -> None:
    labels = np.ones(3, int)
    with pytest.raises(InputError, match=r"thresholds in 0\.5\.\.1"):
        match_objects(labels, labels, iou_thresholds=(0.5, threshold))


def test_no_image_is_refused() -> None:
    with pytest.raises(InputError, match="no image"):
        instance_scores([])


def outcomes(prediction: list[int], truth: list[int]) -> tuple[dict[int, str], dict[int, str]]:
    found = classify_objects(np.array(prediction), np.array(truth))
    return (
        {k: str(v) for k, v in found.prediction.items()},
        {k: str(v) for k, v in found.truth.items()},
    )


def test_outcomes_by_hand() -> None:
    assert outcomes([1, 1, 0, 0, 3], [1, 1, 2, 2, 0]) == (
        {1: "matched", 3: "extra"},
        {1: "matched", 2: "missed"},
    )
    # a find too small to match
    assert outcomes([1, 0, 0, 0, 0], [9, 9, 9, 9, 9]) == ({1: "extra"}, {9: "missed"})
    # one predicted object over three true ones
    assert outcomes([9, 9, 9, 9, 9, 9], [1, 1, 2, 2, 3, 3]) == (
        {9: "merged"},
        {1: "merged", 2: "merged", 3: "merged"},
    )
    # one true object in three pieces
    assert outcomes([1, 1, 2, 2, 3, 3], [9, 9, 9, 9, 9, 9]) == (
        {1: "split", 2: "split", 3: "split"},
        {9: "split"},
    )


def test_what_an_object_lies_in_is_told_first() -> None:
    """7 lies in 1 with two other pieces, and holds 2: a piece, while 1 and 2 are merged in it."""
    truth = [1] * 10 + [2] * 4
    prediction = [8, 8, 9, 9] + [7] * 10
    assert outcomes(prediction, truth) == (
        {7: "split", 8: "split", 9: "split"},
        {1: "merged", 2: "merged"},
    )


def test_outcomes_beside_a_match() -> None:
    # the match swallows a small neighbour, or leaves a fragment
    assert outcomes([1, 1, 1, 1], [1, 1, 1, 2]) == ({1: "matched"}, {1: "matched", 2: "merged"})
    assert outcomes([1, 1, 1, 2], [1, 1, 1, 1]) == ({1: "matched", 2: "split"}, {1: "matched"})


@settings(deadline=None)
@given(pairs_of_images())
def test_outcomes_agree_with_the_counts(images: tuple[np.ndarray, np.ndarray]) -> None:
    (matching,) = match_objects(*images, iou_thresholds=(0.5,))
    found = classify_objects(*images)
    for of, label in ((found.prediction, 0), (found.truth, 1)):
        matched = {k for k, outcome in of.items() if outcome == "matched"}
        assert matched == {pair[label] for pair in matching.pairs}
    assert len(found.prediction) == matching.counts.tp + matching.counts.fp
    assert len(found.truth) == matching.counts.tp + matching.counts.fn
    assert not {"missed"} & set(found.prediction.values())
    assert not {"extra"} & set(found.truth.values())


@settings(deadline=None)
@given(pairs_of_images())
def test_outcomes_mirror_when_roles_are_exchanged(images: tuple[np.ndarray, np.ndarray]) -> None:
    """What merges one way splits the other way."""
    prediction, truth = images
    mirror = {
        "merged": "split",
        "split": "merged",
        "missed": "extra",
        "extra": "missed",
        "matched": "matched",
    }
    found, swapped = classify_objects(prediction, truth), classify_objects(truth, prediction)
    assert {k: mirror[v] for k, v in swapped.truth.items()} == found.prediction
