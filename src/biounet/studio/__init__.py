"""A page in the browser: paint a few cells, train, watch, correct, train on, export.

folder.py      the images of a folder, and where their annotations lie
pyramid.py     an image as tiles of raw grey values, at every zoom
patches.py     strokes as they arrive: checked, decoded
annotation.py  an image's labels with their version, on disk before a stroke is acknowledged
contents.py    what is open: images, annotations, the trainer
runs.py        the training runs of the folder, and the model before the first
trainer.py     training and segmentation in a thread, with previews of the open image
events.py      what happens, told to every open page
guard.py       who may ask: this machine, this page, with the token
server.py      the addresses
launch.py      `biounet studio`
"""

from pathlib import Path

from biounet.errors import InputError


def run_studio(
    folder: Path, port: int = 0, open_browser: bool = True, start_from: str | None = None
) -> None:
    """Serve the page until Ctrl-C.

    Args:
        folder: the images; annotations go to labels/ and models to runs/ in it.
        port: on the loopback address; 0: any free one.
        open_browser: open the page in the default browser.
        start_from: a model file, a run folder, or a network that comes along, to begin with.

    Raises:
        InputError: no such folder or model, a port that is taken, or the packages of the extra are
            missing.
    """
    try:
        from biounet.studio.launch import serve
    except ModuleNotFoundError as error:
        if (error.name or "").split(".")[0] not in ("starlette", "uvicorn"):
            raise
        raise InputError(
            f"no package {error.name}", "the packages of the studio", "pip install biounet[studio]"
        ) from None
    serve(folder, port, open_browser, start_from)
