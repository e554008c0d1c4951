"""The simulation behind docs/scale.md, where its outcome is known by hand."""

import importlib.util
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

PATH = Path(__file__).parents[1] / "benchmarks" / "scheduler_simulation.py"


@pytest.fixture(scope="module")
def simulation():
    spec = importlib.util.spec_from_file_location("scheduler_simulation", PATH)
    module = importlib.util.module_from_spec(spec)
    sys.modules["scheduler_simulation"] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def even(simulation):
    """Ten equal workers, ten blocks each, a scheduler that takes no time."""
    return simulation.Cluster(
        n_workers=10,
        n_blocks=100,
        block_s=2.0,
        speed_spread=0.0,
        jitter=0.0,
        dying=0.0,
        handing_out_s=0.0,
    )


def test_equal_workers_take_the_ideal_time(simulation, even):
    run = simulation.simulate(even, np.random.default_rng(0))
    assert (run.seconds, run.ideal_s, run.lost) == (20.0, 20.0, 0.0)


def test_a_slow_scheduler_sets_the_pace(simulation, even):
    run = simulation.simulate(replace(even, handing_out_s=1.0), np.random.default_rng(0))
    assert run.seconds == pytest.approx(100 + 2)
    assert run.scheduler_busy == pytest.approx(100 / 102)


def test_a_dead_workers_blocks_are_done_by_others(simulation, even):
    dying = replace(even, dying=0.1, noticed_s=5.0)
    run = simulation.simulate(dying, np.random.default_rng(0))
    assert 20 < run.seconds <= 20 + 5 + 2 * 2 + 2
    assert 0 < run.lost <= 1 / 100
