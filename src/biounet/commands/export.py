"""Models for other programs."""

from pathlib import Path
from typing import Literal

from biounet.commands.output import say


def export(
    model: str,
    *,
    format: Literal["onnx", "bioimageio"],  # noqa: A002 (the flag's name)
    out: Path,
) -> None:
    """Write a model for other programs: ONNX, or a bioimage.io package for Fiji and ilastik.

    Example: `biounet export my-run --format bioimageio --out cells.zip`

    Parameters
    ----------
    model
        A model file, a run folder, or a network that comes with biounet (`biounet inspect`
        names them; a file or run folder of that name goes before).
    format
        `onnx`, or `bioimageio` (deepImageJ, ilastik, napari).
    out
        The file to write.
    """
    from biounet.api import find_model
    from biounet.export import export_model

    say(f"written: {export_model(find_model(model), format, out)}")
