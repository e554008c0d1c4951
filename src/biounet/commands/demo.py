"""The demonstration."""

import time
from pathlib import Path

from biounet.commands.output import command_started, say, warnings_as_lines
from biounet.errors import InputError


def demo(
    *,
    out: Path = Path("demo"),
    minutes: float | None = None,
    real: Path | None = None,
    download: bool = False,
) -> None:
    """Simulate cells, train, predict, evaluate, report: no input needed.

    Example: `biounet demo --out demo`

    With real images: `biounet demo --real DIC-C2DH-HeLa --download`

    Parameters
    ----------
    out
        Folder for images, run and report; must not exist.
    minutes
        Training time, 2.5 unless said; of real images 10.
    real
        A folder of annotated images to use in place of simulated ones: a public set, or your own.
        The last third of the images, or all sequences but the first, are held out to score on.
    download
        Fetch the public set that `real` is named after, where that folder is not there: isbi2012,
        or a training set of the Cell Tracking Challenge such as PhC-C2DH-U373.
    """
    from biounet.demo import run_demo
    from biounet.progress import training_progress

    started = command_started()
    if download and real is None:
        raise InputError("--download without a set", "its name", "add --real isbi2012")
    if real is not None and not real.exists():
        _fetch(real, download)
        started = time.monotonic()  # the minutes are for training
    with training_progress() as on_record, warnings_as_lines():
        result = run_demo(out, minutes, started, on_record, real)
    say(f"report: {result.report}")
    say(f"AP50 {result.ap50:.2f}")


def _fetch(folder: Path, allowed: bool) -> None:
    """Download the public set that a folder is named after."""
    from biounet.images import PUBLIC_SETS, download
    from biounet.progress import parts_progress

    if not allowed:
        raise InputError(
            f"no folder {folder}",
            "annotated images",
            f"check the path, or add --download to fetch one of {', '.join(PUBLIC_SETS)}",
        )
    what = f"downloading {folder.name}"
    with parts_progress() as on_part:

        def on_bytes(here: int, whole: int | None) -> None:
            on_part(what, here / whole if whole else 0.0, None)

        fetched = download(folder.name, folder.parent, on_progress=on_bytes)
    say(fetched.note)
