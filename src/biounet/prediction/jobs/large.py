"""A large image from blocks: computed, merged, labelled, and given its final names."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from biounet.config import ObjectSettings, PredictionSettings, Save
from biounet.errors import InputError
from biounet.geometry import Shape
from biounet.images.atomic import cannot_write, remove_whole, written_whole
from biounet.images.formats.ome_zarr_writing import Reduction, pyramid_levels
from biounet.images.formats.tiff_writing import write_tiled_tiff
from biounet.images.objects import Piece, write_geojson, write_rois, write_table
from biounet.prediction.jobs.block_notes import read_parts
from biounet.prediction.jobs.block_tasks import (
    ComputeBlock,
    LabelBlock,
    ShrinkBox,
    merged_path,
    open_array,
)
from biounet.prediction.jobs.job import Job, create_array, image_of, open_job, plane_of
from biounet.prediction.jobs.ledger import add_to_ledger
from biounet.prediction.jobs.merging import merge_parts
from biounet.prediction.jobs.outputs import write_sequence
from biounet.prediction.jobs.recipe import Recipe, ready_predictor
from biounet.prediction.jobs.tasks import FileTask
from biounet.prediction.jobs.workers import Crew

OnPart = Callable[[float], None]
"""Called with the share of an image that is done."""

SHARE_COMPUTED = 0.9
"""The share of the work that is up to the network, as far as progress tells."""


def predict_large(
    task: FileTask,
    model_path: Path,
    recipe: Recipe,
    options: PredictionSettings,
    crew: Crew,
    on_part: OnPart,
) -> None:
    """Predict an image block by block, from where it was left.

    Raises:
        InputError: see `open_job`; damaged pixels; a disk that is full; outputs that need the
            whole image in memory.
    """
    refused = {"isbi2012"} & set(task.save)
    objects = ready_predictor(model_path, recipe).model.settings.objects
    if objects.method == "classes":
        refused = {"rois", "geojson", "table", "ctc", *refused} & set(task.save)
    if refused:
        raise InputError(
            f"--save {','.join(sorted(refused))} of {task.path}, an image too large for memory",
            "outputs that can be written part by part",
            "save labels or probabilities, or cut the image",
        )
    n_slots = crew.n_in_flight() // 2 if options.scheduler is not None else 0
    job = open_job(task, model_path, recipe, options, n_slots)
    blocks = job.unfinished("computed")
    n_blocks = len(job.manifest.blocks())
    done = n_blocks - len(blocks)
    for finished in _run_all(crew, ComputeBlock(job), blocks):
        done += finished
        on_part(SHARE_COMPUTED * done / n_blocks)
    if "labels" in job.manifest.keeps:
        label_job(job, crew)
    for kind in sorted(task.save, key=lambda kind: kind in ("labels", "probabilities")):
        path = task.output(kind)
        if task.is_zarr and kind == "labels":
            _give_name(job.labels, path, job.manifest.label_axes, "nearest", crew)
        elif task.is_zarr and kind == "probabilities":
            _give_name(job.probabilities, path, job.manifest.probability_axes, "mean", crew)
        elif kind == "ctc" and task.sequence is not None:
            path.parent.mkdir(exist_ok=True)
            _write(job, "labels", path)  # a frame, to be linked with the others
        else:
            _write(job, kind, path)
        add_to_ledger(task.out, path, task.sources)
    remove_whole(job.folder)
    on_part(1.0)


def _run_all(crew: Crew, function: Callable[[Any], None], items: Sequence[Any]) -> Iterator[int]:
    """Do all tasks; yields 1 after each.

    Raises:
        InputError: one of them failed; those that run come to their end.
    """
    for finished in crew.run(function, items):
        if finished.error is not None:
            raise finished.error
        yield 1


def label_job(job: Job, crew: Crew) -> None:
    """Merge what is known of the parts, and write the labels."""
    manifest = job.manifest
    objects = ready_predictor(job.model_path, job.recipe).model.settings.objects
    n_labels = np.iinfo(np.uint16).max
    if objects.method != "classes":
        if not (job.folder / "merged").exists():
            _merge(job, objects)
        n_labels = max(
            len(np.load(merged_path(job, index, "low"), mmap_mode="r"))
            for index in manifest.planes()
        )
    blocks = job.unfinished("labelled")
    if len(blocks) == len(manifest.blocks()) and not job.labels.exists():
        with written_whole(job.labels) as temporary:
            dtype = np.uint32 if n_labels > np.iinfo(np.uint16).max else np.uint16
            create_array(temporary, image_of(job.recipe, manifest), manifest, dtype, None, None)
    for _ in _run_all(crew, LabelBlock(job), blocks):
        pass


def _merge(job: Job, objects: ObjectSettings) -> None:
    with written_whole(job.folder / "merged") as temporary:
        temporary.mkdir()
        for index in job.manifest.planes():
            merged = merge_parts(
                {
                    position: read_parts(job.note("computed", (index, position)))
                    for position in job.manifest.grid
                },
                objects,
            )
            labels = [merged.labels[position] for position in job.manifest.grid]
            begin = np.cumsum([0, *map(len, labels)])
            for what, array in (
                ("begin", begin),
                ("labels", np.concatenate(labels)),
                ("low", merged.low),
                ("high", merged.high),
            ):
                np.save(temporary / merged_path(job, index, what).name, array)


def _give_name(source: Path, path: Path, axes: str, reduction: Reduction, crew: Crew) -> None:
    """Make the pyramid of a finished array and move it to where it belongs."""
    if not source.exists():
        return  # moved just before the job was killed
    for level in pyramid_levels(source):
        for _ in _run_all(crew, ShrinkBox(axes, reduction), level):
            pass
    remove_whole(path)  # it is of the image as it was before
    try:
        source.rename(path)  # in one step: it is here or there, whenever the job is killed
    except OSError as error:
        raise cannot_write(path, error) from error


def _write(job: Job, kind: Save, path: Path) -> None:
    """Write an output in another form than the arrays of the job."""
    image = image_of(job.recipe, job.manifest)
    match kind:
        case "labels":
            with written_whole(path) as temporary:
                array = open_array(job.labels / "0")
                write_tiled_tiff(
                    temporary, array, job.manifest.label_axes, image.pixel_size_um, None
                )
        case "probabilities":
            names = ready_predictor(job.model_path, job.recipe).model.class_names
            with written_whole(path) as temporary:
                array = open_array(job.probabilities / "0")
                write_tiled_tiff(
                    temporary, array, job.manifest.probability_axes, image.pixel_size_um, names
                )
        case "rois":
            write_rois(path, _pieces(job, False))
        case "geojson":
            write_geojson(path, _pieces(job, False))
        case "table":
            pieces, size = _pieces(job, True), image.pixel_size_um
            write_table(path, pieces, job.manifest.spatial, size, image.channel_names)
        case "ctc":
            whole = tuple(slice(0, n) for n in job.manifest.grid.shape)
            frames = (_labels_in(job, index, whole) for index in job.manifest.planes())
            write_sequence(path, enumerate(frames))
        case "isbi2012":
            raise ValueError("refused before")


def _labels_in(job: Job, index: Shape, box: tuple[slice, ...]) -> NDArray[Any]:
    labels = np.asarray(open_array(job.labels / "0")[job.key(index, box)])
    return labels.reshape(tuple(s.stop - s.start for s in box))


def _pieces(job: Job, with_grey: bool) -> Iterator[Piece]:
    """The objects of each block (those whose bounding boxes begin in it), in a common window."""
    grid = job.manifest.grid
    settings = ready_predictor(job.model_path, job.recipe).model.settings.objects
    for index in job.manifest.planes():
        position = dict(zip(job.manifest.series, index, strict=True))
        low = np.load(merged_path(job, index, "low")) - settings.grow_px
        high = np.load(merged_path(job, index, "high")) + settings.grow_px
        low, high = np.maximum(low, 0), np.minimum(high, grid.shape)
        block = np.ravel_multi_index(tuple((low // grid.block).T), grid.n_blocks)
        order = np.argsort(block, kind="stable")
        starts = np.flatnonzero(np.diff(block[order], prepend=-1))
        for members in np.split(order, starts[1:]):
            if not len(members):  # no objects: a piece all the same, for its columns
                first, last = np.zeros(len(grid.shape), int), np.ones(len(grid.shape), int)
            else:
                first, last = low[members].min(axis=0), high[members].max(axis=0)
            box = tuple(slice(int(a), int(b)) for a, b in zip(first, last, strict=True))
            grey = plane_of(job, index)[(slice(None), *box)] if with_grey else None
            start = tuple(s.start for s in box)
            yield Piece(_labels_in(job, index, box), start, position, members + 1, grey)
