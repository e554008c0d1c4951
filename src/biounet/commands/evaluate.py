"""Scores of files against files."""

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
) -> None:
    """Score a prediction against the truth.

    Example: `biounet evaluate predicted/ labels/ --metrics matching --json scores.json`

    Parameters
    ----------
    prediction
        An image, stack or folder; for `ctc` a folder such as `01_RES`.
    truth
        The same of the truth; for `ctc` a folder such as `01_GT`.
    metrics
        `isbi2012` (probabilities), `ctc`, `overlap` (masks, classes) or `matching` (objects).
    json
        File for all scores, those at every threshold included.
    """
    from biounet.evaluation import evaluate_files, headline, write_scores
    from biounet.progress import counted_progress

    with counted_progress("scoring") as on_part, warnings_as_lines():
        scores = evaluate_files(prediction, truth, metrics, on_part)
    if json is not None:
        write_scores(scores, json)
    say(headline(scores))
