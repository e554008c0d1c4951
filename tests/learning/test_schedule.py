"""The budget and the learning rate that follows it."""

import pytest

from biounet.config import TrainingSettings
from biounet.learning.schedule import Budget, learning_rate

COSINE = TrainingSettings(learning_rate=2.0, warmup_steps=10, schedule="cosine")


def test_budget_in_steps_and_in_seconds() -> None:
    assert Budget(steps=8, seconds=None).progress(2, 999) == 0.25
    assert Budget(steps=None, seconds=50).progress(999, 10) == 0.2
    assert Budget(steps=None, seconds=50).progress(0, 60) == 1
    assert Budget(steps=None, seconds=-3).progress(0, 0) == 1  # set-up took it all


def test_the_rate_rises_by_steps_then_falls_to_nothing() -> None:
    rates = [learning_rate(COSINE, step, step / 1000) for step in range(1000)]
    assert rates[0] == pytest.approx(0.2)
    assert rates[4] == pytest.approx(1.0, rel=1e-3)
    assert rates[9] == max(rates)
    assert rates[500] == pytest.approx(1.0)
    assert learning_rate(COSINE, 1000, 1.0) == pytest.approx(0.0)


def test_a_run_of_few_steps_still_reaches_its_rate() -> None:
    """8 steps, a rise over 10: it ends after a fifth of the run."""
    rates = [learning_rate(COSINE, step, step / 8) for step in range(8)]
    assert rates[2] == pytest.approx(2 * (0.5 + 0.5 * 0.70710678))


def test_the_papers_rate_is_constant() -> None:
    paper = TrainingSettings(learning_rate=1e-3, warmup_steps=0, schedule="constant")
    assert {learning_rate(paper, s, s / 10) for s in range(10)} == {1e-3}
