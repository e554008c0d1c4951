"""Scores of a task, by hand."""

import numpy as np
import pytest

from biounet.errors import InputError
from biounet.images.dataset import Annotated
from biounet.metrics import evaluate_isbi2012
from biounet.reproduce.scoring import score_predictions


def annotated(name: str, labels: np.ndarray, known: np.ndarray | None = None) -> Annotated:
    return Annotated(name, labels[None].astype(np.uint8), labels.astype(np.int32), known)


def squares(*corners: tuple[int, int]) -> np.ndarray:
    labels = np.zeros((20, 20), np.int32)
    for number, (y, x) in enumerate(corners, start=1):
        labels[y : y + 4, x : x + 4] = number
    return labels


def test_seg_is_over_the_annotated_cells_of_all_frames() -> None:
    """IoU 1, 12/20 and 0 of three cells; a cell that nobody annotated costs nothing."""
    truth = [annotated("a", squares((0, 0))), annotated("b", squares((0, 0), (12, 12)))]
    predicted = [squares((0, 0), (12, 0)), squares((0, 1))]
    scores = score_predictions("seg", predicted, truth)
    assert scores.values["seg"] == pytest.approx((1 + 12 / 20 + 0) / 3)
    assert scores.images["a"] == {"seg": 1.0, "cells": 1}
    assert scores.images["b"]["seg"] == pytest.approx(0.3)


def test_objects_are_pooled_and_averaged() -> None:
    truth = [annotated("a", squares((0, 0))), annotated("b", squares((0, 0), (12, 12)))]
    predicted = [squares((0, 0)), squares((0, 0), (12, 0))]
    seen: list[int] = []
    scores = score_predictions("matching", predicted, truth, seen.append)
    assert scores.values["ap50"] == pytest.approx(2 / 4)
    assert scores.values["f1_50"] == pytest.approx(4 / 6)
    assert scores.values["mean_ap"] == pytest.approx((1 + 1 / 3) / 2)
    assert seen == [1, 2]


def test_an_image_without_objects_is_no_set_without_objects() -> None:
    truth = [annotated("a", squares((0, 0))), annotated("b", squares())]
    scores = score_predictions("matching", [squares((0, 0)), squares()], truth)  # and no warning
    assert scores.images["b"] == {"ap50": 1.0, "f1_50": 1.0}


def test_areas_and_dice_of_masks() -> None:
    truth = [annotated("a", squares((0, 0)) > 0), annotated("b", squares((0, 0), (12, 12)) > 0)]
    predicted = [squares((0, 2)), squares((0, 0))]
    scores = score_predictions("overlap", predicted, truth)
    assert scores.values["dice"] == pytest.approx(2 * (8 + 16) / (16 + 16 + 32 + 16))
    assert scores.values["area_error"] == pytest.approx(16 / 48)
    assert scores.images["b"] == {"dice": pytest.approx(32 / 48), "predicted_px": 16, "true_px": 32}


def test_unannotated_pixels_of_masks_do_not_count() -> None:
    known = np.ones((20, 20), bool)
    known[:, 10:] = False
    truth = [annotated("a", squares((0, 0)) > 0, known)]
    scores = score_predictions("overlap", [squares((0, 0), (12, 12))], truth)
    assert scores.values["dice"] == 1
    assert scores.images["a"]["predicted_px"] == scores.images["a"]["true_px"] == 16


def test_membranes_are_a_stack() -> None:
    rng = np.random.default_rng(0)
    labels = np.ones((3, 40, 40), np.uint8)
    labels[:, 20], labels[:, :, 13] = 0, 0
    probabilities = np.clip(labels * 0.8 + rng.normal(0.1, 0.2, labels.shape), 0, 1)
    stack = probabilities.astype(np.float32)
    truth = [annotated(str(z), labels[z]) for z in range(3)]
    expected = evaluate_isbi2012(stack, labels)
    scores = score_predictions("isbi2012", list(stack), truth)
    assert scores.values == {name: getattr(expected, name) for name in scores.values}
    assert set(scores.values) == {"warping_error", "rand_error", "pixel_error", "v_rand", "v_info"}
    assert scores.at_thresholds["v_rand"] == expected.v_rand_at


def test_another_shape_is_refused() -> None:
    with pytest.raises(InputError, match="shape"):
        score_predictions("seg", [squares()[:10]], [annotated("a", squares((0, 0)))])


def test_a_warping_error_of_nothing_is_remarked_on() -> None:
    """A poor prediction errs least where nothing is left of it: its row must say so."""
    labels = squares((0, 0), (0, 12), (12, 0))
    poor = np.where(labels > 0, 0.35, 0.55).astype(np.float32)
    good = np.where(labels > 0, 0.95, 0.05).astype(np.float32)
    truth = [annotated("a", labels)]
    scores = score_predictions("isbi2012", [poor], truth)
    assert scores.values["warping_error"] == 0
    assert "empty prediction (threshold 0.6)" in scores.remark
    assert score_predictions("isbi2012", [good], truth).remark == ""
