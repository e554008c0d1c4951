"""IoU and Dice of classes against scikit-learn, and by hand."""

import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from sklearn.metrics import f1_score, jaccard_score

from biounet.errors import InputError
from biounet.metrics import MetricWarning, confusion, overlap_scores, slice_areas
from biounet.metrics.overlap import OverlapScores

class_maps = hnp.arrays(np.uint8, (4, 5), elements=st.integers(0, 3))


def score(counts: np.ndarray) -> OverlapScores:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", MetricWarning)
        return overlap_scores(counts)


@settings(deadline=None)
@given(class_maps, class_maps)
def test_same_as_scikit_learn(prediction: np.ndarray, truth: np.ndarray) -> None:
    found = score(confusion(prediction, truth, 4))
    flat = (truth.ravel(), prediction.ravel())
    options = {"labels": range(4), "average": None, "zero_division": 1}
    assert found.iou == pytest.approx(jaccard_score(*flat, **options))
    assert found.dice == pytest.approx(f1_score(*flat, **options))
    occurs = np.union1d(truth, prediction)
    assert found.mean_iou == pytest.approx(np.mean(np.array(found.iou)[occurs]))
    assert found.mean_dice == pytest.approx(np.mean(np.array(found.dice)[occurs]))


@given(class_maps, class_maps)
def test_symmetric_but_for_names(prediction: np.ndarray, truth: np.ndarray) -> None:
    counts = confusion(prediction, truth, 4)
    np.testing.assert_array_equal(counts.T, confusion(truth, prediction, 4))
    assert score(counts).iou == score(counts.T).iou


@given(class_maps)
def test_perfect_is_one(truth: np.ndarray) -> None:
    found = score(confusion(truth, truth, 4))
    assert found.iou == found.dice == (1, 1, 1, 1)
    assert found.foreground_iou == found.mean_dice == 1


def test_hand_worked() -> None:
    prediction = np.array([[0, 1, 1, 1]], np.bool_)
    truth = np.array([[0, 0, 1, 1]], np.bool_)
    counts = confusion(prediction, truth, 2)
    assert counts.tolist() == [[1, 1], [0, 2]]
    found = overlap_scores(counts)
    assert found.iou == (1 / 2, 2 / 3)
    assert found.dice == pytest.approx((2 / 3, 4 / 5))
    assert found.mean_iou == pytest.approx((1 / 2 + 2 / 3) / 2)
    assert found.foreground_iou == 2 / 3
    assert found.foreground_dice == pytest.approx(4 / 5)


def test_ignored_pixels_do_not_count() -> None:
    prediction, truth = np.array([[0, 1, 1, 1]]), np.array([[0, 0, 1, 1]])
    found = overlap_scores(confusion(prediction, truth, 2, ignore=prediction != truth))
    assert found.iou == (1, 1)


def test_images_add_up() -> None:
    one = confusion(np.array([1, 1]), np.array([1, 0]), 2)
    two = confusion(np.array([1, 0, 0]), np.array([1, 1, 0]), 2)
    assert overlap_scores(one + two).foreground_iou == 2 / 4


def test_a_class_without_truth_is_told() -> None:
    with pytest.warns(MetricWarning, match="class 1 does not occur in the truth: it scores 0"):
        found = overlap_scores(confusion(np.array([0, 1]), np.array([0, 0]), 2))
    assert found.iou == (1 / 2, 0)
    with pytest.warns(MetricWarning, match="class 2 .* is left out of the means"):
        found = overlap_scores(confusion(np.array([0, 1, 1]), np.array([0, 1, 0]), 3))
    assert found.iou == (1 / 2, 1 / 2, 1)
    assert found.mean_iou == found.foreground_iou == 1 / 2


def test_empty_truth_and_empty_prediction() -> None:
    with pytest.warns(MetricWarning, match="class 1 does not occur"):
        found = overlap_scores(confusion(np.zeros(4, int), np.zeros(4, int), 2))
    assert found.mean_iou == found.foreground_iou == 1


def test_wrong_input_is_refused() -> None:
    with pytest.raises(InputError, match="class 255 in the truth"):
        confusion(np.array([0, 1]), np.array([0, 255]), 2)
    with pytest.raises(InputError, match="one shape"):
        confusion(np.zeros((2, 2), int), np.zeros((2, 3), int), 2)
    labels = np.zeros((2, 2), int)
    with pytest.raises(InputError, match="no annotated pixel"):
        overlap_scores(confusion(labels, labels, 2, ignore=np.ones((2, 2), np.bool_)))


def test_areas_slice_by_slice() -> None:
    truth = np.zeros((3, 4, 4), np.uint8)
    truth[0, 1], truth[1, :2] = 255, 255
    prediction = np.zeros((3, 4, 4), np.bool_)
    prediction[0, :2], prediction[2, 0, 0] = True, True
    areas = slice_areas(prediction, truth)
    assert areas.predicted_px.tolist() == [8, 0, 1]
    assert areas.true_px.tolist() == [4, 8, 0]
    assert areas.mean_absolute_error_px == pytest.approx((4 + 8 + 1) / 3)
    one = slice_areas(prediction[0], truth[0])
    assert (one.predicted_px.tolist(), one.true_px.tolist()) == ([8], [4])
