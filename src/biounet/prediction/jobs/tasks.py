"""Which inputs there are, and what is still to be done for each."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from biounet.config import Save
from biounet.errors import InputError
from biounet.images.challenge import frame_number
from biounet.images.channels import channel_of
from biounet.images.formats.ome_zarr_reading import ZARR_SUFFIXES
from biounet.images.layouts.matching import list_images
from biounet.images.reading import image_stem, image_suffix, is_image
from biounet.prediction.jobs.ledger import Ledger, Sources, is_finished, source_of

ENDINGS: dict[Save, str] = {
    "rois": "_rois.zip",
    "geojson": "_objects.geojson",
    "table": "_table.csv",
    "ctc": "_RES",
    "isbi2012": "_isbi2012.tif",
}


@dataclass(frozen=True)
class FileTask:
    """One input and what to write of it.

    Attributes:
        sources: the input as it was found: one file, or one for each channel.
        out: the folder of its outputs.
        save: what to write.
        sequence: the result folder to which it belongs as a frame; None: it is no frame.
    """

    sources: Sources
    out: Path
    save: tuple[Save, ...]
    sequence: Path | None = None

    @property
    def paths(self) -> tuple[Path, ...]:
        """The files of the input."""
        return tuple(Path(source.path) for source in self.sources)

    @property
    def path(self) -> Path:
        """The input, by its first file."""
        return self.paths[0]

    @property
    def stem(self) -> str:
        """What the names of its outputs begin with."""
        named = channel_of(self.path) if len(self.sources) > 1 else None
        return image_stem(self.path) if named is None else named[0]

    @property
    def is_zarr(self) -> bool:
        """Whether the input is an OME-Zarr; then its output is one, too."""
        return (image_suffix(self.path) or "").lower() in ZARR_SUFFIXES

    def output(self, kind: Save) -> Path:
        """Where an output goes; labels of a frame wait beside the sequence to be linked."""
        if kind == "ctc" and self.sequence is not None:
            return self.sequence.with_name(f".{self.sequence.name}-frames") / f"{self.stem}.tif"
        ending = ENDINGS.get(kind) or f"_{kind}{'.ome.zarr' if self.is_zarr else '.tif'}"
        return self.out / f"{self.stem}{ending}"


def find_inputs(inputs: Sequence[Path], out: Path, ledger: Ledger) -> list[Path]:
    """The images among files and in folders; those that were written here before are left out.

    Raises:
        InputError: a path that is not there, or a folder without images.
    """
    found: list[Path] = []
    for path in inputs:
        if path.is_dir() and not is_image(path):
            inside = list_images(path)
            if path.resolve() == out.resolve():
                inside = [p for p in inside if p.name not in ledger]
            found += inside
        elif path.exists():
            found.append(path)
        else:
            raise InputError(f"no file {path}", "an image or a folder of images", "check the path")
    if not found:
        raise InputError("no images", "at least one", "name files, or folders with images")
    return list(dict.fromkeys(found))


def plan_tasks(
    inputs: Sequence[tuple[Path, ...]], out: Path, save: Sequence[Save]
) -> list[FileTask]:
    """A task for each input, given by its files.

    Raises:
        InputError: nothing to save, or outputs of two inputs that would have the same name.
    """
    if not save:
        raise InputError("nothing to save", "labels, probabilities, …", "name something")
    tasks = []
    for paths in inputs:
        is_frame = "ctc" in save and len(paths) == 1 and frame_number(paths[0]) is not None
        sequence = out / f"{paths[0].resolve().parent.name}_RES" if is_frame else None
        sources = tuple(map(source_of, paths))
        tasks.append(FileTask(sources, out, tuple(dict.fromkeys(save)), sequence))
    owner: dict[Path, Path] = {}
    for task in tasks:
        for kind in task.save:
            other = owner.setdefault(task.output(kind), task.path)
            if other != task.path:
                raise InputError(
                    f"two images for one output {task.output(kind).name}: {other} and {task.path}",
                    "names that differ",
                    "rename one, or predict them into different folders",
                )
    return tasks


def sequences_of(tasks: Sequence[FileTask]) -> dict[Path, list[FileTask]]:
    """The frames of each sequence, in order."""
    found: dict[Path, list[FileTask]] = {}
    for task in tasks:
        if task.sequence is not None:
            found.setdefault(task.sequence, []).append(task)
    for frames in found.values():
        frames.sort(key=lambda task: frame_number(task.path) or (0, 0))
        numbers = [frame_number(task.path) for task in frames]
        folders = {task.path.parent for task in frames}
        if len(set(numbers)) < len(numbers) or len(folders) > 1:
            raise InputError(
                f"two files for one frame of {frames[0].path.parent}",
                "one file per frame, one folder per sequence",
                "predict them into different folders",
            )
    return found


def sources_of(tasks: Sequence[FileTask]) -> Sources:
    """All files of several inputs."""
    return tuple(source for task in tasks for source in task.sources)


def missing(task: FileTask, ledger: Ledger, finished_sequences: set[Path]) -> FileTask:
    """The same task without the outputs that are there already."""
    save = tuple(
        kind
        for kind in task.save
        if not (kind == "ctc" and task.sequence in finished_sequences)
        and not is_finished(ledger, task.out, task.output(kind), task.sources)
    )
    return replace(task, save=save)


def refuse_strangers(tasks: Sequence[FileTask]) -> None:
    """Refuse to replace files in a folder into which nothing was predicted yet.

    Raises:
        InputError: one of the outputs is there.
    """
    for task in tasks:
        for kind in task.save:
            if (path := task.output(kind)).exists():
                raise InputError(
                    f"{path}, which is there already and was not written by this command",
                    "a folder for these results",
                    "choose another --out",
                )
