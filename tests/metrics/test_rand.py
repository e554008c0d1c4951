"""Rand counts and entropies against loops over pairs of pixels and over pixels."""

from itertools import combinations, product
from math import log

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from biounet.metrics.contingency import contingency
from biounet.metrics.information import information
from biounet.metrics.rand import cell_overlap, rand_counts, rand_counts_2012

labels = hnp.arrays(np.uint8, 10, elements=st.integers(0, 3))


def together(labels: np.ndarray, a: int, b: int) -> bool:
    """A pixel is in one segment with itself, and with others of its label unless that is 0."""
    return a == b or (labels[a] == labels[b] != 0)


@given(labels, labels)
def test_counts_are_those_of_all_pairs(prediction: np.ndarray, truth: np.ndarray) -> None:
    cells = np.flatnonzero(truth)
    overlap = cell_overlap(contingency(prediction, truth))
    for pairs, counts in (
        (list(product(cells, cells)), rand_counts(overlap)),
        (list(combinations(cells, 2)), rand_counts_2012(overlap)),
    ):
        in_truth = {p for p in pairs if together(truth, *p)}
        in_prediction = {p for p in pairs if together(prediction, *p)}
        if len(cells) > 0:
            assert counts.tp == len(in_truth & in_prediction)
            assert counts.fp == len(in_prediction - in_truth)
            assert counts.fn == len(in_truth - in_prediction)


@given(labels, labels)
def test_entropies_are_those_of_pixels(prediction: np.ndarray, truth: np.ndarray) -> None:
    """Sum over pixels of -log(share of those like it) / n; lone membrane pixels have none."""
    cells = np.flatnonzero(truth)
    n = len(cells)
    # each lone membrane pixel gets a label of its own
    segment = {p: int(prediction[p]) or 100 + int(p) for p in cells}

    def entropy(label_of: dict[int, object]) -> float:
        values = list(label_of.values())
        return -sum(log(values.count(v) / n) for v in values) / n

    found = information(cell_overlap(contingency(prediction, truth)))
    if n > 0:
        assert found.truth == pytest.approx(entropy({p: truth[p] for p in cells}), abs=1e-12)
        assert found.prediction == pytest.approx(entropy(segment), abs=1e-12)
        both = entropy({p: (truth[p], segment[p]) for p in cells})
        assert found.both == pytest.approx(both, abs=1e-12)


@given(labels, labels, st.permutations([1, 2, 3]))
def test_ids_mean_nothing(prediction: np.ndarray, truth: np.ndarray, ids: list[int]) -> None:
    permuted = np.array([0, *ids], np.uint8)[prediction]
    overlap = cell_overlap(contingency(prediction, truth))
    other = cell_overlap(contingency(permuted, truth))
    if overlap.n > 0:
        assert rand_counts(other) == rand_counts(overlap)
        assert information(other).f_score == pytest.approx(
            information(overlap).f_score, abs=1e-12, nan_ok=True
        )


def test_hand_worked() -> None:
    """Cells of 2 and 2 px; the first is cut by a membrane pixel, the second found whole."""
    overlap = cell_overlap(contingency(np.array([1, 0, 2, 2]), np.array([1, 1, 2, 2])))
    counts = rand_counts(overlap)
    assert (counts.tp, counts.fp, counts.fn) == (1 + 4 + 1, 0, 2)
    assert counts.f_score == pytest.approx(2 * 6 / (6 + 8))
    assert (overlap.n_alone, overlap.n) == (1, 4)
    found = information(overlap)
    assert found.truth == pytest.approx(log(2))
    assert found.prediction == pytest.approx(2 * log(4) / 4 + log(2) / 2)
    assert found.f_score == pytest.approx(2 * log(2) / (log(2) + 1.5 * log(2)))


def test_no_cells_and_one_cell() -> None:
    nothing = cell_overlap(contingency(np.array([1, 2]), np.array([0, 0])))
    assert np.isnan(rand_counts(nothing).tp)
    assert rand_counts(nothing).f_score == 0
    assert information(nothing).f_score == 0
    # one cell: rounding must not hide that its entropy is 0
    one = cell_overlap(contingency(np.repeat([1, 2, 3], 7), np.ones(21, int)))
    assert information(one).truth == 0
    assert information(one).f_score == 0


def test_independent_segmentation_has_no_information_score() -> None:
    overlap = cell_overlap(contingency(np.array([1, 2, 1, 2]), np.array([1, 1, 2, 2])))
    assert np.isnan(information(overlap).f_score)
