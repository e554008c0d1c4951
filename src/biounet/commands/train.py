"""Training."""

import shlex
import sys
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from biounet.commands.output import command_started, say
from biounet.commands.said import said_settings
from biounet.errors import InputError


def train(
    *data: Path,
    out: Path,
    preset: Literal["fast", "paper"] | None = None,
    network: Literal["unet", "sliding-window", "fcn"] | None = None,
    steps: int | None = None,
    minutes: float | None = None,
    images: Path | None = None,
    labels: Path | None = None,
    labels_are: Literal["instances", "mask", "classes"] | None = None,
    ignore_value: int | None = None,
    truth: Literal["gold", "silver", "gold+silver"] = "gold",
    axes: Literal["YX", "ZYX"] | None = None,
    validation: str | None = None,
    start_from: Annotated[str | None, Parameter(name="--from")] = None,
    seed: int | None = None,
    device: str = "auto",
    settings: Path | None = None,
    change: Annotated[tuple[str, ...], Parameter(name="--set")] = (),
    resume: bool = False,
) -> None:
    """Train a network on annotated images.

    Example: `biounet train my-folder --out my-run --minutes 20`

    In several processes: `torchrun --nproc-per-node 4 -m biounet train my-folder --out my-run`

    Parameters
    ----------
    data
        A folder with `images/` and `labels/`, a Cell Tracking Challenge folder, or an image stack
        and its label stack; see `biounet inspect`.
    out
        The run folder to write.
    preset
        `fast` (the default), or `paper` for the 2015 recipe.
    network
        The network; `unet` unless asked otherwise.
    steps
        Budget in steps.
    minutes
        Budget in minutes of wall time, everything included; 10 where no budget is given.
    images
        Folder or file of the images, where the labels lie elsewhere.
    labels
        Folder or file of the labels.
    labels_are
        What labels mean; found by looking if not said.
    ignore_value
        Label of pixels that nobody annotated.
    truth
        Which truth of the Cell Tracking Challenge.
    axes
        Whether pages are 2-D images (YX) or slices of volumes (ZYX).
    validation
        Share of the images held out (0 to 1), or a folder of other annotated images.
    start_from
        What to begin from: a model file, a run folder, or a network that comes with biounet
        (`biounet inspect` names them; a file or run folder of that name goes before).
    seed
        Seed of everything random.
    device
        auto, cpu, cuda or mps.
    settings
        A YAML file of settings, such as another run's `settings.yaml`.
    change
        Any setting, as `training.patch_px=292`; can be repeated.
    resume
        Go on with the run in `out`, or start it when nothing was saved yet.
    """
    from biounet.api import find_model, train_dataset
    from biounet.images.layouts.find import find_dataset
    from biounet.learning.processes import joined_processes
    from biounet.learning.setup import Request
    from biounet.progress import training_progress
    from biounet.report import write_report

    if steps is not None and minutes is not None:
        raise InputError("both --steps and --minutes", "one budget", "leave one out")
    said = said_settings(settings, change)
    training = said.setdefault("training", {})
    if steps is not None or minutes is not None:  # in place of any budget in a file of settings
        training |= {"steps": steps, "minutes": minutes}
    if seed is not None:
        training["seed"] = seed
    if network is not None:
        said.setdefault("network", {})["kind"] = network
    with joined_processes(device) as processes:
        dataset = find_dataset(data, images, labels, labels_are, ignore_value, truth, axes)
        held_out = None
        if validation is not None:
            try:
                said["training"]["validation_fraction"] = float(validation)
            except ValueError:
                held_out = find_dataset(
                    [Path(validation)],
                    labels_are=dataset.labels_are,
                    ignore_value=ignore_value,
                    truth=truth,
                    axes=dataset.axes,
                )
        request = Request(
            preset=preset or said.get("preset", "fast"),
            said=said,
            device=device,
            start_from=None if start_from is None else find_model(start_from),
            started=command_started(),
            command=shlex.join(["biounet", *sys.argv[1:]]),
            validation=held_out,
            processes=processes,
        )
        best = out / "best.safetensors"
        try:
            with training_progress(processes.is_first) as on_record:
                model = train_dataset(dataset, request, out, resume, on_record)
        except KeyboardInterrupt:
            if not best.exists():
                raise
            raise KeyboardInterrupt(f"the model so far is {best}, --resume goes on") from None
    if not processes.is_first:
        return
    score = model.file.provenance["score"]
    say(f"model: {best}")
    say(f"report: {write_report(out)}")
    if score:
        say("validation: " + ", ".join(f"{name} {value:.3f}" for name, value in score.items()))
