"""Training sequences of the Cell Tracking Challenge: gold and silver truth, partial annotation.

Layout: 01/t000.tif; 01_GT/SEG/man_seg000.tif (gold; of a volume also single slices,
man_seg_000_005.tif); 01_GT/TRA/man_track000.tif (a marker for every cell); 01_ST/SEG (silver).
"""

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal

from biounet.errors import InputError
from biounet.images.assembly import Pair
from biounet.images.dataset import Source
from biounet.images.reading import read_header

Truth = Literal["gold", "silver", "gold+silver"]

_FRAME = re.compile(r"t(\d+)\.tiff?$", re.IGNORECASE)
_TRUTH = re.compile(r"man_(?:seg|track)_?(\d+)(?:_(\d+))?\.tiff?$", re.IGNORECASE)


def find_sequences(folder: Path) -> list[Path]:
    """The sequence folders ("01", "02") that `folder` is or holds; empty for other layouts."""
    if not folder.is_dir():
        return []
    candidates = [folder, *sorted(path for path in folder.iterdir() if path.is_dir())]
    return [path for path in candidates if _is_sequence(path)]


def pairs_of_sequence(
    sequence: Path, truth: Truth, *, parent: str = ""
) -> tuple[list[Pair], list[str]]:
    """The annotated frames of a sequence, and notes on what was found.

    Raises InputError when the truth asked for is not there, or lacks its frame.
    """
    frames = _numbered(sequence, _FRAME)
    gold = _truth_files(sequence, "GT") if truth != "silver" else {}
    silver = _truth_files(sequence, "ST") if truth != "gold" else {}
    markers = _numbered(sequence.with_name(sequence.name + "_GT") / "TRA", _TRUTH)
    if not gold and not silver:
        wanted = {"gold": "_GT/SEG", "silver": "_ST/SEG"}.get(truth, "_GT/SEG or _ST/SEG")
        raise InputError(
            f"no {truth} truth for the sequence {sequence}",
            f"man_seg*.tif in {sequence.name}{wanted}",
            "ask for the other truth (gold, silver), or add the files",
        )
    pairs = []
    for number in sorted(gold.keys() | silver.keys()):
        from_gold = number in gold
        files = gold[number] if from_gold else silver[number]
        if number not in frames:
            raise InputError(
                f"a label with no image: {files[0][1]}",
                f"frame {number} in {sequence}",
                "add the frame, or take the label out",
            )
        image = frames[number]
        axes = "ZYX" if len(read_header(image).shape) == 3 else None
        whole = files[0][0] is None
        marker = markers.get(number) if from_gold else None
        pairs.append(
            Pair(
                name=f"{parent}{sequence.name}/{image.stem}",
                images=(Source(image.name, image, axes=axes),),
                labels=tuple(
                    Source(path.name, path, axes=axes if whole else None) for _, path in files
                ),
                slices=None if whole else tuple(z for z, _ in files if z is not None),
                markers=None if marker is None else Source(marker.name, marker, axes=axes),
            )
        )
    n_gold = len(gold)
    notes = [
        f"sequence {sequence.name}: {len(frames)} frames, {n_gold} with gold truth, "
        f"{len(silver.keys() - gold.keys())} taken with silver truth"
    ]
    if n_gold and any(number in markers for number in gold):
        notes.append(
            f"sequence {sequence.name}: cells with a marker but no outline count as not annotated"
        )
    elif n_gold:
        notes.append(
            f"sequence {sequence.name}: no markers for the gold frames, which count as fully "
            "annotated"
        )
    return [replace(pair) for pair in pairs], notes


def _is_sequence(folder: Path) -> bool:
    if not re.fullmatch(r"\d\d", folder.name) or not folder.is_dir():
        return False
    return any(folder.with_name(folder.name + ending).is_dir() for ending in ("_GT", "_ST"))


def _numbered(folder: Path, pattern: re.Pattern[str]) -> dict[int, Path]:
    if not folder.is_dir():
        return {}
    matches = [(pattern.fullmatch(path.name), path) for path in sorted(folder.iterdir())]
    return {int(match.group(1)): path for match, path in matches if match}


def _truth_files(sequence: Path, kind: str) -> dict[int, Sequence[tuple[int | None, Path]]]:
    """By frame: one file for all of it, or one per annotated slice with its number."""
    folder = sequence.with_name(f"{sequence.name}_{kind}") / "SEG"
    found: dict[int, list[tuple[int | None, Path]]] = {}
    for path in sorted(folder.iterdir()) if folder.is_dir() else []:
        match = _TRUTH.fullmatch(path.name)
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
    return dict(found)
