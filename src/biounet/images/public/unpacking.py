"""Unpack a zip file from elsewhere without letting it write outside or fill the disk."""

import shutil
import stat
import zipfile
import zlib
from pathlib import Path, PurePosixPath

from biounet.errors import InputError

MOST_TIMES = 200
"""An archive may not grow to more than this many times its size (label images reach about 100)."""

ALWAYS_ALLOWED_BYTES = 2**30

MOST_FILES = 200_000


def unpack_zip(archive: Path, folder: Path) -> None:
    """Unpack into `folder`, which must not exist; a single folder around everything is left out.

    Raises InputError for a damaged archive, names that lead outside, links, and archives that
    unpack to more than MOST_TIMES their size.
    """
    try:
        with zipfile.ZipFile(archive) as opened:
            members = [member for member in opened.infolist() if not member.is_dir()]
            _check(members, archive)
            skipped = _common_folder(members)
            for member in members:
                target = folder.joinpath(*PurePosixPath(member.filename).parts[skipped:])
                target.parent.mkdir(parents=True, exist_ok=True)
                with opened.open(member) as source, target.open("wb") as file:
                    shutil.copyfileobj(source, file, 2**20)
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
        raise InputError(
            f"a damaged or unknown zip file: {archive} ({error})",
            "a whole zip file without a password",
            "download it again",
        ) from error


def _check(members: list[zipfile.ZipInfo], archive: Path) -> None:
    for member in members:
        name = member.filename.replace("\\", "/")
        is_link = stat.S_ISLNK(member.external_attr >> 16)
        if name.startswith("/") or ":" in name or ".." in name.split("/") or is_link:
            raise InputError(
                f"a zip file that would write outside its folder ({member.filename!r}): {archive}",
                "plain files in folders",
                "do not use it",
            )
    n_bytes = sum(member.file_size for member in members)
    most = max(ALWAYS_ALLOWED_BYTES, MOST_TIMES * archive.stat().st_size)
    if n_bytes > most or len(members) > MOST_FILES:
        raise InputError(
            f"a zip file that unpacks to {len(members)} files of {n_bytes} bytes: {archive}",
            f"{most} bytes in {MOST_FILES} files at most",
            "do not use it, or unpack it by hand",
        )
    if not members:
        raise InputError(f"an empty zip file: {archive}", "images in it", "download it again")


def _common_folder(members: list[zipfile.ZipInfo]) -> int:
    """1 when one folder holds everything, else 0."""
    parts = [PurePosixPath(member.filename).parts for member in members]
    return int(all(len(p) > 1 for p in parts) and len({p[0] for p in parts}) == 1)
