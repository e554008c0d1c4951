"""Results in the forms that challenges take: Cell Tracking Challenge and ISBI 2012."""

import re
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from numpy.typing import NDArray

from biounet.errors import InputError
from biounet.images.atomic import written_whole
from biounet.images.labels import as_integers
from biounet.images.layouts.matching import list_images
from biounet.images.reading import read_image

_FRAME = re.compile(r"(?:t|mask|man_seg_?|man_track)(\d+)(?:_(\d+))?\.tiff?", re.IGNORECASE)


def frame_number(path: Path) -> tuple[int, int] | None:
    """The number in the name of a frame (t007.tif) and its digits; None for other names."""
    match = _FRAME.fullmatch(path.name)
    return None if match is None else (int(match.group(1)), len(match.group(1)))


def frame_name(path: Path) -> str | None:
    """The number of a frame, or of a frame and a slice of it ("2_5"); None for other names."""
    match = _FRAME.fullmatch(path.name)
    return None if match is None else "_".join(str(int(d)) for d in match.groups() if d is not None)


def write_linked_result(
    result: Path,
    frames: Iterable[tuple[int, NDArray[np.uint16]]],
    tracks: Callable[[], Iterable[tuple[int, int, int, int]]],
    n_digits: int = 3,
) -> None:
    """Write a result folder (01_RES) of frames whose cells carry the labels of their tracks.

    `frames`: frame numbers with labels. `tracks`: asked after the last frame for the lines of
    res_track.txt: label, first frame, last frame, parent or 0.

    Raises InputError for no frames, or a folder that cannot be written.
    """
    with written_whole(result) as temporary:
        temporary.mkdir()
        for number, labels in frames:
            _write_plain(temporary / f"mask{number:0{n_digits}d}.tif", labels, "lzw")
        if not any(temporary.iterdir()):
            raise InputError(f"no frames for {result}", "at least one", "check the input")
        lines = (" ".join(map(str, track)) + "\n" for track in tracks())
        (temporary / "res_track.txt").write_text("".join(lines), encoding="ascii")


def write_isbi2012(path: Path, probabilities: NDArray[Any]) -> None:
    """Write a submission to ISBI 2012: one stack of 32-bit floats, 0 = membrane, 1 = cell.

    `probabilities`: (slices, Y, X), of the class cell, 0..1.

    Raises InputError for another shape or range, or a folder that cannot be written.
    """
    stack = np.asarray(probabilities, dtype=np.float32)
    if stack.ndim != 3:
        raise InputError(
            f"an array of shape {stack.shape} for {path}",
            "a stack (slices, Y, X) of the probability of cell",
            "give one class",
        )
    low, high = float(stack.min()), float(stack.max())
    if not (low >= 0 and high <= 1):
        raise InputError(
            f"values from {low:g} to {high:g} for {path}",
            "probabilities from 0 to 1",
            "divide 8-bit values by 255",
        )
    with written_whole(path) as temporary:
        _write_plain(temporary, stack, None)


def read_sequence(folder: Path) -> Iterator[tuple[int, NDArray[Any]]]:
    """The frames of 01, 01_RES, 01_GT (its SEG) or 01_GT/TRA, in order, as (number, pixels).

    Integer labels or grey values, (Y, X) or (Z, Y, X). Raises InputError for a folder without
    frames, two files for one frame, and labels of single slices (see `read_annotated`).
    """
    for number, found in read_annotated(folder):
        if isinstance(found, dict):
            raise InputError(
                f"labels of single slices in {folder} (frame {number})",
                "one file per frame",
                "give a folder with whole frames",
            )
        yield number, found


def read_annotated(folder: Path) -> Iterator[tuple[int, NDArray[Any] | dict[int, NDArray[Any]]]]:
    """The frames of a truth, as (number, labels), or (number, {z: labels of that slice}).

    Of volumes, gold truth is often drawn in single slices (man_seg_002_005.tif: slice 5 of frame
    2). Raises InputError for a folder without frames, and two files for one frame or slice.
    """
    frames: dict[int, dict[int | None, Path]] = {}
    for path, match in _matches(folder):
        number, z = (None if digits is None else int(digits) for digits in match.groups())
        assert number is not None
        parts = frames.setdefault(number, {})
        if z in parts or (parts and None in (z, *parts)):
            raise InputError(
                f"two files for frame {number}: {path}",
                "one file per frame, or one per annotated slice",
                "take one of them out",
            )
        parts[z] = path
    for number, parts in sorted(frames.items()):
        if None in parts:
            yield number, _pixels(parts[None])
        else:
            yield number, {z: _pixels(parts[z]) for z in sorted(z for z in parts if z is not None)}


def _matches(folder: Path) -> list[tuple[Path, re.Match[str]]]:
    inner = folder / "SEG" if (folder / "SEG").is_dir() else folder
    found = [(path, _FRAME.fullmatch(path.name)) for path in list_images(inner)]
    matched = [(path, match) for path, match in found if match is not None]
    if not matched:
        raise InputError(
            f"no frames in {inner}",
            "files such as mask000.tif, man_seg000.tif or t000.tif",
            "check the path",
        )
    return matched


def _pixels(path: Path) -> NDArray[Any]:
    pixels = np.asarray(read_image(path).data)
    is_frame = path.name.lower().startswith("t")
    return pixels if is_frame else as_integers(pixels, str(path))


def _write_plain(path: Path, array: NDArray[Any], compression: str | None) -> None:
    """Pages without any program's metadata, as the challenges' own programs write them."""
    tifffile.imwrite(path, array, photometric="minisblack", metadata=None, compression=compression)
