"""A large image in work: its folder, begun or taken up again.

The folder `.x-work` beside the results holds the arrays that are being filled and a file for each
block that is finished. A job that was killed goes on from there; nothing in the folder depends on
how many workers there are or in which order they come.
"""

import functools
import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from biounet.config import PredictionSettings
from biounet.errors import InputError
from biounet.geometry import Shape
from biounet.images.atomic import remove_whole, written_whole
from biounet.images.channels import read_channels
from biounet.images.formats.ome_zarr_writing import create_ome_zarr
from biounet.images.image import Image
from biounet.prediction.jobs.blocks import (
    BLOCKS_PER_SLOT,
    CHUNKS_PER_BLOCK,
    enlarged,
    plan_blocks,
)
from biounet.prediction.jobs.ledger import Sources, are_like
from biounet.prediction.jobs.manifest import (
    MANIFEST_NAME,
    Block,
    Manifest,
    array_layout,
    as_json,
    read_manifest,
    read_manifest_once,
)
from biounet.prediction.jobs.recipe import Recipe, ready_predictor
from biounet.prediction.jobs.tasks import FileTask
from biounet.prediction.planes import Plane, axes_for, iterate_planes, planes_of, resolve_axes
from biounet.prediction.predictor import Predictor, plane_intensity

if TYPE_CHECKING:
    import zarr

AGGLOMERATION_MEMORY = 2
"""Times the memory of other images, for labels that cannot be merged across blocks."""


@dataclass(frozen=True)
class Job:
    """A large image, on its way; what a worker needs to know to do a block of it."""

    folder: Path
    model_path: Path
    recipe: Recipe

    @property
    def manifest(self) -> Manifest:
        """What was decided before the first block; read once in each process."""
        path = self.folder / MANIFEST_NAME
        return read_manifest_once(path, path.stat().st_mtime_ns)

    @property
    def probabilities(self) -> Path:
        """The OME-Zarr of the probabilities."""
        return self.folder / "probabilities.ome.zarr"

    @property
    def parts(self) -> Path:
        """The zarr array of each block's own numbers of connected parts."""
        return self.folder / "parts.zarr"

    @property
    def labels(self) -> Path:
        """The OME-Zarr of the labels."""
        return self.folder / "labels.ome.zarr"

    def note(self, kind: str, block: Block) -> Path:
        """The file that tells that a block is finished: "computed" or "labelled"."""
        return self.folder / kind / _note_name(block)

    def unfinished(self, kind: str) -> list[Block]:
        """The blocks that are still to be computed or labelled."""
        there = {entry.name for entry in os.scandir(self.folder / kind)}
        return [b for b in self.manifest.blocks() if _note_name(b) not in there]

    def key(self, index: Shape, box: tuple[slice, ...]) -> tuple[slice, ...]:
        """Where a box of a plane lies in the array of labels."""
        return self._place(index, box, self.manifest.label_axes, None)

    def class_key(self, index: Shape, box: tuple[slice, ...], n_classes: int) -> tuple[slice, ...]:
        """Where a box of a plane lies in the array of probabilities."""
        return self._place(index, box, self.manifest.probability_axes, slice(0, n_classes))

    def _place(
        self, index: Shape, box: tuple[slice, ...], axes: str, classes: slice | None
    ) -> tuple[slice, ...]:
        manifest = self.manifest
        where: dict[str, slice | None] = {"C": classes}
        where |= dict(zip(manifest.spatial, box, strict=True))
        where |= {a: slice(i, i + 1) for a, i in zip(manifest.series, index, strict=True)}
        return tuple(part for axis in axes if (part := where[axis]) is not None)


def _note_name(block: Block) -> str:
    return "-".join(map(str, (*block[0], *block[1]))) + ".npz"


def work_folder(task: FileTask) -> Path:
    """Where an input is worked on."""
    return task.out / f".{task.path.name}-work"


@functools.lru_cache(maxsize=4)
def _opened(sources: Sources, axes: str | None) -> Image:
    return read_channels([Path(source.path) for source in sources], axes)


def image_of(recipe: Recipe, manifest: Manifest) -> Image:
    """The image of a job, opened once in each process."""
    return _opened(manifest.sources, recipe.axes)


def plane_of(job: Job, index: Shape) -> Plane:
    """One plane or volume of the image."""
    image = image_of(job.recipe, job.manifest)
    network = ready_predictor(job.model_path, job.recipe).model.settings.network
    axes = axes_for(image, network.dimensions, network.channels)
    return Plane(image.data, axes, job.manifest.spatial, index)


def open_job(
    task: FileTask, model_path: Path, recipe: Recipe, options: PredictionSettings, n_slots: int
) -> Job:
    """Take up the work on an image where it was left, or begin it.

    `n_slots`: how many blocks a cluster can do at once; else 0.

    Raises:
        InputError: the image does not fit the model; its labels cannot be merged from blocks; or
            work that was begun keeps other results.
    """
    folder = work_folder(task)
    needs = {"probabilities" if k == "probabilities" else "labels" for k in task.save}
    manifest = read_manifest(folder)
    if manifest is not None and not are_like(manifest.sources, task.sources):
        remove_whole(folder)  # the image has changed since
        manifest = None
    if manifest is None:
        predictor = ready_predictor(model_path, recipe)
        manifest = _plan(task, predictor, recipe, tuple(sorted(needs)), options, n_slots)
        _write_folder(Job(folder, model_path, recipe), manifest, predictor)
    elif not needs <= set(manifest.keeps):
        raise InputError(
            f"unfinished work on {task.path.name} that keeps {' and '.join(manifest.keeps)}",
            f"{' and '.join(sorted(needs))}, as asked now",
            f"finish it first with the --save it began with, or delete {folder}",
        )
    elif manifest.sources != task.sources:  # the image has been moved since
        with written_whole(folder / MANIFEST_NAME) as temporary:
            temporary.write_text(as_json(replace(manifest, sources=task.sources)))
    return Job(folder, model_path, recipe)


def _plan(
    task: FileTask,
    predictor: Predictor,
    recipe: Recipe,
    keeps: tuple[str, ...],
    options: PredictionSettings,
    n_slots: int,
) -> Manifest:
    image = _opened(task.sources, recipe.axes)
    network = predictor.model.settings.network
    series, sizes = planes_of(image, network.dimensions, network.channels)
    spatial = "ZYX"[-network.dimensions :]
    axes = resolve_axes(image.axes, network.dimensions)
    shape = tuple(image.data.shape[axes.index(a)] for a in spatial)
    block_px = options.block_px
    if "labels" in keeps and predictor.model.settings.objects.method == "agglomeration":
        if not fits_memory(shape, network.classes, AGGLOMERATION_MEMORY * options.memory_bytes):
            raise InputError(
                f"labels by agglomeration of {task.path}, an image too large for memory",
                "a method that can be merged exactly across blocks",
                "add --set objects.method=components and choose another --out, or save"
                " probabilities only",
            )
        block_px = max(shape)  # one block: nothing to be merged
    n_chunks = CHUNKS_PER_BLOCK.get(recipe.device.partition(":")[0], 1)
    grid = plan_blocks(shape, predictor.advance_px, n_chunks, block_px)
    if n_slots:
        n_planes = int(np.prod(sizes, dtype=int))
        grid = enlarged(grid, -(-n_slots * BLOCKS_PER_SLOT // n_planes))
    return Manifest(
        sources=task.sources,
        series=series,
        spatial=spatial,
        sizes=sizes,
        grid=grid,
        intensity=tuple(
            plane_intensity(predictor.model, plane)
            for _, plane in iterate_planes(image, network.dimensions, network.channels)
        ),
        keeps=keeps,
    )


def fits_memory(shape: Shape, n_classes: int, memory_bytes: int) -> bool:
    """Whether the probabilities of so many pixels, and what labelling them takes, may be kept.

    Labelling takes at most 20 bytes a pixel by components, measured, and 95 by agglomeration.
    """
    return bool(np.prod(shape, dtype=float) * 4 * (n_classes + 5) <= memory_bytes)


def _write_folder(job: Job, manifest: Manifest, predictor: Predictor) -> None:
    """The folder with empty arrays and the manifest, whole or not at all."""
    import zarr

    n_classes = predictor.model.settings.network.classes
    with written_whole(job.folder) as temporary:
        for kind in ("computed", "labelled"):
            (temporary / kind).mkdir(parents=True)
        if "probabilities" in manifest.keeps:
            create_array(
                temporary / job.probabilities.name,
                image_of(job.recipe, manifest),
                manifest,
                np.float32,
                n_classes,
                predictor.model.class_names,
            )
        if "labels" in manifest.keeps:
            layout = array_layout(manifest, None)
            zarr.create_array(temporary / job.parts.name, dtype=np.uint32, **layout)
        (temporary / MANIFEST_NAME).write_text(as_json(manifest))


def create_array(
    path: Path,
    image: Image,
    manifest: Manifest,
    dtype: Any,
    n_classes: int | None,
    class_names: tuple[str, ...] | None,
) -> "zarr.Array[Any]":
    """An empty OME-Zarr for labels (no classes) or probabilities of the image of a job."""
    axes = manifest.label_axes if n_classes is None else manifest.probability_axes
    layout = array_layout(manifest, n_classes)
    return create_ome_zarr(
        path,
        layout["shape"],
        dtype,
        axes,
        pixel_size_um=image.pixel_size_um,
        channel_names=class_names,
        chunks=layout["chunks"],
        shards=layout["shards"],
        name=path.name,
    )
