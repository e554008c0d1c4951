"""The page in the browser."""

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter


def studio(
    folder: Path = Path(),
    *,
    start_from: Annotated[str | None, Parameter(name="--from")] = None,
    port: int = 0,
    no_browser: bool = False,
) -> None:
    """Paint cells, train, and correct, in the browser.

    Example: `biounet studio my-images`

    Parameters
    ----------
    folder
        A folder of images; what is painted is saved in its folder labels/, with every stroke.
    start_from
        A model file, a run folder, or a network that comes with biounet (`nuclei`, …): it segments
        before anything is painted, and training goes on from it.
    port
        Port of the local server; 0: any that is free.
    no_browser
        Only print the address.
    """
    from biounet.studio import run_studio

    run_studio(folder, port, not no_browser, start_from)
