"""The time left of a reproduction, by a clock that the test turns."""

import pytest

from biounet.progress import minutes_left
from biounet.reproduce.time_left import TimeLeft


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def test_budgets_are_known_and_what_follows_is_measured() -> None:
    clock = Clock()
    left = TimeLeft(3, 600, clock)
    assert left.after(0, "training", 0) == 3 * 600
    clock.now = 300
    assert left.after(0, "training", 0.5) == pytest.approx(300 + 2 * 600)
    clock.now = 600
    assert left.after(0, "training", 1) == pytest.approx(2 * 600)
    left.after(0, "predicting", 0)
    clock.now = 610
    assert left.after(0, "predicting", 0.25) == pytest.approx(30 + 2 * 600)
    clock.now = 640
    assert left.after(0, "predicting", 1) == pytest.approx(2 * (600 + 40))
    left.after(0, "scoring", 0)
    clock.now = 660
    left.after(0, "scoring", 1)
    # 40 s of predicting and 20 s of scoring are now known to follow each training
    assert left.after(1, "training", 0) == pytest.approx(2 * 660)
    assert left.after(2, "training", 0.5) == pytest.approx(300 + 60)
    assert left.after(2, "scoring", 0.5) == pytest.approx(10)


def test_steps_take_as_long_as_they_do() -> None:
    clock = Clock()
    left = TimeLeft(2, None, clock)
    assert left.after(0, "training", 0) is None
    clock.now = 10
    assert left.after(0, "training", 0.1) == pytest.approx(90 + 100)
    clock.now = 200
    left.after(0, "training", 1)
    assert left.after(1, "training", 0) == pytest.approx(200)


def test_a_training_that_goes_on_counts_its_share() -> None:
    """What was done in an earlier sitting is neither measured nor left."""
    clock = Clock()
    left = TimeLeft(2, 600, clock)
    assert left.after(0, "training", 0.75) == pytest.approx(150 + 600)
    clock.now = 150
    left.after(0, "training", 1)
    assert left.after(1, "training", 0) == pytest.approx(600)


def test_in_words() -> None:
    assert [minutes_left(s) for s in (None, 20, 90, 600)] == [
        "",
        "under a minute left",
        "about 2 min left",
        "about 10 min left",
    ]
