"""The order of rows, and a table as Markdown."""

from dataclasses import replace
from typing import Literal

import pytest

from biounet.reproduce.contest import NetworkResult
from biounet.reproduce.tables import comparison_table, in_order, markdown_of
from biounet.reproduce.tasks import TASKS, Division, Measure


def result(name: str, **scores: float) -> NetworkResult:
    return NetworkResult(
        name, name, scores, {}, {}, (9.0, 1.0, 2.0), 100, 0.5, 7, 12, None, "cpu", 2, "the last 1"
    )


@pytest.mark.parametrize(("best", "first"), [("smallest", "low"), ("largest", "high")])
def test_the_best_comes_first(best: Literal["smallest", "largest"], first: str) -> None:
    task = replace(TASKS["isbi2012"], measures=(Measure("key", "Column", best=best),))
    results = [result("high", key=0.9), result("low", key=0.1)]
    assert in_order(task, results)[0].name == first
    assert in_order(task, results[::-1])[0].name == first


def test_values_stand_in_the_paper_s_column() -> None:
    division = Division((), (), "these", "those")
    table = comparison_table(TASKS["phc-u373"], division, [result("U-Net", seg=0.54321)])
    lines = markdown_of(table, ["A fact."]).splitlines()
    assert lines[0].startswith("**Table 2.")
    assert lines[2] == (
        "| Name | Measured on | PhC-U373 | DIC-HeLa | Training, min | Time per image |"
    )
    assert lines[-5] == (
        "| U-Net (this run) | those of the public training set PhC-C2DH-U373 | 0.5432 | - "
        "| 0.5 | 2 s |"
    )
    assert lines[-1] == "A fact."
