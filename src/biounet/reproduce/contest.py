"""One network's part: train, predict, score. Every piece that is finished is kept and not redone.

OUT/NETWORK/run/             its training run (see learning/run_folder.py)
            predicted/       one file an image: labels, or P(cell) for ISBI 2012
            predicted.jsonl  the images that are done, with the seconds each took
            result.json      its scores
"""

import json
import shlex
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import TypeAdapter, ValidationError

from biounet.api import Model, train_dataset
from biounet.config import RECIPES, merged, preset_named, validated_settings
from biounet.errors import InputError
from biounet.images.atomic import written_whole
from biounet.images.dataset import Annotated, DataSet, read_item
from biounet.images.reading import read_image
from biounet.images.writing import write_image
from biounet.learning.checkpoint import read_position
from biounet.learning.run_folder import Record, RunFolder, read_records
from biounet.learning.setup import Request
from biounet.network_settings import SlidingWindowSettings
from biounet.prediction.engines import choose_device
from biounet.prediction.instances import label_objects
from biounet.prediction.predictor import make_predictor, predict_plane
from biounet.report import write_report
from biounet.reproduce.calibration import choose_odds_factor, scale_odds
from biounet.reproduce.scoring import score_predictions
from biounet.reproduce.tasks import Kind
from biounet.reproduce.time_left import Phase

OnPhase = Callable[[Phase, float], None]
"""Called with what a network is at, and the share of it that is done, 0..1."""


@dataclass(frozen=True)
class Contestant:
    """A network that takes part.

    Attributes:
        name: of its folder.
        title: of its row.
        network: its settings, `kind` among them; the others are the preset's.
    """

    name: str
    title: str
    network: dict[str, Any]


NETWORKS = (
    Contestant("unet", "U-Net", {"kind": "unet"}),
    Contestant("sliding-window", "sliding window N4", {"kind": "sliding-window"}),
    Contestant("fcn", "FCN", {"kind": "fcn"}),
)


@dataclass(frozen=True)
class Terms:
    """What is the same for every contestant.

    Attributes:
        minutes: of training each, from reading the images to the best weights and the settings
            of labels, validation included; None: as the settings say.
        preset: `fast` or `paper`.
        average: `none`, `d4` or `rotations:N`, at prediction.
        device: `auto`, `cpu`, `cuda` or `mps`.
        said: any other settings, a tree of names as in `settings.yaml`.
    """

    minutes: float | None
    preset: str
    average: str
    device: str
    said: dict[str, Any]

    def said_of(self, contestant: Contestant) -> dict[str, Any]:
        """What is said of one contestant's settings, the budget included."""
        budget = {} if self.minutes is None else {"training": {"minutes": self.minutes}}
        return merged(merged({"network": contestant.network}, self.said), budget)

    @property
    def training_s(self) -> float | None:
        """Seconds of each training; None where it is counted in steps."""
        training = self.said.get("training", {})
        if self.minutes is None and "steps" in training:
            return None
        usual = preset_named(self.preset).training.default_minutes
        return 60 * float(self.minutes or training.get("minutes") or usual)


@dataclass(frozen=True)
class NetworkResult:
    """What a contestant reached.

    Attributes:
        scores: of all images together; `images`: of each; `at_thresholds`: as lists.
        seconds: of each image, from pixels to the result, in order.
        image_px: the median number of pixels of an image.
        held_out: what of the training part chose the best weights.
        remark: what must be known to read the scores; "" where there is nothing.
        odds_factor: on the odds of cell, see `calibration.py`.
    """

    name: str
    title: str
    scores: dict[str, float]
    images: dict[str, dict[str, float]]
    at_thresholds: dict[str, tuple[float, ...]]
    seconds: tuple[float, ...]
    image_px: int
    training_minutes: float
    steps: int
    n_parameters: int
    window_px: int | None
    device: str
    threads: int
    held_out: str
    remark: str = ""
    odds_factor: float = 1.0

    @property
    def seconds_per_image(self) -> float:
        """The median: a first image that is slow changes nothing."""
        return float(np.median(self.seconds))


def check_settings(contestants: Sequence[Contestant], terms: Terms) -> None:
    """Raise InputError for settings that one of the contestants could not be trained with."""
    for contestant in contestants:
        kind = contestant.network["kind"]
        usual = merged(preset_named(terms.preset).model_dump(), RECIPES[kind])
        try:
            validated_settings(merged(usual, terms.said_of(contestant)))
        except InputError as error:
            raise InputError(
                f"{error.found} (for {contestant.title})", error.wanted, error.remedy
            ) from None


def window_contestant(window_px: int) -> Contestant:
    """The sliding window with another window, in as many stages as it allows.

    Raises:
        InputError: no number of stages allows it.
    """
    for stages in (4, 3, 2, 1):
        try:
            SlidingWindowSettings(stages=stages, window_px=window_px)
        except ValidationError:
            continue
        return Contestant(
            f"window-{window_px}",
            f"sliding window, {window_px} px, {stages} {'stages' if stages > 1 else 'stage'}",
            {"kind": "sliding-window", "window_px": window_px, "stages": stages},
        )
    raise InputError(
        f"a window of {window_px} px",
        "5, 7, … for 1 stage, 15, 19, … for 2, 31, 39, … for 3, 63, 79, 95, … px for 4",
        "choose such a window",
    )


def compete(
    contestant: Contestant,
    terms: Terms,
    kind: Kind,
    training: DataSet,
    scored: Sequence[Annotated],
    folder: Path,
    on_phase: OnPhase,
) -> NetworkResult:
    """Train, predict and score one network, or go on where it stopped.

    Args:
        training: the images to learn from.
        scored: those to score on.
        folder: its own; see above.
    """
    path = folder / "result.json"
    if path.exists():
        return read_result(path)
    model = _train(contestant, terms, training, folder / "run", on_phase)
    run = RunFolder(folder / "run")
    started = next((r for r in read_records(run) if r["kind"] == "start"), {})
    factor = _odds_factor(model, training, started) if kind == "isbi2012" else 1.0
    seconds = _predict(model, kind, factor, scored, folder, on_phase)
    predictions = [read_prediction(folder, image.name) for image in scored]
    on_phase("scoring", 0.0)
    scores = score_predictions(
        kind, predictions, scored, lambda n: on_phase("scoring", n / len(scored))
    )
    trained = read_position(run.checkpoint)
    network = model.file.settings.network
    result = NetworkResult(
        name=contestant.name,
        title=contestant.title,
        scores=scores.values,
        images=scores.images,
        at_thresholds=scores.at_thresholds,
        seconds=seconds,
        image_px=int(np.median([image.labels.size for image in scored])),
        training_minutes=trained.used_s / 60,
        steps=trained.step,
        n_parameters=sum(w.numel() for w in model.file.weights.values()),
        window_px=network.window_px if isinstance(network, SlidingWindowSettings) else None,
        device=str(choose_device(terms.device)),
        threads=torch.get_num_threads(),
        held_out=started.get("split", "as its run says"),
        remark=scores.remark,
        odds_factor=factor,
    )
    with written_whole(path) as temporary:
        temporary.write_text(json.dumps(asdict(result), indent=1) + "\n")
    return result


def read_result(path: Path) -> NetworkResult:
    """A result that was written.

    Raises:
        InputError: the file is damaged.
    """
    try:
        return TypeAdapter(NetworkResult).validate_json(path.read_bytes())
    except ValidationError as error:
        raise InputError(
            f"{path}, which is damaged ({error.errors()[0]['msg']})",
            "a result",
            "remove it, and the network is scored again",
        ) from None


def _train(
    contestant: Contestant, terms: Terms, training: DataSet, folder: Path, on_phase: OnPhase
) -> Model:
    """The best model of a run that goes on where it stopped."""
    request = Request(
        preset=terms.preset,
        said=terms.said_of(contestant),
        device=terms.device,
        start_from=None,
        started=time.monotonic(),
        command=shlex.join(["biounet", *sys.argv[1:]]),
    )

    def on_record(record: Record) -> None:
        if record["kind"] == "step":
            on_phase("training", min(record["progress"], 0.999))

    on_phase("training", 0.0)
    model = train_dataset(training, request, folder, True, on_record)
    write_report(folder)
    on_phase("training", 1.0)
    predictor = make_predictor(model.file, terms.device, "auto", None, terms.average)
    return Model(model.file, predictor)


def _odds_factor(model: Model, training: DataSet, started: Record) -> float:
    """Found on the whole images that training held out."""
    held_out = set(started.get("validation", ()))
    items = [read_item(item) for item in training.items if item.name in held_out]
    probabilities = [1 - predict_plane(model.predictor, item.image)[0] for item in items]
    return choose_odds_factor(probabilities, [item.labels for item in items])


def _predict(
    model: Model,
    kind: Kind,
    odds_factor: float,
    scored: Sequence[Annotated],
    folder: Path,
    on_phase: OnPhase,
) -> tuple[float, ...]:
    """Predict the images that are not done yet; the seconds that each took."""
    ledger = folder / "predicted.jsonl"
    (folder / "predicted").mkdir(exist_ok=True)
    done = _read_ledger(ledger)
    on_phase("predicting", 0.0)
    for number, image in enumerate(scored, start=1):
        path = prediction_path(folder, image.name)
        if image.name not in done or not path.exists():
            began = time.perf_counter()
            probabilities = predict_plane(model.predictor, image.image)
            if kind == "isbi2012":
                result: NDArray[Any] = scale_odds(1 - probabilities[0], odds_factor)
            else:
                labels = label_objects(probabilities, model.file.settings.objects)
                result = labels.astype(np.uint16 if labels.max(initial=0) < 2**16 else np.uint32)
            done[image.name] = time.perf_counter() - began
            write_image(path, result, "YX", compression="zlib")
            with ledger.open("a") as file:
                line = {"name": image.name, "seconds": done[image.name]}
                file.write(json.dumps(line) + "\n")
        on_phase("predicting", number / len(scored))
    return tuple(done[image.name] for image in scored)


def _read_ledger(path: Path) -> dict[str, float]:
    """Seconds by image; a line that a killed process left unfinished is skipped."""
    done = {}
    for text in path.read_text().splitlines() if path.exists() else []:
        try:
            line = json.loads(text)
        except json.JSONDecodeError:
            continue
        done[line["name"]] = float(line["seconds"])
    return done


def prediction_path(folder: Path, name: str) -> Path:
    """The file of one image's prediction."""
    return folder / "predicted" / f"{name.replace('/', '_')}.tif"


def read_prediction(folder: Path, name: str) -> NDArray[Any]:
    """The prediction of one image, (Y, X): labels, or P(cell)."""
    return np.asarray(read_image(prediction_path(folder, name)).data)
