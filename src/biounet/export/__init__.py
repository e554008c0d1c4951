"""Trained networks for other tools: ONNX, and models for the bioimage.io tools.

`export_model` is what people call; `onnx.py` writes the network alone, `bioimageio.py` the network
with everything that a tool needs to use it rightly.
"""

from pathlib import Path
from typing import Literal, get_args

from biounet.errors import InputError
from biounet.export.credits import Credits, credits_from
from biounet.images.atomic import cannot_write
from biounet.model import ModelFile

Format = Literal["onnx", "bioimageio"]
FORMATS: tuple[Format, ...] = get_args(Format)
__all__ = ["FORMATS", "Credits", "Format", "credits_from", "export_model"]
SUFFIXES: dict[Format, str] = {"onnx": ".onnx", "bioimageio": ".zip"}


def export_model(
    model: ModelFile,
    format: Format,  # noqa: A002
    out: Path,
    credits: Credits | None = None,  # noqa: A002
) -> Path:
    """Write a model for other tools.

    Args:
        model: the model.
        format: `onnx`, the network alone; or `bioimageio`, a zip for ilastik, deepImageJ, napari.
        out: the file; gets the format's suffix where it has none.
        credits: who made the model, for `bioimageio`.

    Returns:
        The file that was written.

    Raises:
        InputError: an unknown format, another suffix, a network that cannot be exported, or a
            place that cannot be written to.
    """
    if format not in FORMATS:
        raise InputError(f"format {format!r}", " or ".join(FORMATS), "choose one")
    path = out if out.suffix else out.with_name(out.name + SUFFIXES[format])
    if path.suffix.lower() != SUFFIXES[format]:
        raise InputError(
            f"{out} for format {format}", f"a name in *{SUFFIXES[format]}", "rename it"
        )
    if credits is not None and format != "bioimageio":
        raise InputError(
            f"name, author, licence or citation for format {format}",
            "them for bioimageio, which says so in its file",
            "leave them out, or choose --format bioimageio",
        )
    if path.is_dir():
        raise InputError(f"{path}, which is a folder", "the name of a file", "choose another")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise cannot_write(path, error) from error
    if format == "onnx":
        from biounet.export.onnx import export_onnx

        return export_onnx(model, path)
    from biounet.export.bioimageio import export_bioimageio

    return export_bioimageio(model, path, credits)
