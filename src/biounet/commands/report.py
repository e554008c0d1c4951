"""The page about a run."""

from pathlib import Path

from biounet.commands.output import say


def report(run: Path) -> None:
    """Write a page about a run: curves, data, predictions, errors.

    Example: `biounet report my-run`

    Parameters
    ----------
    run
        A run folder.
    """
    from biounet.report import write_report

    say(f"report: {write_report(run)}")
