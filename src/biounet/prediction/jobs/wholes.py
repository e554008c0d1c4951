"""Outputs to which several inputs contribute: linked sequences, submissions of single slices."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from biounet.errors import InputError
from biounet.images.atomic import remove_whole
from biounet.images.challenge import frame_number, write_isbi2012
from biounet.images.layouts.matching import by_number
from biounet.images.layouts.pages import in_words
from biounet.images.reading import read_image
from biounet.prediction.jobs.ledger import add_to_ledger
from biounet.prediction.jobs.outputs import write_sequence
from biounet.prediction.jobs.tasks import FileTask, parts_folder, sources_of


def wholes_of(tasks: Sequence[FileTask]) -> dict[Path, list[FileTask]]:
    """The parts of each output to which several inputs contribute, in order."""
    found: dict[Path, list[FileTask]] = {}
    for task in tasks:
        for kind in task.save:
            if (whole := task.whole(kind)) is not None:
                found.setdefault(whole, []).append(task)
    for whole, parts in found.items():
        if whole == parts[0].stack:
            parts.sort(key=lambda task: by_number(task.path))
            continue
        parts.sort(key=lambda task: frame_number(task.path) or (0, 0))
        if len({frame_number(task.path) for task in parts}) < len(parts):
            raise InputError(
                f"two files for one frame of {parts[0].path.parent}",
                "one file per frame",
                "predict them into different folders",
            )
    return found


def join_parts(
    whole: Path, parts: Sequence[FileTask], failed: Mapping[Path, str]
) -> dict[Path, str]:
    """Write an output of several inputs, when the parts of all are there; what failed, and why.

    Args:
        whole: the output.
        parts: its inputs, in order; each has written its own part.
        failed: inputs that failed before.
    """
    if broken := [part.path for part in parts if part.path in failed]:
        why = f"not in {whole.name}: {broken[0].name} failed"
        return {part.path: why for part in parts if part.path not in failed}
    try:
        if whole == parts[0].sequence:
            _link(whole, parts)
        else:
            write_isbi2012(whole, _stacked(parts))
        add_to_ledger(whole.parent, whole, sources_of(parts))
    except InputError as error:
        return {part.path: str(error) for part in parts}
    remove_whole(parts_folder(whole))
    return {}


def _link(result: Path, frames: Sequence[FileTask]) -> None:
    numbered = [frame_number(frame.path) or (0, 3) for frame in frames]
    write_sequence(
        result,
        (
            (number, np.asarray(read_image(frame.output("ctc")).data))
            for (number, _), frame in zip(numbered, frames, strict=True)
        ),
        max(n_digits for _, n_digits in numbered),
    )


def _stacked(parts: Sequence[FileTask]) -> NDArray[Any]:
    slices = [np.asarray(read_image(part.output("isbi2012")).data) for part in parts]
    for part, one in zip(parts, slices, strict=True):
        if one.shape != slices[0].shape:
            first, other = in_words(slices[0].shape), in_words(one.shape)
            raise InputError(
                f"slices of different sizes: {parts[0].path.name} is {first} px, "
                f"{part.path.name} is {other} px",
                "one size for all slices of a submission",
                "predict them in folders of their own",
            )
    return np.stack(slices)
