"""What a worker does with one block of a large image."""

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from biounet.geometry import Shape
from biounet.images.atomic import cannot_write
from biounet.images.formats.ome_zarr_writing import PyramidBox, Reduction, write_pyramid_box
from biounet.prediction.instances import core_labels, grow, growable, label_objects
from biounet.prediction.jobs.block_notes import write_parts
from biounet.prediction.jobs.job import Job, plane_of
from biounet.prediction.jobs.manifest import Block
from biounet.prediction.jobs.merging import find_parts
from biounet.prediction.jobs.recipe import ready_predictor
from biounet.prediction.predictor import predict_region

if TYPE_CHECKING:
    import zarr


def open_array(path: Path) -> "zarr.Array[Any]":
    """An array of a job, opened once in each process."""
    return _open_once(path, (path / "zarr.json").stat().st_mtime_ns)


@lru_cache(maxsize=16)
def _open_once(path: Path, modified_ns: int) -> "zarr.Array[Any]":  # noqa: ARG001 (tells jobs apart)
    import zarr

    return zarr.open_array(path, mode="r+")


@dataclass(frozen=True)
class ComputeBlock:
    """Predict a block, and number its connected parts."""

    job: Job

    def __call__(self, block: Block) -> None:
        """Write the block's probabilities and parts; then note that it is computed."""
        job = self.job
        manifest = job.manifest
        index, position = block
        start, stop = manifest.grid.box(position)
        box = tuple(slice(a, b) for a, b in zip(start, stop, strict=True))
        predictor = ready_predictor(job.model_path, job.recipe)
        intensity = manifest.intensity_at(index)
        predicted = predict_region(predictor, plane_of(job, index), intensity, start, stop)
        parts = None
        try:
            if "probabilities" in manifest.keeps:
                n_classes = len(predicted)
                self._write_probabilities(predicted, job.class_key(index, box, n_classes))
            if "labels" in manifest.keeps:
                objects = predictor.model.settings.objects
                if objects.method == "classes":
                    numbers = label_objects(predicted, objects).astype(np.uint32)
                else:
                    cores = core_labels(predicted, objects)
                    numbers, parts = find_parts(cores, start, manifest.grid.shape)
                    numbers = 2 * numbers + growable(predicted, objects)  # small: they pack well
                key = job.key(index, box)
                open_array(job.parts)[key] = numbers.reshape(tuple(s.stop - s.start for s in key))
        except OSError as error:
            raise cannot_write(job.folder, error) from error
        write_parts(job.note("computed", block), parts)

    def _write_probabilities(self, predicted: NDArray[np.float32], key: tuple[slice, ...]) -> None:
        axes = self.job.manifest.probability_axes
        spatial = self.job.manifest.spatial
        order = [("C" + spatial).index(a) for a in axes if a in "C" + spatial]
        shape = tuple(s.stop - s.start for s in key)
        open_array(self.job.probabilities / "0")[key] = predicted.transpose(order).reshape(shape)


@dataclass(frozen=True)
class LabelBlock:
    """Turn the numbers of a block's parts into the image's labels."""

    job: Job

    def __call__(self, block: Block) -> None:
        """Write the block's labels; then note that it is labelled."""
        job = self.job
        index, position = block
        grid = job.manifest.grid
        start, stop = grid.box(position)
        objects = ready_predictor(job.model_path, job.recipe).model.settings.objects
        halo = objects.grow_px if objects.method != "classes" else 0
        low = tuple(max(0, a - halo) for a in start)
        high = tuple(min(n, b + halo) for b, n in zip(stop, grid.shape, strict=True))
        labels = np.empty(tuple(b - a for a, b in zip(low, high, strict=True)), np.int32)
        into = np.zeros(labels.shape, np.bool_)
        for other in grid.around(low, high):
            there_start, there_stop = grid.box(other)
            first = tuple(map(max, low, there_start))
            last = tuple(map(min, high, there_stop))
            box = tuple(slice(a, b) for a, b in zip(first, last, strict=True))
            here = tuple(slice(s.start - a, s.stop - a) for s, a in zip(box, low, strict=True))
            numbers = np.asarray(open_array(job.parts)[job.key(index, box)])
            numbers = numbers.reshape(labels[here].shape)
            if objects.method == "classes":
                labels[here] = numbers
            else:
                labels[here] = labels_of_parts(job, index, other)[numbers // 2]
                into[here] = numbers % 2
        inside = tuple(slice(a - m, b - m) for a, b, m in zip(start, stop, low, strict=True))
        grown = grow(labels, into, halo)[inside]
        key = job.key(index, tuple(slice(a, b) for a, b in zip(start, stop, strict=True)))
        target = open_array(job.labels / "0")
        try:
            target[key] = grown.astype(target.dtype).reshape(tuple(s.stop - s.start for s in key))
        except OSError as error:
            raise cannot_write(job.folder, error) from error
        write_parts(job.note("labelled", block), None)


def merged_path(job: Job, index: Shape, what: str) -> Path:
    """Where what was merged of a plane is kept: "begin", "labels", "low" or "high"."""
    return job.folder / "merged" / f"{'-'.join(map(str, (*index, what)))}.npy"


def labels_of_parts(job: Job, index: Shape, position: Shape) -> NDArray[np.uint32]:
    """The label of each part of a block."""
    number = int(np.ravel_multi_index(position, job.manifest.grid.n_blocks))
    begin = np.load(merged_path(job, index, "begin"), mmap_mode="r")[number : number + 2]
    stored = np.load(merged_path(job, index, "labels"), mmap_mode="r")
    return np.asarray(stored[int(begin[0]) : int(begin[1])])


@dataclass(frozen=True)
class ShrinkBox:
    """Fill a part of a smaller level of a pyramid."""

    axes: str
    reduction: Reduction

    def __call__(self, part: PyramidBox) -> None:
        """Write the part."""
        try:
            write_pyramid_box(part, self.axes, self.reduction)
        except OSError as error:
            raise cannot_write(part.path, error) from error
