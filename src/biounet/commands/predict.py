"""Prediction on files."""

import sys
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from biounet.commands.output import say, warnings_as_lines
from biounet.commands.said import said_objects
from biounet.errors import InputError


def predict(
    model: str,
    *inputs: Path,
    out: Path,
    save: str | None = None,
    tile: str = "auto",
    average: str | None = None,
    scale: str | None = None,
    engine: Literal["auto", "torch", "openvino", "onnx"] | None = None,
    precision: Literal["auto", "float32", "bfloat16", "float16"] | None = None,
    device: str | None = None,
    axes: str | None = None,
    workers: int | None = None,
    scheduler: str | None = None,
    change: Annotated[tuple[str, ...], Parameter(name="--set")] = (),
) -> int:
    """Segment images of any size; run again, it does only what is missing.

    Example: `biounet predict my-run images/ --out segmented --save labels,table`

    Parameters
    ----------
    model
        A model file, a run folder, or a network that comes with biounet: em-membranes, dic-cells,
        phase-contrast-cells, nuclei (a file or run folder of that name goes before).
    inputs
        Images, and folders of images. A file for each channel (`case_0000.tif`, `case_0001.tif`) is
        joined with the others for a model of so many channels.
    out
        Folder of the results.
    save
        Any of labels (the default), probabilities, rois (ImageJ), geojson (QuPath), table, ctc
        (the frames of a folder are linked), isbi2012 (the single slices of a folder, in the order
        of their numbers, become one stack).
    tile
        Side of the input tile in px, or auto.
    average
        `none` (the default), `d4` (the 8 symmetries) or `rotations:N`.
    scale
        How many times larger the network sees the images: 0.5 where objects are twice as wide as
        those learned from (`inspect MODEL` tells). One number, or one for each axis: `1,0.5,0.5`.
    engine
        What computes; `auto`: the fastest that is installed and agrees with PyTorch.
    precision
        Of the computation; `auto`: bfloat16 where it is fast and changes hardly a label.
    device
        `auto`, `cpu`, `cuda` or `mps`.
    axes
        Names of the inputs' axes, such as ZYX, in place of what the files say.
    workers
        Processes on this machine, 1 unless said; the threads are divided among them.
    scheduler
        Address of a Dask scheduler whose workers compute instead.
    change
        A setting of labels in place of the model's, as `objects.threshold=0.9`; can be repeated.
    """
    from biounet.config import PredictionSettings
    from biounet.prediction.jobs.files import predict_files
    from biounet.prediction.jobs.options import parse_save, parse_scale
    from biounet.progress import files_progress
    from biounet.shipped import find_model_file

    if tile != "auto" and not tile.isdecimal():
        raise InputError(f"--tile {tile}", "auto, or a side in px", "such as --tile 572")
    said = {
        "save": None if save is None else parse_save(save),
        "tile": None if tile == "auto" else int(tile),
        "average": average,
        "scale": None if scale is None else parse_scale(scale),
        "engine": engine,
        "precision": precision,
        "device": device,
        "axes": axes,
        "workers": workers,
        "scheduler": scheduler,
        "objects": said_objects(change),
    }
    options = PredictionSettings.model_validate(
        {name: value for name, value in said.items() if value is not None}
    )
    try:
        with files_progress() as on_progress, warnings_as_lines():
            outcome = predict_files(find_model_file(model), inputs, out, options, on_progress)
    except KeyboardInterrupt:
        raise KeyboardInterrupt("the same command does what is missing") from None
    for note in outcome.notes:
        print(f"biounet: {note}", file=sys.stderr)  # noqa: T201
    for path, error in outcome.failed:
        print(f"biounet: {path} failed: {error}", file=sys.stderr)  # noqa: T201
    before = f" ({outcome.skipped} were there before)" if outcome.skipped else ""
    say(f"{len(outcome.done)} of {len(outcome.done) + len(outcome.failed)} images in {out}{before}")
    if not outcome.failed:
        return 0
    return 1 if outcome.done else 2
