"""The page in the browser."""

from pathlib import Path


def studio(folder: Path = Path(), *, port: int = 0, no_browser: bool = False) -> None:
    """Paint cells, train, and correct, in the browser.

    Example: `biounet studio my-images`

    Parameters
    ----------
    folder
        A folder of images; what is painted is saved in its folder labels/, with every stroke.
    port
        Port of the local server; 0: any that is free.
    no_browser
        Only print the address.
    """
    from biounet.studio import run_studio

    run_studio(folder, port, open_browser=not no_browser)
