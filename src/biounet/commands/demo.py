"""The demonstration."""

from pathlib import Path

from biounet.commands.output import command_started, say


def demo(*, out: Path = Path("demo"), minutes: float | None = None) -> None:
    """Simulate cells, train, predict, evaluate, report: no input needed.

    Example: `biounet demo --out demo`

    Parameters
    ----------
    out
        Folder for images, run and report; must not exist.
    minutes
        Training time.
    """
    from biounet.demo import run_demo
    from biounet.progress import training_progress

    with training_progress() as on_record:
        result = run_demo(out, minutes, command_started(), on_record)
    say(f"report: {result.report}")
    say(f"AP50 {result.ap50:.2f}")
