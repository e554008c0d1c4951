"""Predict on files: finds them, skips what is finished, and tells at the end what failed."""

import contextlib
import math
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import psutil

from biounet.config import PredictionSettings, Save
from biounet.errors import InputError, OutputError
from biounet.images.atomic import cannot_write, remove_leftovers, remove_whole
from biounet.images.channels import grouped_channels, read_channels
from biounet.images.formats.ome_zarr_reading import count_missing_chunks
from biounet.images.image import Image
from biounet.images.reading import read_header
from biounet.model import read_model
from biounet.prediction.instances import label_objects
from biounet.prediction.jobs.job import fits_memory, work_folder
from biounet.prediction.jobs.large import predict_large
from biounet.prediction.jobs.ledger import add_to_ledger, is_finished, read_ledger
from biounet.prediction.jobs.options import OnProgress, Outcome
from biounet.prediction.jobs.outputs import Result, write_labels, write_output
from biounet.prediction.jobs.recipe import (
    RECIPE_NAME,
    Recipe,
    discard_recipe,
    read_recipe,
    ready_predictor,
    settle_recipe,
)
from biounet.prediction.jobs.tasks import (
    FileTask,
    find_inputs,
    missing,
    parts_folder,
    plan_tasks,
    refuse_strangers,
    sources_of,
)
from biounet.prediction.jobs.wholes import join_parts, wholes_of
from biounet.prediction.jobs.workers import Crew, kept_threads, open_crew
from biounet.prediction.overlap_tile import sample_tile
from biounet.prediction.planes import iterate_planes, planes_of, resolve_axes
from biounet.prediction.predictor import Ahead, Predictor, predict_plane
from biounet.prediction.stacks import join_stacks, stack_axis
from biounet.shipped import find_model_file

Failures = dict[Path, str]

SMALL_PX = 2**22
"""Images of fewer pixels are worked on as many at once as there are tasks in flight."""

UNLIKE = 1.6
"""Pixels so many times larger or smaller than those learned from are told; augmentation by half
covers less."""

KEEPS_PROBABILITIES = {"probabilities", "isbi2012"}
"""Outputs for which the probabilities of all planes are kept."""

JOINED_BYTES = 8
"""A pixel of a stack whose slices are joined: its labels, before and after."""

_larger = threading.BoundedSemaphore(3)
"""How many larger ones a process holds at once: one read, one computed, one written."""


def predict_files(
    model_path: Path,
    inputs: Sequence[Path],
    out: Path,
    options: PredictionSettings,
    on_progress: OnProgress = lambda *_: None,
) -> Outcome:
    """Segment files and folders of files; write what was asked for into one folder.

    Run again, it does only what is missing, with the engine, precision, tile and threads of the
    first time.

    Args:
        model_path: a model file, a run folder, or the name of a network that comes with biounet.
        inputs: images, and folders of which all images are taken.
        out: the folder of the results; made if need be.
        options: what to write, and how to compute it.
        on_progress: called after each input.

    Raises:
        InputError: no images, two for one output, a model that cannot be read, results of another
            model or other settings in `out`, or a folder that cannot be written.
    """
    model_path, out = find_model_file(model_path).resolve(), out.resolve()
    ledger = read_ledger(out)
    found = find_inputs(inputs)
    n_channels = read_model(model_path).settings.network.channels
    tasks = plan_tasks(grouped_channels(found, n_channels), out, options.save, options.axes)
    if read_recipe(out) is None:
        refuse_strangers(tasks)
    wholes = wholes_of(tasks)
    with kept_threads(), open_crew(options) as crew:
        ahead = None if read_recipe(out) else _ahead(tasks, model_path, options)
        recipe = settle_recipe(model_path, out, options, crew.threads, ahead)
        # A model that cannot be used is told before all else.
        note = ready_predictor(model_path, recipe).note
        finished = {
            whole
            for whole, parts in wholes.items()
            if is_finished(ledger, out, whole, sources_of(parts))
        }
        to_do = [missing(task, ledger, finished) for task in tasks]
        for task in to_do:
            if not task.save:
                remove_whole(work_folder(task))
        for whole in finished:
            remove_whole(parts_folder(whole))
        to_do = [task for task in to_do if task.save]
        remove_leftovers(out, _names(tasks) | {RECIPE_NAME})
        failures = _run(to_do, SegmentFile(model_path, recipe, options), crew, on_progress, tasks)
    for whole, parts in wholes.items():
        if whole not in finished:
            failures |= join_parts(whole, parts, failures)
    if len(failures) == len(tasks):
        discard_recipe(out)
    return Outcome(
        done=tuple(task.path for task in tasks if task.path not in failures),
        skipped=len(tasks) - len(to_do),
        failed=tuple(failures.items()),
        notes=(
            *((note,) if note else ()),
            *_notes([task for task in to_do if task.path not in failures], options.axes),
            *_scale_note(tasks, ready_predictor(model_path, recipe)),
        ),
    )


def _ahead(
    tasks: Sequence[FileTask], model_path: Path, options: PredictionSettings
) -> Ahead | None:
    """The first image that can be read stands for all; None where none of a few can."""
    model = read_model(model_path)
    network = model.settings.network
    for task in tasks[:3]:
        with contextlib.suppress(InputError, OSError):  # told when its turn comes
            image = read_channels(task.paths, options.axes)
            _, plane = next(iterate_planes(image, network.dimensions, network.channels))
            sample_tile(plane, network.footprint, model.intensity)  # its pixels can be read
            _, sizes = planes_of(image, network.dimensions, network.channels)
            return Ahead(plane, int(np.prod(sizes)) * len(tasks))
    return None


def _notes(tasks: Sequence[FileTask], axes: str | None) -> Iterator[str]:
    """What is to be known of images that are done."""
    for task in tasks:
        for path in task.paths if task.is_zarr else ():
            n_missing, n_chunks = count_missing_chunks(path, axes)
            if n_missing:
                yield (
                    f"{n_missing} of {n_chunks} chunks of {path} are not stored and were read "
                    "as empty: right for empty regions, wrong for a copy that was cut short"
                )


def _scale_note(tasks: Sequence[FileTask], predictor: Predictor) -> Iterator[str]:
    """The first image, if any, whose pixels are not as large as those learned from."""
    n_axes = len(predictor.scale)
    learned: list[float] = predictor.model.provenance.get("pixel_size_um") or []
    for task in tasks if learned else ():
        here = None
        with contextlib.suppress(InputError, OSError):  # told when its turn came
            here = read_header(task.paths[0]).pixel_size_um
        if here is None:
            continue
        scale = tuple(a / b for a, b in zip(here[-n_axes:], learned[-n_axes:], strict=True))
        off = [max(a / b, b / a) for a, b in zip(scale, predictor.scale, strict=True)]
        if max(off) > UNLIKE:
            wanted = ",".join(f"{s:.2g}" for s in (scale if len(set(scale)) > 1 else scale[:1]))
            sizes = (" x ".join(f"{s:.3g}" for s in size[-n_axes:]) for size in (here, learned))
            yield "{} has pixels of {} um, the images learned from {} um: {}".format(
                task.path.name, *sizes, f"--scale {wanted} shows objects as large as those"
            )
            return


def _run(
    tasks: Sequence[FileTask],
    segment: "SegmentFile",
    crew: Crew,
    on_progress: OnProgress,
    all_tasks: Sequence[FileTask],
) -> Failures:
    """Do every task; one that fails stops no other, unless nothing more can be written."""
    failures: Failures = {}
    large: list[FileTask] = []
    n_done = len(all_tasks) - len(tasks)
    left = dict.fromkeys(tasks)
    for finished in crew.run(segment, tasks):
        task = finished.item
        if finished.error is None and not finished.result:
            large.append(task)
            continue
        del left[task]
        if finished.error is not None:
            failures[task.path] = _in_one_line(finished.error)
            if isinstance(finished.error, OutputError):
                return failures | {later.path: failures[task.path] for later in left}
        n_done += 1
        on_progress(n_done, len(all_tasks), task.path.name)
    for task in large:

        def on_part(share: float, before: int = n_done, name: str = task.path.name) -> None:
            on_progress(before + share, len(all_tasks), name)

        del left[task]
        try:
            predict_large(task, segment.model_path, segment.recipe, segment.options, crew, on_part)
        except (InputError, OSError, MemoryError) as error:
            failures[task.path] = _in_one_line(error)
            if isinstance(error, OutputError):
                return failures | {later.path: failures[task.path] for later in left}
        n_done += 1
    return failures


@dataclass(frozen=True)
class SegmentFile:
    """Read, predict, label and write one input; what a worker needs to know for it."""

    model_path: Path
    recipe: Recipe
    options: PredictionSettings

    def __call__(self, task: FileTask) -> bool:
        """Whether the input is done; False: it is too large, or its work was begun in blocks."""
        predictor = ready_predictor(self.model_path, self.recipe)
        image = read_channels(task.paths, self.recipe.axes)
        if work_folder(task).exists() or not self._fits(image, task, predictor):
            return False
        small = np.prod(image.data.shape) < SMALL_PX
        with contextlib.nullcontext() if small else _larger:
            self._write(segment_image(image, predictor, task.save), task, predictor)
        return True

    def _fits(self, image: Image, task: FileTask, predictor: Predictor) -> bool:
        """Whether an image is segmented as a whole.

        Raises:
            InputError: a stack to be joined that has no room; its slices cannot be joined block by
                block.
        """
        settings = predictor.model.settings
        network = settings.network
        series, _ = planes_of(image, network.dimensions, network.channels)
        fits = fits_memory(image.data.shape, network.classes, self.options.memory_bytes)
        if stack_axis(series, image.axes, network, settings.objects) is None:
            return fits
        n_px = math.prod(image.data.shape) // network.channels
        kept = 4 * network.classes if KEEPS_PROBABILITIES & set(task.save) else 0
        n_bytes = n_px * (JOINED_BYTES + kept)
        if not fits and n_bytes > psutil.virtual_memory().available / 2:
            raise InputError(
                f"a stack to be joined that takes {n_bytes / 2**30:.1f} GiB",
                "half of the free memory at most",
                "cut it, or leave objects.join_slices out",
            )
        return True

    def _write(self, result: Result, task: FileTask, predictor: Predictor) -> None:
        for kind in task.save:
            path = task.output(kind)
            if task.whole(kind) is not None:
                _make_folder(path.parent)
            if kind == "ctc" and task.sequence is not None:
                write_labels(path, result.labels, result.axes, result.image.pixel_size_um)
            else:
                write_output(result, predictor.model, kind, path)
            add_to_ledger(task.out, path, task.sources)


def segment_image(image: Image, predictor: Predictor, save: Sequence[Save]) -> Result:
    """Labels of every plane of an image, and its probabilities if they are to be written.

    Slices that are joined are a volume from then on.
    """
    network, objects = predictor.model.settings.network, predictor.model.settings.objects
    names, sizes = planes_of(image, network.dimensions, network.channels)
    in_file = resolve_axes(image.axes, network.dimensions)
    spatial = tuple(image.data.shape[in_file.index(a)] for a in "ZYX"[-network.dimensions :])
    labels = np.empty((*sizes, *spatial), np.int32)
    probabilities = None
    if KEEPS_PROBABILITIES & set(save):
        probabilities = np.empty((*sizes, network.classes, *spatial), np.float32)
    for index, plane in iterate_planes(image, network.dimensions, network.channels):
        predicted = predict_plane(predictor, plane)
        labels[index] = label_objects(predicted, objects)
        if probabilities is not None:
            probabilities[index] = predicted
    slices = stack_axis(names, image.axes, network, objects)
    if slices is None:
        return Result(image, names + "ZYX"[-network.dimensions :], sizes, labels, probabilities)
    labels = np.moveaxis(join_stacks(labels, slices, objects.join_slices), slices, -3)
    if probabilities is not None:
        probabilities = np.moveaxis(probabilities, slices, -3)
    others = names[:slices] + names[slices + 1 :]
    sizes = (*sizes[:slices], *sizes[slices + 1 :])
    return Result(image, others + "ZYX", sizes, labels, probabilities)


def _names(tasks: Sequence[FileTask]) -> set[str]:
    """Of everything that is written into the output folder for these tasks."""
    wholes = {whole for t in tasks for kind in t.save if (whole := t.whole(kind))}
    outputs = {t.output(kind) for t in tasks for kind in t.save if not t.whole(kind)}
    tables = {t.output("table").with_suffix(".parquet") for t in tasks if "table" in t.save}
    folders = {work_folder(t) for t in tasks} | {parts_folder(whole) for whole in wholes}
    return {path.name for path in wholes | outputs | tables | folders}


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(exist_ok=True)
    except OSError as error:
        raise cannot_write(folder, error) from error


def _in_one_line(error: BaseException) -> str:
    """What went wrong with an input; anything but a user's mistake goes on."""
    if not isinstance(error, InputError | OSError | MemoryError):
        raise error
    return " ".join(str(error).split()) or "not enough memory"
