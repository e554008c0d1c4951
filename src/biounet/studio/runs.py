"""The training runs of a folder, numbered, and the model that is there before the first."""

from dataclasses import dataclass
from pathlib import Path

from biounet.errors import InputError
from biounet.learning.run_folder import RunFolder
from biounet.model import read_model
from biounet.shipped import find_model_file
from biounet.studio.folder import ImageFolder


@dataclass(frozen=True)
class Known:
    """A model to segment with and to train on from: what it is called, and its file."""

    name: str
    path: Path


def known_before(name: str) -> Known:
    """The model that a person begins with: a file, a run folder, or one that comes along.

    Raises:
        InputError: there is none, or it is of volumes.
    """
    path = find_model_file(name)
    if read_model(path).settings.network.dimensions != 2:
        raise InputError(f"{name}, a model of volumes", "a 2-D one", "name another (--from)")
    return Known(Path(name).name, path)


def newest(folder: ImageFolder, before: Known | None) -> Known | None:
    """The model of the newest run, else the one that was there before."""
    runs = [run for run in _runs(folder) if run.last.is_file()]
    return Known(runs[-1].path.name, runs[-1].last) if runs else before


def next_run(folder: ImageFolder) -> Path:
    """A run folder that is not there yet."""
    numbers = [int(run.path.name) for run in _runs(folder)]
    return folder.runs / f"{max(numbers, default=0) + 1:03d}"


def _runs(folder: ImageFolder) -> list[RunFolder]:
    if not folder.runs.is_dir():
        return []
    paths = [path for path in folder.runs.iterdir() if path.name.isdecimal() and path.is_dir()]
    return [RunFolder(path) for path in sorted(paths, key=lambda path: int(path.name))]
