"""Which inputs there are, and what is still to be done for each."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from biounet.config import Save
from biounet.errors import InputError
from biounet.images.challenge import frame_number
from biounet.images.channels import channel_of
from biounet.images.formats.ome_zarr_reading import ZARR_SUFFIXES
from biounet.images.layouts.matching import list_images
from biounet.images.reading import image_stem, image_suffix, is_image, read_header
from biounet.prediction.jobs.ledger import Ledger, Sources, is_finished, read_ledger, source_of

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
        stack: the submission of which it is a slice; None: it has its own.
    """

    sources: Sources
    out: Path
    save: tuple[Save, ...]
    sequence: Path | None = None
    stack: Path | None = None

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

    def whole(self, kind: Save) -> Path | None:
        """The output of several inputs of which this one's is a part; None: it has its own."""
        wholes: dict[Save, Path | None] = {"ctc": self.sequence, "isbi2012": self.stack}
        return wholes.get(kind)

    def output(self, kind: Save) -> Path:
        """Where an output goes; a part of a whole waits beside it for the others."""
        whole = self.whole(kind)
        if whole is not None:
            return parts_folder(whole) / f"{self.stem}.tif"
        ending = ENDINGS.get(kind) or f"_{kind}{'.ome.zarr' if self.is_zarr else '.tif'}"
        return self.out / f"{self.stem}{ending}"


def parts_folder(whole: Path) -> Path:
    """Where the parts of an output of several inputs wait for one another."""
    return whole.with_name(f".{whole.name}-parts")


def find_inputs(inputs: Sequence[Path]) -> list[Path]:
    """The images among files and in folders; of a folder, results of a prediction are left out.

    Whole paths, each once. Links are not followed: outputs are named after them.

    Raises:
        InputError: a path that is not there, or a folder without images.
    """
    found: list[Path] = []
    for path in inputs:
        if path.is_dir() and not is_image(path):
            results = read_ledger(path)
            found += [p for p in list_images(path) if p.name not in results]
        elif path.exists():
            found.append(path)
        else:
            raise InputError(f"no file {path}", "an image or a folder of images", "check the path")
    if not found:
        raise InputError(
            "no images, or none but results of predict",
            "at least one",
            "name files, or folders with images",
        )
    return list(dict.fromkeys(path.absolute() for path in found))


def plan_tasks(
    inputs: Sequence[tuple[Path, ...]], out: Path, save: Sequence[Save], axes: str | None = None
) -> list[FileTask]:
    """A task for each input, given by its files (whole paths).

    Frames of a sequence make one result of the Cell Tracking Challenge, single slices of a folder
    one submission to ISBI 2012.

    Raises:
        InputError: nothing to save, or outputs of two inputs that would have the same name.
    """
    if not save:
        raise InputError("nothing to save", "labels, probabilities, …", "name something")
    n_slices: Counter[Path] = Counter()
    if "isbi2012" in save:
        n_slices.update(paths[0].parent for paths in inputs if _is_slice(paths[0], axes))
    tasks = []
    for paths in inputs:
        folder = paths[0].parent
        is_frame = "ctc" in save and len(paths) == 1 and frame_number(paths[0]) is not None
        is_slice = n_slices[folder] > 1 and _is_slice(paths[0], axes)
        task = FileTask(
            sources=tuple(map(source_of, paths)),
            out=out,
            save=tuple(dict.fromkeys(save)),
            sequence=out / f"{folder.name}_RES" if is_frame else None,
            stack=out / f"{folder.name}{ENDINGS['isbi2012']}" if is_slice else None,
        )
        tasks.append(task)
    owner: dict[Path, Path] = {}
    for task in tasks:
        for kind in task.save:
            whole = task.whole(kind)
            for output, of in ((task.output(kind), task.path), (whole, task.path.parent)):
                if output is not None and (other := owner.setdefault(output, of)) != of:
                    raise InputError(
                        f"two inputs for one output {output.name}: {other} and {of}",
                        "names that differ",
                        "rename one, or predict them into different folders",
                    )
    return tasks


def _is_slice(path: Path, axes: str | None) -> bool:
    """Whether a file holds one plane; of a file that cannot be read, it is told in its turn."""
    try:
        return not set(read_header(path, axes).axes) - set("CYX")
    except (InputError, OSError):
        return True


def sources_of(tasks: Sequence[FileTask]) -> Sources:
    """All files of several inputs."""
    return tuple(source for task in tasks for source in task.sources)


def missing(task: FileTask, ledger: Ledger, finished_wholes: set[Path]) -> FileTask:
    """The same task without the outputs that are there already."""
    save = tuple(
        kind
        for kind in task.save
        if task.whole(kind) not in finished_wholes
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
            if (path := task.whole(kind) or task.output(kind)).exists():
                raise InputError(
                    f"{path}, which is there already and was not written by this command",
                    "a folder for these results",
                    "choose another --out",
                )
