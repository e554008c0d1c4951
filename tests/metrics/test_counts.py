"""Scores of counts, and their corners."""

from math import nan

import pytest

from biounet.metrics.counts import Counts


def test_hand_worked() -> None:
    counts = Counts(tp=6, fp=2, fn=4)
    assert counts.precision == 6 / 8
    assert counts.recall == 6 / 10
    assert counts.f_score == pytest.approx(2 * 6 / (2 * 6 + 2 + 4))
    assert counts.jaccard == 6 / 12


def test_nothing_to_find_and_nothing_found_is_perfect() -> None:
    counts = Counts(0, 0, 0)
    assert (counts.precision, counts.recall, counts.f_score, counts.jaccard) == (1, 1, 1, 1)


@pytest.mark.parametrize("counts", [Counts(0, 3, 0), Counts(0, 0, 3), Counts(0, 1, 1)])
def test_nothing_right_is_zero(counts: Counts) -> None:
    assert counts.f_score == 0
    assert counts.jaccard == 0


def test_nan_spoils_a_sum() -> None:
    assert (Counts(5, 0, 0) + Counts(nan, nan, nan)).f_score == 0
    assert Counts(1, 2, 3) + Counts(4, 5, 6) == Counts(5, 7, 9)
