"""Several models as one."""

from pathlib import Path

from biounet.commands.output import say


def ensemble(*models: str, out: Path) -> None:
    """Join models into one file, which predicts the mean of their probabilities.

    Example: `biounet ensemble run-0 run-1 run-2 --out cells.safetensors`

    Parameters
    ----------
    models
        Model files or run folders, trained with the same settings: with other seeds, say, or on
        other images.
    out
        The model file to write.
    """
    from biounet.api import find_model
    from biounet.model import write_model
    from biounet.prediction.ensemble import make_ensemble

    write_model(make_ensemble([find_model(model) for model in models]), out)
    say(f"written: {out}")
