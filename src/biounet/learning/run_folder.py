"""A run folder: what `train` writes and `--resume`, `report` and `predict` read.

RUN/settings.yaml         every setting, derived ones included
    log.jsonl             one JSON record a line
    best.safetensors      the weights of the best validation score
    last.safetensors      the weights at the end
    checkpoint/state.safetensors
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from biounet.errors import InputError

Record = dict[str, Any]
"""One line of the log: {"kind": "step" | "validation" | …, …}, plain JSON values."""


@dataclass(frozen=True)
class RunFolder:
    """The paths of a run."""

    path: Path

    @property
    def settings(self) -> Path:
        """Every setting."""
        return self.path / "settings.yaml"

    @property
    def log(self) -> Path:
        """The log, JSON lines."""
        return self.path / "log.jsonl"

    @property
    def best(self) -> Path:
        """The best model."""
        return self.path / "best.safetensors"

    @property
    def last(self) -> Path:
        """The last model."""
        return self.path / "last.safetensors"

    @property
    def checkpoint(self) -> Path:
        """What a resumed run goes on from."""
        return self.path / "checkpoint" / "state.safetensors"

    @property
    def report(self) -> Path:
        """The page to look at."""
        return self.path / "report.html"


def open_run(path: Path, resume: bool) -> RunFolder:
    """The folder of a new run, not made yet, or that of one to resume.

    Raises:
        InputError: a run is there already and `resume` was not asked.
    """
    run = RunFolder(path)
    if path.exists() and not resume and (not path.is_dir() or any(path.iterdir())):
        raise InputError(f"{path}, which exists", "a new run folder", "add --resume or rename")
    return run


def make_folder(run: RunFolder) -> None:
    """Make the folder of a new run.

    Raises:
        InputError: it cannot be made.
    """
    try:
        run.checkpoint.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(
            f"{run.path} cannot be made ({error.strerror})",
            "a folder to write in",
            "choose another",
        ) from None


def append_record(run: RunFolder, record: Record) -> None:
    """Add a line to the log."""
    with run.log.open("a") as file:
        file.write(json.dumps(record) + "\n")


def read_records(run: RunFolder) -> list[Record]:
    """The lines of the log; one that a killed process left unfinished is skipped."""
    if not run.log.exists():
        return []
    records = []
    for line in run.log.read_text().splitlines():
        try:
            records.append(json.loads(line))
        except json.JSONDecodeError:
            continue
    return records


def forget_after(run: RunFolder, step: int) -> None:
    """Drop the records of steps that a killed run did but did not save."""
    kept = [r for r in read_records(run) if r.get("step", 0) <= step]
    temporary = run.log.with_suffix(".tmp")
    temporary.write_text("".join(json.dumps(r) + "\n" for r in kept))
    temporary.replace(run.log)
