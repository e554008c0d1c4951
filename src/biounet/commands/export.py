"""Models for other programs."""

from pathlib import Path
from typing import Literal

from biounet.commands.output import say


def export(
    model: str,
    *,
    format: Literal["onnx", "bioimageio"],  # noqa: A002 (the flag's name)
    out: Path,
    name: str | None = None,
    author: tuple[str, ...] = (),
    licence: str | None = None,
    cite: tuple[str, ...] = (),
) -> None:
    """Write a model for other programs: ONNX, or a bioimage.io package for Fiji and ilastik.

    Example: `biounet export my-run --format bioimageio --out cells.zip --author "Ada Lovelace"`

    Parameters
    ----------
    model
        A model file, a run folder, or a network that comes with biounet.
    format
        `onnx`, or `bioimageio` (deepImageJ, ilastik, napari).
    out
        The file to write.
    name
        What the model is called where it is published.
    author
        Who made it; may be given several times.
    licence
        Under which it may be used: an SPDX identifier, such as CC-BY-4.0 or CC0-1.0.
    cite
        What to cite, with its DOI or address; may be given several times.
    """
    from biounet.api import find_model
    from biounet.export import credits_from, export_model

    said = name is not None or author or licence is not None or cite
    credits = credits_from(name, author, licence, cite) if said else None  # noqa: A001
    say(f"written: {export_model(find_model(model), format, out, credits)}")
