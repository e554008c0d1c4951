"""The command line: parses, calls, prints. Everything else lives below.

Imports of the package stand inside the commands, so that `--help` is instant.
"""

import shlex
import sys
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, Literal

from cyclopts import App, CycloptsError, Parameter

from biounet.errors import InputError
from biounet.version import __version__

app = App(
    name="biounet",
    help="Train a U-Net on a handful of annotated images; segment images of any size, seamlessly.",
    version=__version__,
    help_format="markdown",
    default_parameter=Parameter(negative=()),
)

Metrics = Literal["auto", "isbi2012", "ctc", "overlap", "matching"]
LabelsAre = Literal["instances", "mask", "classes"]


def main() -> None:
    """Run a command; a user's mistake is one line on standard error and exit code 2."""
    try:
        sys.exit(
            app(
                sys.argv[1:],
                exit_on_error=False,
                print_error=False,
                result_action="return_value",
            )
            or 0
        )
    except (InputError, CycloptsError) as error:
        print(f"biounet: {' '.join(str(error).split())}", file=sys.stderr)  # noqa: T201
        sys.exit(2)
    except OSError as error:  # a full disk, a folder that may not be written
        print(f"biounet: found {error}; wanted files to read and room to write", file=sys.stderr)  # noqa: T201
        sys.exit(2)
    except KeyboardInterrupt:
        print("biounet: stopped", file=sys.stderr)  # noqa: T201
        sys.exit(130)


def say(text: str) -> None:
    """Print a line of the result."""
    print(text)  # noqa: T201


def command_started() -> float:
    """`time.monotonic()` at the start of this process: what --minutes counts from."""
    import psutil

    return time.monotonic() - (time.time() - psutil.Process().create_time())


@app.command
def demo(*, out: Path = Path("demo"), minutes: float | None = None) -> None:
    """Simulate cells, train, predict, evaluate, report: no input needed.

    Example: `biounet demo --out demo`

    Parameters
    ----------
    out
        Folder for images, run and report; must not exist.
    minutes
        Training time.
    """
    from biounet.demo import run_demo
    from biounet.progress import training_progress

    with training_progress() as on_record:
        result = run_demo(out, minutes, command_started(), on_record)
    say(f"report: {result.report}")
    say(f"AP50 {result.ap50:.2f}")


@app.command
def train(
    *data: Path,
    out: Path,
    preset: Literal["fast", "paper"] | None = None,
    network: Literal["unet", "sliding-window", "fcn"] | None = None,
    steps: int | None = None,
    minutes: float | None = None,
    images: Path | None = None,
    labels: Path | None = None,
    labels_are: LabelsAre | None = None,
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
        Budget in minutes of wall time, everything included.
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
        Whether pages are 2-D images or slices of volumes.
    validation
        Share of the images held out (0 to 1), or a folder of other annotated images.
    start_from
        A model file, run folder or shipped network to begin from.
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
    from biounet.images.layouts import find_dataset
    from biounet.learning.setup import Request
    from biounet.progress import training_progress
    from biounet.report import write_report

    if steps is not None and minutes is not None:
        raise InputError("both --steps and --minutes", "one budget", "leave one out")
    said = _said(settings, change)
    flags = {"steps": steps, "minutes": minutes, "seed": seed}
    said.setdefault("training", {}).update({k: v for k, v in flags.items() if v is not None})
    if network is not None:
        said.setdefault("network", {})["kind"] = network
    held_out = None
    if validation is not None:
        try:
            said["training"]["validation_fraction"] = float(validation)
        except ValueError:
            held_out = find_dataset([Path(validation)], labels_are=labels_are, axes=axes)
    dataset = find_dataset(data, images, labels, labels_are, ignore_value, truth, axes)
    request = Request(
        preset=preset or said.get("preset", "fast"),
        said=said,
        device=device,
        start_from=None if start_from is None else find_model(start_from),
        started=command_started(),
        command=shlex.join(["biounet", *sys.argv[1:]]),
        validation=held_out,
    )
    with training_progress() as on_record:
        model = train_dataset(dataset, request, out, resume, on_record)
    score = model.file.provenance["score"]
    say(f"model: {out / 'best.safetensors'}")
    say(f"report: {write_report(out)}")
    if score:
        say("validation: " + ", ".join(f"{name} {value:.3f}" for name, value in score.items()))


def _said(settings: Path | None, changes: tuple[str, ...]) -> dict[str, Any]:
    """The settings that the user gave in a file and by --set, as a tree."""
    import yaml

    from biounet.config import merged, read_tree

    said: dict[str, Any] = {} if settings is None else read_tree(settings)
    for change in changes:
        name, equals, text = change.partition("=")
        if not equals or "." not in name:
            raise InputError(
                f"--set {change}", "section.name=value", "write it as --set training.patch_px=292"
            )
        value: Any = yaml.safe_load(text)
        for part in reversed(name.split(".")):
            value = {part: value}
        said = merged(said, value)
    return said


@app.command
def predict(
    model: Path,
    *inputs: Path,
    out: Path,
    save: str = "labels",
    tile: str = "auto",
    average: str = "none",
    engine: Literal["auto", "torch", "openvino", "onnx"] = "auto",
    precision: Literal["auto", "float32", "bfloat16", "float16"] = "auto",
    device: str = "auto",
    axes: str | None = None,
    workers: int = 1,
    scheduler: str | None = None,
) -> int:
    """Segment images of any size; run again, it does only what is missing.

    Example: `biounet predict my-run images/ --out segmented --save labels,table`

    Parameters
    ----------
    model
        A model file, a run folder, or the name of a shipped network.
    inputs
        Images, and folders of images.
    out
        Folder of the results.
    save
        Any of labels, probabilities, rois (ImageJ), geojson (QuPath), table, ctc, isbi2012.
    tile
        Side of the input tile in px, or auto.
    average
        `none`, `d4` (the 8 symmetries) or `rotations:N`.
    engine
        What computes.
    precision
        Of the computation.
    device
        `auto`, `cpu`, `cuda` or `mps`.
    axes
        Names of the inputs' axes, such as ZYX, in place of what the files say.
    workers
        Processes on this machine; the threads are divided among them.
    scheduler
        Address of a Dask scheduler whose workers compute instead.
    """
    from biounet.prediction.files import predict_files
    from biounet.prediction.options import PredictOptions, parse_save
    from biounet.progress import files_progress

    if tile != "auto" and not tile.isdecimal():
        raise InputError(f"--tile {tile}", "auto, or a side in px", "such as --tile 572")
    options = PredictOptions(
        save=parse_save(save),
        tile=None if tile == "auto" else int(tile),
        average=average,
        engine=engine,
        precision=precision,
        device=device,
        axes=axes,
        workers=workers,
        scheduler=scheduler,
    )
    with files_progress() as on_progress, warnings_as_lines():
        outcome = predict_files(model, inputs, out, options, on_progress)
    for note in outcome.notes:
        print(f"biounet: {note}", file=sys.stderr)  # noqa: T201
    for path, error in outcome.failed:
        print(f"biounet: {path} failed: {error}", file=sys.stderr)  # noqa: T201
    before = f" ({outcome.skipped} were there before)" if outcome.skipped else ""
    say(f"{len(outcome.done)} of {len(outcome.done) + len(outcome.failed)} images in {out}{before}")
    if not outcome.failed:
        return 0
    return 1 if outcome.done else 2


@app.command
def evaluate(
    prediction: Path,
    truth: Path,
    *,
    metrics: Metrics = "auto",
    json: Annotated[Path | None, Parameter(name="--json")] = None,
) -> None:
    """Score a prediction against the truth.

    Example: `biounet evaluate predicted/ labels/ --metrics matching --json scores.json`

    Parameters
    ----------
    prediction
        An image, stack or folder; for `ctc` a folder such as `01_RES`.
    truth
        The same of the truth; for `ctc` a folder such as `01_GT`.
    metrics
        `isbi2012` (probabilities), `ctc`, `overlap` (masks, classes) or `matching` (objects).
    json
        File for all scores, those at every threshold included.
    """
    from biounet.evaluation import evaluate_files, headline, write_scores
    from biounet.progress import counted_progress

    with counted_progress("scoring") as on_part, warnings_as_lines():
        scores = evaluate_files(prediction, truth, metrics, on_part)
    if json is not None:
        write_scores(scores, json)
    say(headline(scores))


@contextmanager
def warnings_as_lines() -> Iterator[None]:
    """Show warnings as plain lines on standard error, each once."""
    told = set()

    def show(message: Warning | str, *_: Any, **__: Any) -> None:
        if str(message) not in told:
            told.add(str(message))
            print(f"biounet: warning: {message}", file=sys.stderr)  # noqa: T201

    with warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.showwarning = show
        yield


@app.command
def inspect(*what: Path) -> None:
    """Say what data, a model or a run is, in one screen.

    Example: `biounet inspect my-folder`

    Parameters
    ----------
    what
        A folder of annotated images, an image and its labels, a model file, or a run folder.
    """
    from biounet.inspection import describe

    say(describe(list(what)))


@app.command
def report(run: Path) -> None:
    """Write a page about a run: curves, data, predictions, errors.

    Example: `biounet report my-run`

    Parameters
    ----------
    run
        A run folder.
    """
    from biounet.report import write_report

    say(f"report: {write_report(run)}")


@app.command
def export(
    model: str,
    *,
    format: Literal["onnx", "bioimageio"],  # noqa: A002 (the flag's name)
    out: Path,
) -> None:
    """Write a model for other programs: ONNX, or a bioimage.io package for Fiji and ilastik.

    Example: `biounet export my-run --format bioimageio --out cells.zip`

    Parameters
    ----------
    model
        A model file, a run folder, or the name of a shipped network.
    format
        `onnx`, or `bioimageio` (deepImageJ, ilastik, napari).
    out
        The file to write.
    """
    from biounet.api import find_model
    from biounet.export import export_model

    say(f"written: {export_model(find_model(model), format, out)}")


@app.command
def studio(folder: Path = Path(), *, port: int = 0, no_browser: bool = False) -> None:
    """Paint cells, train, and correct, in the browser.

    Example: `biounet studio my-images`

    Parameters
    ----------
    folder
        A folder of images; labels are saved beside them as they are painted.
    port
        Of the local server; 0: any that is free.
    no_browser
        Only print the address.
    """
    from biounet.studio import run_studio

    run_studio(folder, port, open_browser=not no_browser)


@app.command
def reproduce(
    task: Literal["isbi2012", "dic-hela", "phc-u373", "usiigaci", "nuclei", "lungs"],
    *,
    data: Path,
    out: Path,
    minutes: float | None = None,
    windows: str = "",
    preset: Literal["fast", "paper"] = "fast",
    average: str = "none",
    device: str = "auto",
    change: Annotated[tuple[str, ...], Parameter(name="--set")] = (),
) -> None:
    """Print the paper's tables beside U-Net, sliding window and FCN trained here, alike.

    Run again, it goes on where it stopped.

    Example: `biounet reproduce isbi2012 --data isbi2012/ --out tables/isbi2012 --minutes 20`

    Parameters
    ----------
    task
        Which of the data sets.
    data
        Its folder, in the layout that it is published in.
    out
        Folder for table (Markdown, JSON), page, runs and predictions.
    minutes
        Training time of each network; prediction and scores come on top.
    windows
        Sides in px of further sliding windows, as 31,63; accuracy is drawn against window.
    preset
        `fast`, or `paper` for the 2015 recipe.
    average
        `none`, `d4` (the 8 symmetries) or `rotations:N` (the paper: 7), at prediction.
    device
        auto, cpu, cuda or mps.
    change
        Any setting of all networks, as `training.seed=1`; can be repeated.
    """
    from biounet.progress import parts_progress
    from biounet.reproduce import Terms
    from biounet.reproduce import reproduce as run_task

    sides = [side.strip() for side in windows.split(",") if side.strip()]
    if wrong := [side for side in sides if not side.isdecimal()]:
        raise InputError(f"--windows {wrong[0]!r}", "sides in px", "write them as 31,63")
    terms = Terms(minutes, preset, average, device, _said(None, change))
    command = shlex.join(["biounet", *sys.argv[1:]])
    with parts_progress() as on_progress, warnings_as_lines():
        result = run_task(task, data, out, terms, [int(s) for s in sides], command, on_progress)
    say((out / "table.md").read_text(encoding="utf-8").rstrip())
    say(f"\nreport: {result.page}")


if __name__ == "__main__":
    main()
