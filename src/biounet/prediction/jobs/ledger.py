"""Which outputs are finished: a line for each in `prediction.jsonl`, beside them."""

import json
import os
from dataclasses import dataclass
from pathlib import Path

from biounet.errors import InputError
from biounet.images.atomic import cannot_write

LEDGER_NAME = "prediction.jsonl"


@dataclass(frozen=True)
class Source:
    """An input as it was when it was read; a moved file counts as the same."""

    path: str
    size: int
    modified_ns: int

    def is_like(self, other: "Source") -> bool:
        """Whether both are the same bytes, as far as size and time tell."""
        return (self.size, self.modified_ns) == (other.size, other.modified_ns)


Sources = tuple[Source, ...]

Ledger = dict[str, Sources]
"""What each finished output was made from, by the output's name in its folder."""


def are_like(some: Sources, others: Sources) -> bool:
    """Whether both are the same files, as far as size and time tell."""
    return len(some) == len(others) and all(a.is_like(b) for a, b in zip(some, others, strict=True))


def source_of(path: Path) -> Source:
    """What tells an input, given by its whole path, from another; of a zarr, its metadata."""
    inside = [path / name for name in ("zarr.json", ".zattrs", ".zarray")]
    file = next((p for p in inside if p.is_file()), path)
    try:
        status = file.stat()
    except OSError:
        raise InputError(f"no file {path}", "an image", "check the path") from None
    return Source(str(path), status.st_size, status.st_mtime_ns)


def read_ledger(out: Path) -> Ledger:
    """The finished outputs of a folder; a line cut off by a crash counts as not there.

    Raises:
        InputError: it is no folder.
    """
    finished: Ledger = {}
    try:
        lines = (out / LEDGER_NAME).read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        return {}
    except NotADirectoryError:
        raise InputError(f"a file at {out}", "a folder for the results", "choose another") from None
    for line in lines:
        try:
            tree = json.loads(line)
            finished[tree["output"]] = tuple(Source(*source) for source in tree["sources"])
        except (ValueError, KeyError, TypeError):
            continue
    return finished


def add_to_ledger(out: Path, output: Path, sources: Sources) -> None:
    """Append a line, in one piece even when several processes do."""
    line = {
        "output": output.relative_to(out).as_posix(),
        "sources": [[s.path, s.size, s.modified_ns] for s in sources],
    }
    path = out / LEDGER_NAME
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        try:
            os.write(handle, ("\n" + json.dumps(line) + "\n").encode())
        finally:
            os.close(handle)
    except OSError as error:
        raise cannot_write(path, error) from error


def is_finished(ledger: Ledger, out: Path, output: Path, sources: Sources) -> bool:
    """Whether an output is there, made from these sources; False when they have changed since.

    Raises:
        InputError: it was made from other files.
    """
    before = ledger.get(output.relative_to(out).as_posix())
    if before is None or not output.exists():
        return False
    if are_like(before, sources):
        return True
    if {s.path for s in before} & {s.path for s in sources}:
        return False
    raise InputError(
        f"{output}, which was made from {before[0].path}",
        f"a result of {sources[0].path}",
        "choose another --out, or rename the image",
    )
