"""Write a file or folder under another name, and give it its own when it is whole."""

import contextlib
import errno
import os
import re
import secrets
import shutil
from collections.abc import Collection, Iterator
from pathlib import Path

from biounet.errors import InputError, OutputError

_TEMPORARY = re.compile(r"\.tmp-[0-9a-f]{8}-(.+)")

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_READ_ONLY = (errno.EACCES, errno.EPERM, errno.EROFS)


@contextlib.contextmanager
def written_whole(path: Path) -> Iterator[Path]:
    """A temporary name in the folder of `path`, renamed to `path` when the block ends well.

    The suffix is kept. What stood at `path` is replaced in one step (a folder: in two). When the
    block fails, nothing is left behind.

    Raises InputError in place of an OSError: disk full, read-only or missing folder.
    """
    temporary = _temporary(path)
    try:
        yield temporary
        if path.is_dir():
            old = _temporary(path)
            path.rename(old)
            temporary.rename(path)
            shutil.rmtree(old)
        else:
            os.replace(temporary, path)  # noqa: PTH105 (the one call that replaces on Windows too)
    except OSError as error:
        raise cannot_write(path, error) from error
    finally:
        with contextlib.suppress(OSError):  # the first error is the one to tell
            if temporary.is_dir():
                shutil.rmtree(temporary)
            else:
                temporary.unlink(missing_ok=True)


def remove_whole(folder: Path) -> None:
    """Remove a folder, if it is there, in one step: nobody ever finds a part of it."""
    going = _temporary(folder)
    try:
        folder.rename(going)
    except FileNotFoundError:
        return
    except OSError as error:
        raise cannot_write(folder, error) from error
    shutil.rmtree(going, ignore_errors=True)


def _temporary(path: Path) -> Path:
    return path.with_name(f".tmp-{secrets.token_hex(4)}-{path.name}")


def remove_leftovers(folder: Path, names: Collection[str]) -> None:
    """Remove what a process that was killed left of its outputs of these names.

    Call it only where no other process writes outputs of these names.
    """
    if not folder.is_dir():
        return
    for path in folder.iterdir():
        match = _TEMPORARY.fullmatch(path.name)
        if match is None or match.group(1) not in names:
            continue
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)


def cannot_write(path: Path, error: OSError) -> InputError:
    """The error for a file that the system would not write."""
    if error.errno in _READ_ONLY:
        return OutputError(
            f"a folder that may not be written to: {path.parent}",
            "a place for the output",
            "choose another folder, or change its permissions",
        )
    # numpy's tofile raises an OSError without a number when the disk takes less than it was given
    if error.errno in _FULL or (error.errno is None and "requested" in str(error)):
        return OutputError(
            f"no space left on the disk while writing {path}",
            "room for the output",
            "free some space, or choose another disk",
        )
    if error.errno in (errno.ENOENT, errno.ENOTDIR):
        return InputError(
            f"no folder {path.parent} to write to", "a folder that exists", "make it first"
        )
    return InputError(
        f"an error of the system while writing {path}: {error}",
        "a file that can be written",
        "check the disk and the name",
    )
