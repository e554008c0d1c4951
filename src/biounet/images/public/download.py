"""Download a public set: streamed, resumed where it broke off, checked, unpacked whole."""

import hashlib
import http.client
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from biounet.errors import InputError
from biounet.images.atomic import cannot_write, written_whole
from biounet.images.public.sets import PUBLIC_SETS, PublicSet
from biounet.images.public.unpacking import unpack_zip

Progress = Callable[[int, int | None], None]
"""Called with the bytes that are here and the bytes of the whole, when the server tells."""

TIMEOUT_S = 60

_PIECE_BYTES = 2**20


@dataclass(frozen=True)
class Downloaded:
    """Where a set lies now. `verified`: its checksum was known and is right."""

    folder: Path
    sha256: str | None
    verified: bool
    note: str


def download(
    name: str, folder: Path, *, base_url: str | None = None, on_progress: Progress | None = None
) -> Downloaded:
    """Fetch the public set `name` into `folder`/`name`; does nothing when that is there already.

    A download that breaks off is kept in a hidden file and goes on from there the next time.
    `base_url` is another address for the same files (a mirror).

    Raises InputError for an unknown name, an address that cannot be reached, a broken connection,
    a wrong checksum, a damaged or dangerous archive, and a disk that cannot be written.
    """
    public = _look_up(name)
    target = folder / name
    if target.exists():
        return Downloaded(target, None, False, f"{target} is there already: nothing downloaded")
    url = public.url if base_url is None else f"{base_url.rstrip('/')}/{Path(public.url).name}"
    if not url.startswith(("https://", "http://")):
        raise InputError(f"the address {url}", "http or https", "correct the base address")
    part = folder / f".tmp-{name}.zip.part"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _fetch(url, part, on_progress)
        digest = _sha256(part)
        if public.sha256 is not None and digest != public.sha256:
            part.unlink()
            raise InputError(
                f"a file with the wrong checksum from {url} (sha256 {digest})",
                f"sha256 {public.sha256}",
                "download again; if it stays, fetch the file by hand and check where it is from",
            )
        try:
            with written_whole(target) as temporary:
                unpack_zip(part, temporary)
        finally:
            part.unlink()
    except OSError as error:
        raise cannot_write(part, error) from error
    if public.sha256 is None:
        note = f"not verified: no checksum of {name} is published (this one: sha256 {digest})"
    else:
        note = f"verified: sha256 {digest}"
    return Downloaded(target, digest, public.sha256 is not None, f"{note}. {public.terms}")


def _look_up(name: str) -> PublicSet:
    if name not in PUBLIC_SETS:
        raise InputError(f"no public set {name!r}", f"one of {', '.join(PUBLIC_SETS)}", "choose")
    return PUBLIC_SETS[name]


def _fetch(url: str, part: Path, on_progress: Progress | None) -> None:
    """Bring `part` to its full length, from where it is when the server can."""
    here = part.stat().st_size if part.exists() else 0
    request = urllib.request.Request(url, headers={"Range": f"bytes={here}-"} if here else {})
    try:
        with urllib.request.urlopen(request, timeout=TIMEOUT_S) as answer:
            goes_on = _starts_at(answer.headers, here)
            here = here if goes_on else 0
            length = answer.headers.get("Content-Length")
            total = None if length is None else here + int(length)
            with part.open("ab" if goes_on else "wb") as file:
                here = _copy(answer, file, here, total, on_progress)
    except urllib.error.HTTPError as error:
        if error.code == 416 and here:  # nothing after what is here: it may be of another version
            error.close()
            part.unlink()
            _fetch(url, part, on_progress)
            return
        error.close()
        raise _unreachable(url, f"the server answers {error.code} {error.reason}") from error
    except urllib.error.URLError as error:
        raise _unreachable(url, str(error.reason)) from error
    except (TimeoutError, ConnectionError, http.client.HTTPException) as error:
        raise _broken_off(url, part.stat().st_size if part.exists() else 0, None) from error
    if total is not None and here < total:
        raise _broken_off(url, here, total)


def _starts_at(headers: http.client.HTTPMessage, position: int) -> bool:
    """Whether the server sends the rest; one that knows no ranges sends all of it again."""
    return str(headers.get("Content-Range", "")).startswith(f"bytes {position}-")


def _copy(
    answer: BinaryIO, file: BinaryIO, here: int, total: int | None, on_progress: Progress | None
) -> int:
    while piece := answer.read(_PIECE_BYTES):
        file.write(piece)
        here += len(piece)
        if on_progress is not None:
            on_progress(here, total)
    return here


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _unreachable(url: str, why: str) -> InputError:
    return InputError(
        f"no download from {url} ({why})",
        "a server that answers",
        "check the connection, or fetch the file by hand and unpack it",
    )


def _broken_off(url: str, here: int, total: int | None) -> InputError:
    return InputError(
        f"a download that broke off after {here} of {total or 'unknown'} bytes: {url}",
        "the whole file",
        "run the same command again: it goes on from there",
    )
