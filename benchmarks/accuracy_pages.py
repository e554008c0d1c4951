"""Tables and pictures of the accuracy research, of result files alone: no figure is typed."""

import html
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np

from biounet.errors import InputError
from biounet.images.atomic import written_whole
from biounet.reproduce.tasks import TASKS, Measure, Task

mpl.use("Agg")

from matplotlib import pyplot
from matplotlib.lines import Line2D

Result = dict[str, Any]

DECIDING = {"isbi2012": "v_rand", "dic-hela": "seg", "usiigaci": "seg", "nuclei": "ap50"}
"""The measure of each set that is drawn, and that the rows of a table are sorted by."""

MARKED = re.compile(r"<!-- accuracy (?P<words>[^>]*?) -->\n.*?<!-- /accuracy -->", re.DOTALL)
"""Where a table goes: `<!-- accuracy SET PART [images=few] [budget=20min] [base=ROW] -->`."""


@dataclass(frozen=True)
class Group:
    """Runs that differ in their seeds alone, predicted with one kind of averaging."""

    row: str
    budget: str
    n_images: int | None
    average: str
    runs: tuple[Result, ...]

    @property
    def title(self) -> str:
        """Of its row."""
        return ", ".join(filter(None, (self.row, self.averaging)))

    @property
    def averaging(self) -> str:
        """And how objects were made, where that is not the model's; empty: neither."""
        average, _, method = self.average.partition("+")
        averaged = "" if average == "none" else f"averaged over {average}"
        return ", ".join(filter(None, (averaged, method)))

    def values(self, key: str) -> list[float]:
        """A measure of every run."""
        return [run["scores"][self.average][key] for run in self.runs]

    def mean(self, key: str) -> float:
        """A measure, mean over the runs."""
        return float(np.mean(self.values(key)))


def read_results(folder: Path) -> list[Result]:
    """Every result of a folder.

    Raises:
        InputError: there is none.
    """
    results = [json.loads(path.read_text()) for path in sorted(folder.glob("*.json"))]
    if not results:
        raise InputError(f"no result in {folder}", "NAME.json, as `run` writes them", "run first")
    return results


def of_budget(results: Sequence[Result], budget: str | None) -> list[Result]:
    """The results of one budget, as 20min or 400steps; all of them where it is None."""
    return [r for r in results if budget in (None, _budget(r).replace(" ", ""))]


def _budget(result: Result) -> str:
    unit, amount = result["budget"]
    return f"{amount:g} {'min' if unit == 'minutes' else unit}"


def grouped(results: Sequence[Result], set_name: str, part: str) -> list[Group]:
    """The groups of a set and part; longest budget first, then the best."""
    groups: dict[tuple[str, str, int | None, str], list[Result]] = {}
    for result in results:
        if (result["set"], result["part"]) != (set_name, part):
            continue
        for average in result["scores"]:
            key = (str(result["row"]), _budget(result), result["images"], average)
            groups.setdefault(key, []).append(result)
    made = [
        Group(*key, tuple(sorted(runs, key=lambda run: run["seed"])))
        for key, runs in groups.items()
    ]
    deciding = DECIDING[set_name]
    return sorted(made, key=lambda g: (-g.runs[0]["budget"][1], g.n_images or 0, -g.mean(deciding)))


def fill_tables(results: Sequence[Result], docs: Path) -> None:
    """Write every table that a Markdown file has a place for.

    Raises:
        InputError: a place for which there is no result, or no place at all.
    """
    text = docs.read_text(encoding="utf-8")
    if not MARKED.search(text):
        raise InputError(
            f"no place for a table in {docs}",
            "<!-- accuracy SET PART --> and <!-- /accuracy -->",
            "write them where the table is to be",
        )

    def filled(place: re.Match[str]) -> str:
        words = place["words"]
        return f"<!-- accuracy {words} -->\n{table_of(results, words)}\n<!-- /accuracy -->"

    with written_whole(docs) as temporary:
        temporary.write_text(MARKED.sub(filled, text), encoding="utf-8")


def table_of(results: Sequence[Result], words: str) -> str:
    """The table that the words of a marker ask for."""
    set_name, part, *rest = words.split()
    asked = dict(word.partition("=")[::2] for word in rest)
    if unknown := asked.keys() - {"images", "budget", "base"}:
        raise InputError(f"{unknown.pop()!r} in {words!r}", "images, budget, base", "mend it")
    few = asked.get("images") == "few"
    groups = [
        group
        for group in grouped(of_budget(results, asked.get("budget")), set_name, part)
        if (group.n_images is not None) == few
    ]
    if not groups:
        raise InputError(f"no result for {words!r}", "runs of that kind", "run them first")
    return markdown_table(groups, _task(set_name).measures, DECIDING[set_name], asked.get("base"))


def markdown_table(
    groups: Sequence[Group], measures: Sequence[Measure], deciding: str, base: str | None
) -> str:
    """A table with what is to be known about its runs below it."""
    by_key = {measure.key: measure for measure in measures}
    columns = [by_key[deciding], *(m for m in measures if m.key != deciding)]
    head = ["", "images", "budget", "steps", *map(_heading, columns), "seeds"]
    if base is not None:
        head.insert(5, f"against {base}")
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    for group in groups:
        steps = np.mean([run["steps"] for run in group.runs])
        cells = [
            group.title,
            str(group.runs[0]["n_training"]),
            group.budget,
            f"{steps:,.0f}",
            *(mean_and_spread(group.values(m.key), m.digits) for m in columns),
            ", ".join(str(run["seed"]) for run in group.runs),
        ]
        if base is not None:
            cells.insert(5, _against(group, groups, base, deciding))
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n\n" + _below(groups)


def mean_and_spread(values: Sequence[float], digits: int) -> str:
    """Mean and standard deviation (n - 1) of some, or the one there is."""
    if len(values) == 1:
        return f"{values[0]:.{digits}f}"
    return f"{np.mean(values):.{digits}f} ± {np.std(values, ddof=1):.{digits}f}"


def _against(group: Group, groups: Sequence[Group], base: str, key: str) -> str:
    """What a group gained against the base of the same budget, images and averaging."""
    gained = gain(group, groups, base, key)
    return "" if gained is None or group.row == base else f"{gained:+.4f}"


def gain(group: Group, groups: Sequence[Group], base: str, key: str) -> float | None:
    """The difference of the means; None where the base was not run alike."""
    alike = [
        other
        for other in groups
        if (other.row, other.budget, other.n_images, other.average)
        == (base, group.budget, group.n_images, group.average)
    ]
    return group.mean(key) - alike[0].mean(key) if alike else None


def _below(groups: Sequence[Group]) -> str:
    """Split, machines, commits; folded away, commands and what rows change."""
    runs = list({run["name"]: run for group in groups for run in group.runs}.values())

    def every(values: Sequence[str]) -> str:
        return "; ".join(dict.fromkeys(values))

    machines = every(
        [
            f"{run['machine']['processor']} ({run['machine']['device']}, "
            f"{run['machine']['threads']} threads)"
            for run in runs
        ]
    )
    minutes = [run["minutes"]["training"] for run in runs]
    several = any(len(group.runs) > 1 for group in groups)
    few = any(run["images"] is not None for run in runs)
    trained_on = (
        "images drawn from those of the part with each seed"
        if few
        else every([run["trained_on"] for run in runs])
    )
    facts = [
        f"Trained on {trained_on}. Scored on {every([run['measured_on'] for run in runs])}.",
        *(["Mean and standard deviation over seeds."] if several else []),
        f"Training took {_range(minutes)} minutes a run.",
        f"Machine: {machines}. Commit: {every([run['commit'] for run in runs])}.",
    ]
    changes = {group.row: group.runs[0]["changes"] for group in groups}
    settings = [f"# {row}: {json.dumps(change)}" for row, change in changes.items() if change]
    commands = "\n".join([*groups[0].runs[0]["commands"], *settings])
    return (
        " ".join(facts)
        + "\n\n<details><summary>Commands of the first run, and the settings of rows</summary>\n"
        + f"<pre>{html.escape(commands, quote=False)}</pre></details>"
    )


def _range(values: Sequence[float]) -> str:
    return " to ".join(dict.fromkeys((f"{min(values):.1f}", f"{max(values):.1f}")))


def draw_curve(results: Sequence[Result], sets: Sequence[str], part: str, out: Path) -> None:
    """The deciding measure of each set against the number of images to learn from, a line a row.

    Raises:
        InputError: no row of a set was run on few images.
    """
    lines = {name: _lines(results, name, part) for name in sets}
    rows = sorted({row for of in lines.values() for row in of})
    figure, panels = pyplot.subplots(
        1, len(sets), figsize=(1.2 + 3 * len(sets), 3.4), layout="constrained", squeeze=False
    )
    for axes, (set_name, of) in zip(panels[0], lines.items(), strict=True):
        key = DECIDING[set_name]
        ticks = sorted({group.runs[0]["n_training"] for groups in of.values() for group in groups})
        for row, groups in of.items():
            at = [group.runs[0]["n_training"] for group in groups]
            colour = f"C{rows.index(row)}"
            axes.plot(at, [group.mean(key) for group in groups], color=colour, marker="o")
            lowest = [min(group.values(key)) for group in groups]
            highest = [max(group.values(key)) for group in groups]
            axes.fill_between(at, lowest, highest, color=colour, alpha=0.15, linewidth=0)
        axes.set_xscale("log")
        axes.set_xticks(ticks, [str(n) for n in ticks])
        axes.minorticks_off()
        axes.set_title(f"{set_name}: {_title(set_name, key)}", fontsize="medium")
    figure.supxlabel("annotated images to learn from", fontsize="medium")
    drawn = [Line2D([], [], color=f"C{k}", marker="o") for k in range(len(rows))]
    figure.legend(drawn, rows, frameon=False, loc="outside upper center", ncols=len(rows))
    _write(figure, out)


def _lines(results: Sequence[Result], set_name: str, part: str) -> dict[str, list[Group]]:
    """The groups of each row and budget that learned from a few images; fewest images first."""
    lines: dict[str, list[Group]] = {}
    for group in grouped(results, set_name, part):
        if group.n_images is not None and group.average == "none":
            lines.setdefault(f"{group.row}, {group.budget}", []).append(group)
    if not lines:
        raise InputError(f"no run of {set_name} on few images", "some", "run with --images 1,2,5")
    return {row: sorted(of, key=lambda g: g.runs[0]["n_training"]) for row, of in lines.items()}


def draw_bars(results: Sequence[Result], set_name: str, part: str, base: str, out: Path) -> None:
    """What each row gained in the deciding measure, against another at the same budget.

    Raises:
        InputError: no row was run as the base was.
    """
    key = DECIDING[set_name]
    groups = [g for g in grouped(results, set_name, part) if g.n_images is None]
    bars: dict[str, list[tuple[str, float, float]]] = {}  # by row and budget
    for group in groups:
        gained = gain(group, groups, base, key)
        if gained is not None and group.row != base:
            spread = float(np.std(group.values(key)))
            bars.setdefault(f"{group.row}\n{group.budget}", []).append(
                (group.averaging or "as it is", gained, spread)
            )
    if not bars:
        raise InputError(f"no row beside {base!r}", "rows of the same budget", "run them first")
    names = sorted(bars, key=lambda name: np.mean([gained for _, gained, _ in bars[name]]))
    ways = sorted({way for name in names for way, _, _ in bars[name]}, key=len)
    figure, axes = pyplot.subplots(figsize=(7.2, 1 + 0.6 * len(names)), layout="constrained")
    for number, way in enumerate(ways):
        shown = [
            (y, *bar[1:]) for y, name in enumerate(names) for bar in bars[name] if bar[0] == way
        ]
        y, gains, spreads = np.transpose(shown)
        height = 0.8 / len(ways)
        at = y + (number - (len(ways) - 1) / 2) * height
        axes.barh(at, gains, height, xerr=spreads if spreads.any() else None, label=way)
    axes.set_yticks(range(len(names)), names)
    axes.axvline(0, color="black", linewidth=0.8)
    axes.set_xlabel(f"{_title(set_name, key)}, against {base}")
    axes.legend(frameon=False)
    _write(figure, out)


def _task(set_name: str) -> Task:
    return next(task for name, task in TASKS.items() if name == set_name)


def _title(set_name: str, key: str) -> str:
    return _heading(next(m for m in _task(set_name).measures if m.key == key))


def _heading(measure: Measure) -> str:
    """The measure's name; the paper's tables name the column of SEG after the set."""
    return "SEG" if measure.key == "seg" else measure.column


def _write(figure: Any, out: Path) -> None:
    for axes in figure.axes:
        axes.spines[["top", "right"]].set_visible(False)
    out.parent.mkdir(parents=True, exist_ok=True)
    with written_whole(out) as temporary:
        figure.savefig(temporary, dpi=130)
    pyplot.close(figure)
