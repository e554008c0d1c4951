"""One factor on the odds of cell, so that the organisers' coarse thresholds fit a network.

They threshold P(cell) at 0.0, 0.1, … 1.0. A network that learned balanced classes has its best
threshold close to an end of that scale, and loses by the scale alone. Ciresan et al. 2012
calibrated their outputs by a monotone map learned on training data; here every network may have
its odds multiplied by one factor, the one that scores best on slices held out of its training.
"""

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from biounet.metrics import MetricWarning, evaluate_isbi2012

ODDS_FACTORS = (1.0, 1 / 4, 4.0, 1 / 16, 16.0)
"""Tried in this order; a later one must be better by more than `LEAST_GAIN`."""

LEAST_GAIN = 1e-3


def scale_odds(probabilities: NDArray[np.floating], factor: float) -> NDArray[np.float32]:
    """P(cell) with the odds P / (1 - P) multiplied by a factor; 0 and 1 stay."""
    p = probabilities.astype(np.float64)
    return np.asarray(factor * p / (1 - p + factor * p), np.float32)


def choose_odds_factor(
    probabilities: Sequence[NDArray[np.floating]], labels: Sequence[NDArray[Any]]
) -> float:
    """The factor with the best V_Rand on these slices (Y, X); 1 where there are none."""
    if not labels:
        return 1.0
    truth = np.stack([array > 0 for array in labels])
    best, reached = 1.0, -1.0
    for factor in ODDS_FACTORS:
        stack = np.stack([scale_odds(p, factor) for p in probabilities])
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", MetricWarning)
            v_rand = evaluate_isbi2012(stack, truth).v_rand
        if v_rand > reached + LEAST_GAIN:
            best, reached = factor, v_rand
    return best
