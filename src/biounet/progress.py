"""Progress on a terminal, with time left; silent when standard error is none."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    Progress,
    TaskID,
    TaskProgressColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from biounet.learning.run_folder import Record


def progress_bar(shown: bool = True) -> Progress:
    """A bar on standard error; disabled where that is no terminal, or if not `shown`."""
    console = Console(stderr=True)
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TaskProgressColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
        TextColumn("{task.fields[seen]}"),
        console=console,
        disable=not (shown and sys.stderr.isatty()),
        transient=False,
    )


@contextmanager
def training_progress(shown: bool = True) -> Iterator[Callable[[Record], None]]:
    """Draws the records of a training run as they come."""
    with progress_bar(shown) as bar:
        task = bar.add_task("training", total=1.0, seen="")
        seen = {"score": ""}

        def on_record(record: Record) -> None:
            kind = record["kind"]
            if kind == "choice":
                if not bar.disable:
                    bar.console.print(f"{record['name']} = {record['value']}: {record['why']}")
            elif kind == "resumed" and not bar.disable:
                n, n_patches = record["processes"], record["patches_per_step"]
                bar.console.print(
                    f"resumed at step {record['step']}: {n_patches} patches a step,"
                    f" {n_patches // n} in each of {n} processes"
                )
            elif kind == "validation":
                seen["score"] = f" · {record['score']} {record['value']:.3f}"
            elif kind == "step":
                text = f"loss {record['loss']:.3f}{seen['score']}"
                bar.update(task, completed=record["progress"], seen=text)
            elif kind == "end":
                bar.update(task, completed=1.0)

        yield on_record


@contextmanager
def counted_progress(what: str) -> Iterator[Callable[[int], None]]:
    """A bar without an end for parts that are counted as they are done."""
    with progress_bar() as bar:
        task = bar.add_task(what, total=None, seen="")
        yield lambda n_done: bar.update(task, completed=n_done, seen=f"{n_done} done")


@contextmanager
def files_progress() -> Iterator[Callable[[float, int, str], None]]:
    """A bar over input files."""
    with progress_bar() as bar:
        task = bar.add_task("predicting", total=None, seen="")
        yield lambda done, total, name: bar.update(
            task, completed=done, total=total, seen=f"{done:.0f} of {total} · {name}"
        )


def minutes_left(seconds: float | None) -> str:
    """The time left in words; nothing where it is not known."""
    if seconds is None:
        return ""
    return "under a minute left" if seconds < 60 else f"about {seconds / 60:.0f} min left"


LINE_EVERY_S = 60.0
"""Where there is no terminal, a long part tells this often how far it is."""


@contextmanager
def parts_progress() -> Iterator[Callable[[str, float, float | None], None]]:
    """A bar for each part of a long job, with the time left of all; lines where no terminal is."""
    with progress_bar() as bar:
        tasks: dict[str, TaskID] = {}
        told_at = time.monotonic()

        def on_progress(part: str, share: float, left_s: float | None) -> None:
            nonlocal told_at
            if part not in tasks:
                tasks[part] = bar.add_task(part, total=1.0, seen="")
            was_done = bar.tasks[tasks[part]].finished
            left = minutes_left(left_s)
            bar.update(tasks[part], completed=share, seen="" if share >= 1 else f"· in all {left}")
            is_due = time.monotonic() - told_at > LINE_EVERY_S or share >= 1
            if bar.disable and is_due and not was_done:
                done = "done" if share >= 1 else f"{share:.0%}"
                bar.console.print(f"{part}: {done}" + (f", {left}" if left else ""))
                told_at = time.monotonic()

        yield on_progress
