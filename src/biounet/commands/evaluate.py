"""Scores of files against files."""

import shlex
import sys
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from biounet.commands.output import say, warnings_as_lines


def evaluate(
    prediction: Path,
    truth: Path,
    *,
    metrics: Literal["auto", "isbi2012", "ctc", "overlap", "matching"] = "auto",
    json: Annotated[Path | None, Parameter(name="--json")] = None,
    report: Path | None = None,
    images: Path | None = None,
    ignore_value: int | None = None,
) -> None:
    """Score a prediction against the truth.

    Example: `biounet evaluate predicted/ labels/ --report scores.html --images images/`

    Parameters
    ----------
    prediction
        An image, stack or folder; for `ctc` a folder such as `01_RES`.
    truth
        The same of the truth; for `ctc` a folder such as `01_GT`.
    metrics
        `isbi2012` (probabilities), `ctc`, `overlap` (masks, classes) or `matching` (objects);
        `auto`: what fits the files.
    json
        File for all scores, those at every threshold included.
    report
        File (.html) for a page with the scores and the mistakes in the worst images.
    images
        The images themselves, for the page: mistakes are drawn on them.
    ignore_value
        Label of pixels that nobody annotated, for `overlap` and `matching`: they count for nothing.
    """
    from biounet.errors import InputError
    from biounet.evaluation import (
        evaluate_files,
        headline,
        write_evaluation_page,
        write_scores,
    )
    from biounet.progress import counted_progress

    if report is not None and report.suffix.lower() not in (".html", ".htm"):
        raise InputError(f"--report {report}", "a name in *.html", f"write {report}.html")
    if images is not None and report is None:
        raise InputError("--images without --report", "both", "add --report scores.html")
    with counted_progress("scoring") as on_part, warnings_as_lines():
        scores = evaluate_files(prediction, truth, metrics, on_part, ignore_value)
    for path in (json, report):
        if path is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
    if json is not None:
        write_scores(scores, json)
    if report is not None:
        command = shlex.join(["biounet", *sys.argv[1:]])
        say(f"report: {write_evaluation_page(report, prediction, truth, scores, command, images)}")
    say(headline(scores))
