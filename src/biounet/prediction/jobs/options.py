"""What is asked of a prediction on files, and what came of it."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from biounet.errors import InputError

Save = Literal["labels", "probabilities", "rois", "geojson", "table", "ctc", "isbi2012"]
"""What can be written of each input.

labels, probabilities: images. rois: ImageJ's, a zip. geojson: QuPath's. table: one line an object.
ctc: a result folder of the Cell Tracking Challenge, frames linked. isbi2012: a submission stack.
"""


def parse_save(text: str) -> tuple[Save, ...]:
    """The outputs in a list such as "labels,table".

    Raises InputError for a word that names none.
    """
    words = [word.strip() for word in text.split(",")]
    known: tuple[Save, ...] = get_args(Save)
    if unknown := [word for word in words if word not in known]:
        raise InputError(
            f"--save {unknown[0]!r}", f"some of {','.join(known)}", "choose from these"
        )
    return tuple(kind for kind in known if kind in words)


OnProgress = Callable[[float, int, str], None]
"""Called with the inputs done (parts of one count), their number, and the name of the last."""


@dataclass(frozen=True)
class PredictOptions:
    """What is asked; `auto` and None are chosen once, written to the output, and reused.

    Attributes:
        save: what to write.
        tile: side of the input tile in px.
        average: `none`, `d4` or `rotations:N`.
        engine: `auto`, `torch`, `openvino` or `onnx`.
        precision: `auto`, `float32`, `bfloat16` or `float16`.
        device: `auto`, `cpu`, `cuda` or `mps`.
        axes: names of the inputs' axes, in place of what the files say.
        workers: processes on this machine; the threads are divided among them.
        scheduler: address of a Dask scheduler, in place of `workers`.
        memory_bytes: images that need more than this are predicted block by block.
        block_px: about how long these blocks are; None: as long as makes a good chunk.
    """

    save: tuple[Save, ...] = ("labels",)
    tile: int | None = None
    average: str = "none"
    engine: str = "auto"
    precision: str = "auto"
    device: str = "auto"
    axes: str | None = None
    workers: int = 1
    scheduler: str | None = None
    memory_bytes: int = 2**29
    block_px: int | None = None


@dataclass(frozen=True)
class Outcome:
    """What came of each input.

    Attributes:
        done: inputs whose outputs are all there now.
        skipped: how many of those were there before.
        failed: inputs with their errors, in one line each.
        notes: what to tell the user, such as chunks that an input lacks.
    """

    done: tuple[Path, ...]
    skipped: int
    failed: tuple[tuple[Path, str], ...]
    notes: tuple[str, ...] = ()
