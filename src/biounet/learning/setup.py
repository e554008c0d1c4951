"""From a request to a run that is set up: settings derived or read, images split and prepared."""

import platform
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import torch

from biounet.config import Settings, merged, read_settings, validated_settings, write_settings
from biounet.errors import InputError
from biounet.images.dataset import Annotated, DataSet, Item, read_item
from biounet.learning.derive import Choice, Facts, derive_settings, look_at, this_machine
from biounet.learning.gallery import write_training_gallery
from biounet.learning.gallery_views import training_gallery
from biounet.learning.preparation import Split, prepare, split_items
from biounet.learning.processes import ALONE, Processes, from_all, from_first, share_of
from biounet.learning.run import Run, log
from biounet.learning.run_folder import Record, RunFolder, make_folder, read_records
from biounet.model import ModelFile
from biounet.network_settings import EnsembleSettings
from biounet.networks import build_network
from biounet.prediction.engines import choose_device, choose_precision
from biounet.version import __version__


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
        validation: other annotated images to score on; None: some are held out.
        processes: who computes; settings and folder are those that the first one sees.
    """

    preset: str
    said: dict[str, Any]
    device: str
    start_from: ModelFile | None
    started: float
    command: str
    validation: DataSet | None = None
    processes: Processes = ALONE


def set_up(
    dataset: DataSet, request: Request, folder: RunFolder, on_record: Callable[[Record], None]
) -> Run:
    """Read the images, settle the settings, split and prepare.

    Raises:
        InputError: data or settings that do not fit together, or, on resuming, that differ from
            those the run began with.
    """
    items = _read_annotated(dataset.items)
    if n_left_out := len(dataset.items) - len(items):
        note = f"{n_left_out} of {len(dataset.items)} images have no annotated pixel: left out"
        dataset = replace(dataset, notes=(*dataset.notes, note))
    processes, facts = request.processes, look_at(dataset, items)
    settings, choices, resumed = from_first(processes, lambda: _settle(facts, request, folder))
    training = settings.training
    share_of(processes, training.patches_per_step)
    if request.validation is None:
        split = split_items(
            items,
            training.validation_fraction,
            training.validation_most,
            settings.network.footprint,
            training.seed,
        )
    else:
        held_out = _read_like(dataset, request.validation)
        split = Split(items, held_out, f"{len(held_out)} images of their own")
    data = prepare(split, dataset, settings)
    run = Run(
        folder=folder,
        settings=settings,
        data=data,
        dataset=dataset,
        facts=facts,
        device=choose_device(request.device),
        processes=processes,
        started=request.started,
        fixed_objects=frozenset(request.said.get("objects", {})),
        on_record=on_record,
    )
    _check_alike(from_all(processes, (__version__, torch.__version__, data.data_hash)))
    if not processes.is_first:
        return run
    started = [r for r in read_records(folder) if r["kind"] == "start"]
    if started and started[0]["data_hash"] != data.data_hash:
        raise InputError(
            "other images or labels than the run began with",
            "the same data to resume it",
            "start a new run (--from takes its weights along)",
        )
    if not resumed:
        make_folder(folder)
        write_settings(settings, folder.settings)
        for choice in choices:
            log(run, {"kind": "choice", **asdict(choice)})
    if not started:
        write_training_gallery(training_gallery(split, data, dataset, settings), folder)
        log(run, _start_record(run, split, request))
    return run


def _check_alike(of_all: Sequence[tuple[str, str, str]]) -> None:
    """Whether all processes have the same biounet, PyTorch and data."""
    for name, values in zip(
        ("biounet", "PyTorch", "images and labels"), zip(*of_all, strict=True), strict=True
    ):
        other = next((rank for rank, value in enumerate(values) if value != values[0]), None)
        if other is not None:
            raise InputError(
                f"{name} {values[other][:12]} in process {other}, {values[0][:12]} in process 0",
                f"the same {name} in all processes",
                "install the same versions and show all machines the same data",
            )


def _start_record(run: Run, split: Split, request: Request) -> Record:
    return {
        "kind": "start",
        "version": __version__,
        "torch": torch.__version__,
        "command": request.command,
        "layout": run.dataset.layout,
        "notes": list(run.dataset.notes),
        "split": split.why,
        "training": [i.name for i in run.data.training],
        "validation": [i.name for i in run.data.validation],
        "class_weight": run.data.class_weight,
        "data_hash": run.data.data_hash,
        "device": str(run.device),
        "processes": run.processes.n,
        "patches_per_step": run.settings.training.patches_per_step,
        "threads": torch.get_num_threads(),
        "cores": this_machine(run.device.type).n_cores,
        "python": platform.python_version(),
        "system": platform.platform(),
        "setup_s": time.monotonic() - request.started,
    }


def _read_annotated(items: Sequence[Item]) -> tuple[Annotated, ...]:
    """The images that have an annotated pixel: the others teach nothing, and have no score.

    Raises:
        InputError: none has.
    """
    read = (read_item(item) for item in items)
    kept = tuple(item for item in read if item.annotated is None or item.annotated.any())
    if not kept:
        raise InputError("no annotated pixel", "annotated images", "check the labels")
    return kept


def _read_like(dataset: DataSet, validation: DataSet) -> tuple[Annotated, ...]:
    """The validation images, their labels understood as those to learn from.

    Raises:
        InputError: other channels, dimensions, or values of classes than the training images have.
    """
    meaning = dataset.items[0].meaning
    strange = {v for item in validation.items for v in item.meaning.values} - set(meaning.values)
    for what, found, wanted in (
        ("channels", validation.n_channels, dataset.n_channels),
        ("axes", validation.axes, dataset.axes),
        ("labels", validation.labels_are, dataset.labels_are),
        ("label values", sorted(strange), []),
    ):
        if found != wanted:
            raise InputError(
                f"validation images with other {what} ({found}) than the training images have",
                f"{wanted or meaning.values}, as in training",
                "give images of the same kind to --validation",
            )
    return _read_annotated([replace(item, meaning=meaning) for item in validation.items])


def _settle(
    facts: Facts, request: Request, folder: RunFolder
) -> tuple[Settings, tuple[Choice, ...], bool]:
    """The settings, why they were chosen, and whether the run began earlier."""
    if folder.settings.exists():
        return _settings_of_resumed(request, folder), (), True
    return *_settings(facts, request), False


def _settings_of_resumed(request: Request, folder: RunFolder) -> Settings:
    """The settings that a run began with; what is asked now must agree."""
    settings = read_settings(folder.settings)
    if validated_settings(merged(settings.model_dump(), request.said)) != settings:
        raise InputError(
            "settings that differ from those of the run",
            f"those of {folder.settings}",
            "resume without them, or start a new run",
        )
    return settings


def _settings(facts: Facts, request: Request) -> tuple[Settings, tuple[Choice, ...]]:
    """The settings of a new run, derived from data and machine."""
    device = choose_device(request.device)
    said = request.said
    if request.start_from is not None:
        started = request.start_from.settings
        dimensions = len(facts.shapes[0])
        if isinstance(started.network, EnsembleSettings):
            raise InputError("an ensemble to start from", "a single model", "name one it holds")
        if started.network.dimensions != dimensions:
            raise InputError(
                f"a {started.network.dimensions}-D model to start from, {dimensions}-D data",
                "a model of as many dimensions",
                "leave --from out, or name another model",
            )
        said = merged(
            {
                "network": started.network.model_dump(exclude={"channels", "classes"}),
                "intensity": started.intensity.model_dump(),
            },
            said,
        )
    machine, processes = this_machine(device.type), request.processes
    settings, choices = derive_settings(
        facts,
        replace(machine, memory_bytes=machine.memory_bytes // processes.n_here),
        request.preset,
        said,
    )
    if request.start_from is not None:
        choices = _taken_over(request.start_from, settings, choices)
    if settings.training.steps is not None and settings.training.minutes is not None:
        raise InputError("both training.steps and training.minutes", "one budget", "leave one out")
    chosen: dict[str, Any] = {"precision": choose_precision(settings.training.precision, device)}
    if processes.n > 1 and "processes" not in said.get("training", {}):
        chosen["processes"] = processes.n
        n_each = settings.training.batch
        why = f"a step takes {n_each * processes.n}: {n_each} in each process"
        choices += (Choice("training.processes", processes.n, why),)
    if settings.training.steps is None and settings.training.minutes is None:
        chosen["minutes"] = settings.training.default_minutes
    return validated_settings(merged(settings.model_dump(), {"training": chosen})), choices


def _taken_over(
    start_from: ModelFile, settings: Settings, choices: tuple[Choice, ...]
) -> tuple[Choice, ...]:
    """The choices, told where another model made them, and which layers it does not fit."""
    theirs, own = start_from.settings.network, settings.network
    said = [
        Choice(
            "network.kind",
            own.kind,
            "as in the model that training starts from, in all but what follows",
        )
    ]
    for name, layer in (("channels", "first"), ("classes", "last")):
        here, there = getattr(own, name), getattr(theirs, name)
        if here != there:
            why = f"training starts from a model with {there}: its {layer} layer is learned anew"
            said.append(Choice(f"network.{name}", here, why))
    names = {choice.name for choice in said}
    return (*said, *(choice for choice in choices if choice.name not in names))


def initial_network(settings: Settings, start_from: ModelFile | None) -> torch.nn.Module:
    """A network with random weights of the run's seed, or those of another model.

    The last layer for other classes, and the first one for other channels, are learned anew.

    Raises:
        InputError: the other model's network differs in more than these.
    """
    torch.manual_seed(settings.training.seed)
    network = build_network(settings.network)
    if start_from is None:
        return network
    theirs = start_from.settings.network
    may_differ = {name: getattr(theirs, name) for name in ("channels", "classes")}
    may_differ |= {"dropout": theirs.dropout} if hasattr(theirs, "dropout") else {}
    if settings.network.model_copy(update=may_differ) != theirs:
        raise InputError(
            "a model of another network", "one of the same kind, width and depth", "see inspect"
        )
    own = network.state_dict()
    fitting = {k: v for k, v in start_from.weights.items() if own[k].shape == v.shape}
    network.load_state_dict(fitting, strict=False)
    return network
