"""A training run from data set to model files: derive, prepare, learn, score, finish."""

import math
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from typing import Any

import torch

from biounet import __version__
from biounet.config import Settings, merged, read_settings, validated_settings, write_settings
from biounet.errors import InputError
from biounet.images.dataset import Annotated, DataSet, read_item
from biounet.learning.checkpoint import (
    Position,
    read_position,
    restore_checkpoint,
    write_checkpoint,
)
from biounet.learning.derive import derive_settings, look_at, this_machine
from biounet.learning.preparation import TrainingData, prepare, split_items
from biounet.learning.run_folder import (
    Record,
    RunFolder,
    append_record,
    forget_after,
    read_records,
)
from biounet.learning.sampling import TrainingImage, draw_batch
from biounet.learning.schedule import Budget, learning_rate
from biounet.learning.step import Learner, make_learner, train_step, trained_weights
from biounet.learning.validation import Score, predict_items, score, tune_objects
from biounet.model import ModelFile, network_of, write_model
from biounet.networks import build_network
from biounet.prediction.engines import Engine, choose_device, choose_precision, torch_engine

VALIDATION_TILE_PX = {2: 516, 3: 60}
"""Output tiles of validation; the result does not depend on it."""

CHECKPOINT_S, CHECKPOINT_SHARE = 20.0, 0.04
"""A checkpoint is written when both this time and this share of the run have passed."""

LOG_SHARE = 1 / 400
"""Share of the run between two lines of the log."""


@dataclass(frozen=True)
class Request:
    """What the user asks of a run.

    Attributes:
        preset: `fast` or `paper`.
        said: settings that the user gave, a tree of names like the settings'; they win.
        device: `auto`, `cpu`, `cuda`, `mps`.
        start_from: a model whose weights the run starts from.
        started: `time.monotonic()` at the start of the command, from which minutes count.
        command: how to repeat it, for the report.
    """

    preset: str
    said: dict[str, Any]
    device: str
    start_from: ModelFile | None
    started: float
    command: str


@dataclass(frozen=True)
class Run:
    """A run that is set up: all that stays the same from the first step to the last."""

    folder: RunFolder
    settings: Settings
    data: TrainingData
    dataset: DataSet
    device: torch.device
    started: float
    on_record: Callable[[Record], None]


def train(
    dataset: DataSet,
    request: Request,
    folder: RunFolder,
    on_record: Callable[[Record], None] = lambda _: None,
) -> ModelFile:
    """Train a network; go on where the folder's checkpoint stands.

    Every record of the log goes to `on_record` too, and every step besides. After Ctrl-C the
    models are written before `KeyboardInterrupt` goes on.

    Returns:
        The best model (also in the folder).
    """
    position = read_position(folder.checkpoint)
    if position.finished:
        from biounet.model import read_model

        return read_model(folder.best)
    items = [read_item(item) for item in dataset.items]
    settings, device = _settings_of_run(dataset, items, request, folder, on_record)
    footprint = settings.network.footprint
    training = settings.training
    split = split_items(items, training.validation_fraction, footprint, training.seed)
    data = prepare(split, dataset, settings)
    _check_same_data(folder, data)
    run = Run(folder, settings, data, dataset, device, request.started, on_record)
    torch.manual_seed(training.seed)
    network = build_network(settings.network)
    if request.start_from is not None:
        _start_from(network, request.start_from)
    learner = make_learner(network, training, device, training.precision)
    if folder.checkpoint.exists():
        position = restore_checkpoint(learner, folder.checkpoint)
        forget_after(folder, position.step)
    if any(r["kind"] == "start" for r in read_records(folder)):
        _log(run, {"kind": "resumed", "step": position.step, "resumed_at_step": position.step})
    else:
        _log(
            run,
            {
                "kind": "start",
                "version": __version__,
                "torch": torch.__version__,
                "command": request.command,
                "layout": dataset.layout,
                "notes": list(dataset.notes),
                "split": split.why,
                "training": [i.name for i in data.training],
                "validation": [i.name for i in data.validation],
                "class_weight": data.class_weight,
                "data_hash": data.data_hash,
                "device": str(device),
                "threads": torch.get_num_threads(),
                "n_parameters": sum(p.numel() for p in network.parameters()),
            },
        )
    interrupted = False
    try:
        position = _learn(run, learner, position)
    except KeyboardInterrupt:
        interrupted = True
        position = replace(read_position(folder.checkpoint), best_score=None)
    model = _finish(run, learner, position, interrupted)
    if interrupted:
        raise KeyboardInterrupt
    return model


def _settings_of_run(
    dataset: DataSet,
    items: Sequence[Annotated],
    request: Request,
    folder: RunFolder,
    on_record: Callable[[Record], None],
) -> tuple[Settings, torch.device]:
    """The settings of a new run, derived and written; or those of the run that is resumed."""
    device = choose_device(request.device)
    if folder.settings.exists():
        settings = read_settings(folder.settings)
        asked = validated_settings(merged(settings.model_dump(), request.said))
        if asked != settings:
            raise InputError(
                "settings that differ from those of the run",
                f"the run of {folder.settings}",
                "resume without them, or start a new run",
            )
        return settings, device
    facts = look_at(dataset, items)
    machine = this_machine(device.type)
    said = request.said
    if request.start_from is not None:
        started = request.start_from.settings
        said = merged(
            {
                "network": started.network.model_dump(exclude={"channels", "classes"}),
                "intensity": started.intensity.model_dump(),
            },
            said,
        )
    settings, choices = derive_settings(facts, machine, request.preset, said)
    chosen: dict[str, Any] = {"precision": choose_precision(settings.training.precision, device)}
    if settings.training.steps is None and settings.training.minutes is None:
        chosen["minutes"] = settings.training.default_minutes
    settings = validated_settings(merged(settings.model_dump(), {"training": chosen}))
    write_settings(settings, folder.settings)
    for choice in choices:
        on_record({"kind": "choice", **asdict(choice)})
        append_record(folder, {"kind": "choice", **asdict(choice)})
    return settings, device


def _check_same_data(folder: RunFolder, data: TrainingData) -> None:
    for record in read_records(folder):
        if record["kind"] == "start" and record["data_hash"] != data.data_hash:
            raise InputError(
                "other images or labels than the run began with",
                "the same data to resume it",
                "start a new run (--from takes its weights along)",
            )


def _start_from(network: torch.nn.Module, model: ModelFile) -> None:
    """Copy the weights of a trained network; a last layer for other classes starts anew."""
    own = network.state_dict()
    fitting = {k: v for k, v in model.weights.items() if k in own and own[k].shape == v.shape}
    if len(fitting) < len(own) - 4:
        raise InputError(
            "a model of another network", "one of the same kind, width and depth", "see inspect"
        )
    network.load_state_dict(fitting, strict=False)


def _learn(run: Run, learner: Learner, position: Position) -> Position:
    """Steps until the budget is used, with validations and checkpoints on the way."""
    settings, training = run.settings, run.settings.training
    footprint = settings.network.footprint
    output = footprint.input_for((training.patch_px or 1,) * settings.network.dimensions)
    output_shape = footprint.output_shape(output)
    images = tuple(
        TrainingImage(i.name, i.image.to(run.device), i.truth.to(run.device))
        for i in run.data.training
    )
    total_s = None if training.minutes is None else training.minutes * 60
    before_s = time.monotonic() - run.started
    reserve_s = 1.0 + 0.02 * (total_s or 0)
    began = time.monotonic() - position.used_s
    n_marks = training.validations if run.data.validation else 0
    step, best = position.step, position.best_score
    validated = logged = saved = _progress(training, total_s, before_s, reserve_s, position)
    saved_at, losses, sampling_s = time.monotonic(), [], 0.0
    while True:
        here = Position(step, time.monotonic() - began, best)
        progress = _progress(training, total_s, before_s, reserve_s, here)
        if n_marks and math.floor(progress * n_marks) > math.floor(validated * n_marks):
            validated = progress
            asked = time.monotonic()
            result = _validate(run, learner, step)
            reserve_s = 1.0 + 4 * (time.monotonic() - asked)
            if best is None or result.value > best:
                best = result.value
                write_model(_model(run, trained_weights(learner), here, result), run.folder.best)
        if progress >= 1:
            break
        ready = time.monotonic()
        batch = draw_batch(
            images,
            range(step * training.batch, (step + 1) * training.batch),
            output,
            output_shape,
            settings.augmentation,
            training.foreground_sampling,
            training.seed,
        )
        sampling_s += time.monotonic() - ready
        rate = learning_rate(training, progress)
        losses.append(train_step(learner, batch, rate, step, training))
        step += 1
        now = time.monotonic()
        record = {
            "kind": "step",
            "step": step,
            "loss": sum(losses) / len(losses),
            "rate": rate,
            "progress": progress,
            "used_s": now - began,
            "sampling_share": sampling_s / (now - began - position.used_s),
        }
        run.on_record(record)
        if progress - logged >= LOG_SHARE or step == 1:
            append_record(run.folder, record)
            logged, losses = progress, []
        if now - saved_at >= CHECKPOINT_S and progress - saved >= CHECKPOINT_SHARE:
            here = Position(step, now - began, best)
            write_checkpoint(learner, here, run.folder.checkpoint)
            saved_at, saved = now, progress
    return Position(step, time.monotonic() - began, best)


def _progress(
    training: Any, total_s: float | None, before_s: float, reserve_s: float, position: Position
) -> float:
    seconds = None if total_s is None else total_s - before_s - reserve_s
    return Budget(training.steps, seconds).progress(position.step, position.used_s)


def _engine(run: Run, model: ModelFile) -> Engine:
    return torch_engine(network_of(model), run.device, run.settings.training.precision)


def _validate(run: Run, learner: Learner, step: int) -> Score:
    """Score the present weights on the validation images."""
    began = time.monotonic()
    model = _model(run, trained_weights(learner), Position(step), None)
    probabilities = predict_items(
        run.data.validation,
        _engine(run, model),
        run.settings,
        run.data.intensity,
        VALIDATION_TILE_PX[run.settings.network.dimensions],
    )
    result = score(probabilities, run.data.validation, run.dataset.labels_are, run.settings.objects)
    _log(
        run,
        {
            "kind": "validation",
            "step": step,
            "score": result.name,
            "value": result.value,
            "took_s": time.monotonic() - began,
            **result.details,
        },
    )
    return result


def _model(
    run: Run, weights: dict[str, torch.Tensor], position: Position, reached: Score | None
) -> ModelFile:
    names = run.dataset.class_names or (
        "background",
        *(("cell",) if run.dataset.n_classes == 2 else ()),
        *(f"class {k}" for k in range(1, run.dataset.n_classes) if run.dataset.n_classes > 2),
    )
    return ModelFile(
        settings=run.settings,
        weights=weights,
        class_names=names,
        intensity=run.data.intensity,
        provenance={
            "biounet": __version__,
            "torch": torch.__version__,
            "seed": run.settings.training.seed,
            "steps": position.step,
            "labels_are": run.dataset.labels_are,
            "n_training_images": len(run.data.training),
            "data_hash": run.data.data_hash,
            "score": None if reached is None else {reached.name: reached.value, **reached.details},
        },
    )


def _finish(run: Run, learner: Learner, position: Position, interrupted: bool) -> ModelFile:
    """Write the last and the best model, with the labels' settings found on validation images."""
    last = _model(run, trained_weights(learner), position, None)
    best = last
    if run.folder.best.exists():
        from biounet.model import read_model

        with suppress(InputError):
            best = read_model(run.folder.best)
    if run.data.validation and not interrupted:
        best = _tuned(run, best)
    last = replace(last, settings=best.settings)
    write_model(last, run.folder.last)
    write_model(best, run.folder.best)
    if not interrupted:
        finished = replace(position, finished=True)
        write_checkpoint(learner, finished, run.folder.checkpoint)
    _log(
        run,
        {
            "kind": "end",
            "step": position.step,
            "interrupted": interrupted,
            "used_s": position.used_s,
            "wall_s": time.monotonic() - run.started,
            "objects": best.settings.objects.model_dump(),
            "score": best.provenance["score"],
        },
    )
    return best


def _tuned(run: Run, best: ModelFile) -> ModelFile:
    """The best model with the labels' settings that score best on the validation images."""
    total_s = None if run.settings.training.minutes is None else run.settings.training.minutes * 60
    probabilities = predict_items(
        run.data.validation,
        _engine(run, best),
        run.settings,
        run.data.intensity,
        VALIDATION_TILE_PX[run.settings.network.dimensions],
    )
    objects = tune_objects(
        probabilities,
        run.data.validation,
        run.dataset.labels_are,
        run.settings.objects,
        lambda: total_s is not None and time.monotonic() - run.started > total_s - 1,
    )
    reached = score(probabilities, run.data.validation, run.dataset.labels_are, objects)
    settings = validated_settings(
        merged(best.settings.model_dump(), {"objects": objects.model_dump()})
    )
    provenance = {**best.provenance, "score": {reached.name: reached.value, **reached.details}}
    return replace(best, settings=settings, provenance=provenance)


def _log(run: Run, record: Record) -> None:
    append_record(run.folder, record)
    run.on_record(record)
