"""The training runs of a folder, numbered."""

from pathlib import Path

from biounet.learning.run_folder import RunFolder
from biounet.studio.folder import ImageFolder


def newest_run(folder: ImageFolder) -> RunFolder | None:
    """The newest training run that left a model."""
    runs = [run for run in _runs(folder) if run.last.is_file()]
    return runs[-1] if runs else None


def next_run(folder: ImageFolder) -> Path:
    """A run folder that is not there yet."""
    numbers = [int(run.path.name) for run in _runs(folder)]
    return folder.runs / f"{max(numbers, default=0) + 1:03d}"


def _runs(folder: ImageFolder) -> list[RunFolder]:
    if not folder.runs.is_dir():
        return []
    paths = [path for path in folder.runs.iterdir() if path.name.isdecimal() and path.is_dir()]
    return [RunFolder(path) for path in sorted(paths, key=lambda path: int(path.name))]
