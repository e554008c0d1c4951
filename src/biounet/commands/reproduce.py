"""The paper's tables."""

import shlex
import sys
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from biounet.commands.output import say, warnings_as_lines
from biounet.commands.said import said_settings
from biounet.errors import InputError

WINDOWS_OF_ISBI2012 = "5,15,31,63"
"""One for each number of stages; N4's own 95 px take part anyway."""


def reproduce(
    task: Literal["isbi2012", "dic-hela", "phc-u373", "usiigaci", "nuclei", "lungs"],
    *,
    data: Path,
    out: Path,
    minutes: float | None = None,
    windows: str | None = None,
    preset: Literal["fast", "paper"] = "fast",
    average: str = "none",
    device: str = "auto",
    change: Annotated[tuple[str, ...], Parameter(name="--set")] = (),
) -> None:
    """Train U-Net, sliding window and FCN alike; print their scores below the paper's tables.

    Run again, it goes on where it stopped.

    Example: `biounet reproduce isbi2012 --data isbi2012/ --out tables/isbi2012 --minutes 20`

    Parameters
    ----------
    task
        Which of the data sets.
    data
        Its folder, in the layout that it is published in.
    out
        Folder for table (Markdown, JSON), page, runs and predictions.
    minutes
        Training time, the same for each network, 10 unless said: from reading the images to the
        best weights, validation included. Prediction and scores come on top; the time left of all
        is shown.
    windows
        Sides in px of further sliding windows, each trained as long as the others: accuracy is
        drawn against window. For isbi2012, unless others are given: 5,15,31,63 (1 to 4 stages,
        beside the usual 95); "" for none.
    preset
        `fast`, or `paper` for the 2015 recipe.
    average
        `none`, `d4` (the 8 symmetries) or `rotations:N` (the paper: 7), at prediction.
    device
        auto, cpu, cuda or mps.
    change
        Any setting of all networks, as `training.seed=1`; can be repeated.
    """
    from biounet.progress import parts_progress
    from biounet.reproduce import Terms
    from biounet.reproduce import reproduce as run_task

    if windows is None:
        windows = WINDOWS_OF_ISBI2012 if task == "isbi2012" else ""
    sides = [side.strip() for side in windows.split(",") if side.strip()]
    if wrong := [side for side in sides if not side.isdecimal()]:
        raise InputError(f"--windows {wrong[0]!r}", "sides in px", "write them as 31,63")
    terms = Terms(minutes, preset, average, device, said_settings(None, change))
    command = shlex.join(["biounet", *sys.argv[1:]])
    with parts_progress() as on_progress, warnings_as_lines():
        result = run_task(task, data, out, terms, [int(s) for s in sides], command, on_progress)
    say((out / "table.md").read_text(encoding="utf-8").rstrip())
    say(f"\nreport: {result.page}")
