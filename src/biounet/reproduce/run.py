"""A task from its data to its table and page, resumable at every point."""

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from biounet.errors import InputError
from biounet.images.atomic import cannot_write, remove_leftovers, written_whole
from biounet.images.dataset import DataSet, read_item
from biounet.images.layouts.find import find_dataset
from biounet.network_settings import SlidingWindowSettings
from biounet.prediction.engines import choose_device
from biounet.prediction.predictor import n_rotations
from biounet.report.page import write_page
from biounet.report.words import sentence
from biounet.reproduce.contest import (
    NETWORKS,
    Contestant,
    NetworkResult,
    Terms,
    check_settings,
    compete,
    window_contestant,
)
from biounet.reproduce.page import reproduction_page
from biounet.reproduce.tables import ComparisonTable, comparison_table, write_tables
from biounet.reproduce.tasks import TASKS, Division, Task, TaskName
from biounet.reproduce.time_left import Phase, TimeLeft
from biounet.version import __version__

OnProgress = Callable[[str, float, float | None], None]
"""Called with what is being done, the share of it that is done (0..1), and the seconds left of
all that is to do (None: not known yet)."""


@dataclass(frozen=True)
class Reproduction:
    """What a reproduction wrote: its table, the page, and the results behind them."""

    table: ComparisonTable
    page: Path
    results: tuple[NetworkResult, ...]


def reproduce(
    name: TaskName,
    data: Path,
    out: Path,
    terms: Terms,
    windows: Sequence[int] = (),
    command: str = "",
    on_progress: OnProgress = lambda *_: None,
) -> Reproduction:
    """Train U-Net, sliding window and FCN alike, score them, and set them beside the paper.

    Run again with the same terms, it goes on where it stopped. Table and page are written after
    each network.

    Args:
        data: the folder of the task's images, in the layout that they are published in.
        out: gets `table.md`, `table.json`, `report.html`, and a folder for each network.
        windows: sides in px of further sliding windows, each trained as long as the others.
        command: how to repeat it, for the page.

    Raises:
        InputError: data that are not the task's, or another experiment in `out`.
    """
    task = TASKS[name]
    contestants = _contestants(windows)
    n_rotations(terms.average)  # told before hours of training
    choose_device(terms.device)
    check_settings(contestants, terms)
    dataset = find_dataset([data], labels_are=task.labels_are)
    division = task.divide(dataset.items)
    description = _describe(task, division, terms)
    _settle(out, description)
    training = replace(dataset, items=division.training)
    scored = [read_item(item) for item in division.scored]
    results: list[NetworkResult] = []
    time_left = TimeLeft(len(contestants), terms.training_s)
    for number, contestant in enumerate(contestants):
        title = contestant.title

        def on_phase(phase: Phase, share: float, number: int = number, title: str = title) -> None:
            left_s = time_left.after(number, phase, share)
            on_progress(f"{title}: {phase}", share, left_s)

        folder = out / contestant.name
        results.append(compete(contestant, terms, task.kind, training, scored, folder, on_phase))
        table = comparison_table(task, division, results)
        facts = facts_of(division, results, terms, dataset)
        write_tables(table, facts, description, results, out)
        page = reproduction_page(task, division, results, scored, table, facts, command, out)
        path = write_page(page, out / "report.html")
    return Reproduction(table, path, tuple(results))


def _contestants(windows: Sequence[int]) -> tuple[Contestant, ...]:
    """The networks, and the further windows; N4 itself takes part once."""
    usual = SlidingWindowSettings().window_px
    return (*NETWORKS, *(window_contestant(w) for w in dict.fromkeys(windows) if w != usual))


def _describe(task: Task, division: Division, terms: Terms) -> dict[str, Any]:
    """What decides the results, and must be the same when a reproduction goes on."""
    return {
        "task": task.name,
        "biounet": __version__,
        "terms": asdict(terms),
        "trained_on": division.trained_on,
        "measured_on": division.measured_on,
        "training": [item.name for item in division.training],
        "scored": [item.name for item in division.scored],
    }


def _settle(out: Path, description: dict[str, Any]) -> None:
    """Make the folder and note the experiment in it, or check that it is the same.

    Raises:
        InputError: the folder holds another experiment, or other things.
    """
    path = out / "experiment.json"
    remove_leftovers(out, {path.name})
    if path.exists():
        found = json.loads(path.read_text())
        differing = [k for k in description if found.get(k) != description[k] and k != "biounet"]
        if differing:
            raise InputError(
                f"another experiment in {out} (other {', '.join(differing)})",
                "the same data and terms to go on with it",
                "choose another --out",
            )
        return
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise InputError(f"{out}, which exists", "a new folder", "choose another with --out")
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise cannot_write(out, error) from error
    with written_whole(path) as temporary:
        temporary.write_text(json.dumps(description, indent=1) + "\n")


def facts_of(
    division: Division, results: Sequence[NetworkResult], terms: Terms, dataset: DataSet
) -> tuple[str, ...]:
    """What is to be known about this run's rows, in sentences."""
    first = results[0]
    budget, counted = "the same number of steps", ""
    if terms.training_s is not None:
        budget = f"the same {terms.training_s / 60:g} minutes"
        counted = (
            " All from reading the images to the best weights and the settings of labels is in it, "
            "validation too; predicting and scoring the others is not."
        )
    networks = "; ".join(
        f"{r.title}: {r.n_parameters:,} weights, {r.steps:,} step{'s' * (r.steps != 1)}"
        for r in results
    )
    averaged = "" if terms.average == "none" else f", averaged over {terms.average}"
    machine = f"{first.threads} threads of a CPU" if first.device == "cpu" else first.device
    return (
        f"Every network of this run got {budget} (preset {terms.preset}) to learn from "
        f"{division.trained_on}.{counted} Held out for validation: {first.held_out}.",
        f"{networks}.",
        *_calibrated(results),
        *(f"{r.title}: {r.remark}." for r in results if r.remark),
        f"Time per image: the median of {len(first.seconds)} images of {first.image_px:,} px, "
        f"from pixels to the result, on {machine}{averaged}. The sliding window runs densely, not "
        "patch by patch as published: the same numbers in less time.",
        f"Data: {dataset.layout}. {' '.join(map(sentence, dataset.notes))}",
    )


def _calibrated(results: Sequence[NetworkResult]) -> tuple[str, ...]:
    """What was done to the odds, where anything was."""
    scaled = [f"{r.title}: {r.odds_factor:g}" for r in results if r.odds_factor != 1]
    if not scaled:
        return ()
    return (
        "The organisers' thresholds lie 0.1 apart. So that none loses by that, the odds of cell "
        "of every network may be multiplied by 1/16, 1/4, 4 or 16, whichever has the best V_Rand "
        f"on the slices held out of training: {'; '.join(scaled)}; the others by 1.",
    )
