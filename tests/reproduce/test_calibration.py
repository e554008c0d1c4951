"""A factor on the odds: by hand, and for a network that the organisers' scale does not fit."""

import numpy as np
import pytest

from biounet.metrics import evaluate_isbi2012
from biounet.reproduce.calibration import choose_odds_factor, scale_odds


def test_odds_by_hand() -> None:
    """Odds of 1, 3 and 1/3 times 4 are 4, 12 and 4/3."""
    p = np.array([0, 0.5, 0.75, 0.25, 1], np.float32)
    scaled = scale_odds(p, 4)
    assert scaled.dtype == np.float32
    np.testing.assert_allclose(scaled, [0, 4 / 5, 12 / 13, 4 / 7, 1], rtol=1e-6)
    np.testing.assert_allclose(scale_odds(scaled, 1 / 4), p, rtol=1e-6)
    np.testing.assert_array_equal(scale_odds(p, 1.0), p)


def slices() -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Two cells and a membrane with a gap, whose probability lies between 0.9 and the cells'."""
    truth = np.ones((24, 24), np.uint8)
    truth[:, 11:13] = 0
    p = np.where(truth > 0, 0.99, 0.3).astype(np.float32)
    p[8:12, 11:13] = 0.94
    return [p, p[:, ::-1]], [truth, truth]


def test_a_scale_that_ends_too_soon_is_widened() -> None:
    probabilities, labels = slices()
    assert choose_odds_factor(probabilities, labels) == 1 / 4
    truth = np.stack(labels) > 0
    before = evaluate_isbi2012(np.stack(probabilities), truth).v_rand
    after = evaluate_isbi2012(np.stack([scale_odds(p, 1 / 4) for p in probabilities]), truth)
    assert before == pytest.approx(2 / 3, abs=0.01)  # merged at every threshold
    assert after.v_rand == pytest.approx(1, abs=0.01)


def test_what_fits_is_left_alone() -> None:
    labels = [np.eye(12, dtype=np.uint8)[::-1] == 0]
    assert choose_odds_factor([labels[0] * np.float32(0.8)], labels) == 1
    assert choose_odds_factor([], []) == 1
