"""The paper's table with our rows below its own, each saying on what it was measured."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from biounet.images.atomic import written_whole
from biounet.reproduce.contest import NetworkResult
from biounet.reproduce.tasks import Division, Task

NOT_THE_SAME = (
    "The paper's rows were measured by the challenge's server on test images whose labels are "
    "secret; ours on held-out images of public annotated data. They are not the same "
    "measurement: compare the networks of this run with each other, and with the paper only in "
    "kind."
)


@dataclass(frozen=True)
class Row:
    """A row.

    Attributes:
        source: `paper`, printed there, or `here`, measured by this run.
        values: of each column, as they are shown; "-" where there is none.
    """

    source: Literal["paper", "here"]
    rank: str
    name: str
    values: tuple[str, ...]
    minutes: str
    time_per_image: str
    measured_on: str


@dataclass(frozen=True)
class ComparisonTable:
    """The table of a task; `caption` is the paper's where it has one."""

    caption: str
    name_column: str
    columns: tuple[str, ...]
    rows: tuple[Row, ...]
    note: str

    @property
    def is_ranked(self) -> bool:
        """Whether the paper ranks its rows."""
        return any(row.rank for row in self.rows)

    @property
    def n_text(self) -> int:
        """How many columns come before the numbers."""
        return 3 if self.is_ranked else 2

    @property
    def head(self) -> tuple[str, ...]:
        """Every column."""
        return (
            *(("Rank",) if self.is_ranked else ()),
            self.name_column,
            "Measured on",
            *self.columns,
            "Training, min",
            "Time per image",
        )

    @property
    def lines(self) -> tuple[tuple[str, ...], ...]:
        """Every row, as shown."""
        return tuple(
            (
                *((row.rank,) if self.is_ranked else ()),
                row.name,
                row.measured_on,
                *row.values,
                row.minutes,
                row.time_per_image,
            )
            for row in self.rows
        )


def comparison_table(
    task: Task, division: Division, results: Sequence[NetworkResult]
) -> ComparisonTable:
    """The paper's rows as it ranks them, then ours, best first; ours have no rank."""
    paper = task.paper
    columns = list(paper.columns) if paper is not None else []
    columns += [m.column for m in task.measures if m.column not in columns]
    rows = []
    if paper is not None:
        rows += [
            Row(
                "paper",
                row.rank,
                row.name,
                (*row.values, *("-" for _ in columns[len(row.values) :])),
                "-",
                "-",
                paper.measured_on,
            )
            for row in paper.rows
        ]
    for result in in_order(task, results):
        shown = {m.column: f"{result.scores[m.key]:.{m.digits}f}" for m in task.measures}
        rows.append(
            Row(
                "here",
                "",
                f"{result.title} (this run)",
                tuple(shown.get(column, "-") for column in columns),
                f"{result.training_minutes:.1f}",
                f"{result.seconds_per_image:.3g} s",
                f"{division.measured_on} of {task.source}",
            )
        )
    ours = f"below, this run, by {task.measures[0].column}"
    caption = f"{task.title}." if paper is None else f"{paper.title}; {ours}."
    note = "The paper has no such table." if paper is None else NOT_THE_SAME
    name_column = "Name" if paper is None else paper.name_column
    return ComparisonTable(caption, name_column, tuple(columns), tuple(rows), note)


def in_order(task: Task, results: Sequence[NetworkResult]) -> list[NetworkResult]:
    """Results, the best first, by the task's first measure."""
    first = task.measures[0]
    sign = 1 if first.best == "smallest" else -1
    return sorted(results, key=lambda result: sign * result.scores[first.key])


def markdown_of(table: ComparisonTable, facts: Sequence[str]) -> str:
    """The table and what is to be known about it, as Markdown."""
    rule = ["---"] * table.n_text + ["---:"] * (len(table.columns) + 2)
    lines = [[cell.replace("*", "\\*") for cell in line] for line in table.lines]
    rows = ["| " + " | ".join(cells) + " |" for cells in ([*table.head], rule, *lines)]
    return "\n\n".join([f"**{table.caption}**", "\n".join(rows), table.note, *facts]) + "\n"


def write_tables(
    table: ComparisonTable,
    facts: Sequence[str],
    description: dict[str, Any],
    results: Sequence[NetworkResult],
    out: Path,
) -> None:
    """Write `table.md`, and `table.json` with every number behind it."""
    with written_whole(out / "table.md") as temporary:
        temporary.write_text(markdown_of(table, facts), encoding="utf-8")
    tree = {
        **description,
        "caption": table.caption,
        "note": table.note,
        "rows": [
            {
                "source": row.source,
                "rank": row.rank,
                "name": row.name,
                "values": {
                    column: None if value == "-" else float(value)
                    for column, value in zip(table.columns, row.values, strict=True)
                },
                "measured_on": row.measured_on,
            }
            for row in table.rows
        ],
        "results": [
            {**asdict(result), "seconds_per_image": result.seconds_per_image} for result in results
        ],
    }
    with written_whole(out / "table.json") as temporary:
        temporary.write_text(json.dumps(tree, indent=1) + "\n")
