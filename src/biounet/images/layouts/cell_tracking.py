"""Training sequences of the Cell Tracking Challenge: gold and silver truth, partial annotation.

Layout: 01/t000.tif; 01_GT/SEG/man_seg000.tif (gold; of a volume also single slices,
man_seg_000_005.tif); 01_GT/TRA/man_track000.tif (a marker for every cell); 01_ST/SEG (silver).
"""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from biounet.errors import InputError
from biounet.images.dataset import Source
from biounet.images.layouts.assembly import Found
from biounet.images.layouts.pages import Pair
from biounet.images.reading import read_header

Truth = Literal["gold", "silver", "gold+silver"]

_FRAME = re.compile(r"t(\d+)\.tiff?", re.IGNORECASE)
_OUTLINES = re.compile(r"man_seg_?(\d+)(?:_(\d+))?\.tiff?", re.IGNORECASE)
_MARKERS = re.compile(r"man_track(\d+)\.tiff?", re.IGNORECASE)

_TruthFile = tuple[int | None, Path]
"""The slice that a label file is for (None: the whole frame), and the file."""


def find_sequences(folder: Path) -> list[Path]:
    """The sequence folders ("01", "02") that `folder` is or holds; empty for other layouts."""
    if not folder.is_dir():
        return []
    if _is_sequence(folder):
        return [folder]
    return sorted(path for path in folder.iterdir() if path.is_dir() and _is_sequence(path))


def pairs_of_sequences(sequences: Sequence[Path], truth: Truth) -> Found:
    """The annotated frames of sequences, by the truth asked for.

    "gold+silver" takes silver truth where a frame has no gold one. Raises InputError when there
    is none, or a label lacks its frame.
    """
    pairs: list[Pair] = []
    notes: list[str] = []
    for sequence in sequences:
        more, said = _pairs_of_sequence(sequence, truth)
        pairs += more
        notes += said
    if not pairs:
        names = ", ".join(sequence.name for sequence in sequences)
        raise InputError(
            f"no {truth} truth for the sequence {names} in {sequences[0].parent}",
            f"files man_seg*.tif in {sequences[0].name}_{'ST' if truth == 'silver' else 'GT'}/SEG",
            "ask for another truth (gold, silver, gold+silver), or add the files",
        )
    return Found(tuple(pairs), "Cell Tracking Challenge", tuple(notes), labels_are="instances")


def _pairs_of_sequence(sequence: Path, truth: Truth) -> tuple[list[Pair], list[str]]:
    frames = _numbered(sequence, _FRAME)
    gold = _truth_files(sequence, "GT") if truth != "silver" else {}
    silver = _truth_files(sequence, "ST") if truth != "gold" else {}
    markers = _numbered(sequence.with_name(sequence.name + "_GT") / "TRA", _MARKERS)
    markers = {number: path for number, path in markers.items() if number in gold}
    pairs = []
    for number, files in sorted({**silver, **gold}.items()):
        if number not in frames:
            raise InputError(
                f"a label with no image: {files[0][1]}",
                f"frame {number} in {sequence}",
                "add the frame, or take the label out",
            )
        pairs.append(_pair(sequence, frames[number], files, markers.get(number)))
    notes = [
        f"sequence {sequence.name}: {len(frames)} frames, {len(gold)} taken with gold truth, "
        f"{len(silver.keys() - gold.keys())} with silver truth"
    ]
    if markers:
        notes.append(
            f"sequence {sequence.name}: cells that have a marker but no outline count as not "
            "annotated"
        )
    elif gold:
        notes.append(
            f"sequence {sequence.name}: no markers for the gold frames, which count as annotated "
            "all over"
        )
    return pairs, notes


def _pair(sequence: Path, image: Path, files: Sequence[_TruthFile], marker: Path | None) -> Pair:
    axes = "ZYX" if len(read_header(image).shape) == 3 else None
    slices = tuple(z for z, _ in files if z is not None)
    if slices and axes is None:
        raise InputError(
            f"a label for one slice of a flat image: {files[0][1]}",
            f"a volume, or a label named man_seg{image.stem[1:]}.tif",
            "rename the label",
        )
    return Pair(
        name=f"{sequence.name}/{image.stem}",
        images=(Source(image.name, image, axes=axes),),
        labels=tuple(
            Source(path.name, path, axes=axes if z is None else None) for z, path in files
        ),
        slices=slices or None,
        markers=None if marker is None else Source(marker.name, marker, axes=axes),
    )


def _is_sequence(folder: Path) -> bool:
    return re.fullmatch(r"\d\d", folder.name) is not None and any(
        folder.with_name(f"{folder.name}_{kind}").is_dir() for kind in ("GT", "ST")
    )


def _numbered(folder: Path, pattern: re.Pattern[str]) -> dict[int, Path]:
    if not folder.is_dir():
        return {}
    matches = [(pattern.fullmatch(path.name), path) for path in sorted(folder.iterdir())]
    return {int(match.group(1)): path for match, path in matches if match}


def _truth_files(sequence: Path, kind: str) -> dict[int, list[_TruthFile]]:
    """By frame: one file for all of it, or one per annotated slice."""
    folder = sequence.with_name(f"{sequence.name}_{kind}") / "SEG"
    found: dict[int, list[_TruthFile]] = {}
    for path in sorted(folder.iterdir()) if folder.is_dir() else []:
        match = _OUTLINES.fullmatch(path.name)
        if match:
            z = None if match.group(2) is None else int(match.group(2))
            found.setdefault(int(match.group(1)), []).append((z, path))
    for number, files in found.items():
        if len(files) > 1 and any(z is None for z, _ in files):
            raise InputError(
                f"labels of the whole frame {number} and of its slices in {folder}",
                "one or the other",
                "take one of them out",
            )
    return found
