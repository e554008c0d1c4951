"""Progress on a terminal, with time left; silent when standard error is none."""

import sys
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


@contextmanager
def parts_progress() -> Iterator[Callable[[str, float], None]]:
    """A bar for each part of a long job; where there is no terminal, a line when it is done."""
    with progress_bar() as bar:
        tasks: dict[str, TaskID] = {}

        def on_progress(part: str, share: float) -> None:
            if part not in tasks:
                tasks[part] = bar.add_task(part, total=1.0, seen="")
            was_done = bar.tasks[tasks[part]].finished
            bar.update(tasks[part], completed=share)
            if bar.disable and share >= 1 and not was_done:
                bar.console.print(f"{part}: done")

        yield on_progress
