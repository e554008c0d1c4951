"""Training and segmentation in a thread: one job at a time, stopped when asked.

While a network learns, what it makes of the open image is computed again every few seconds, for
as large a part of the view as takes about `PREVIEW_S`.
"""

import logging
import shlex
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from threading import Event, Lock, Thread
from typing import Literal

from biounet.errors import InputError
from biounet.learning.run_folder import Record, RunFolder, open_run
from biounet.learning.setup import Request
from biounet.learning.training import train
from biounet.model import Intensity, ModelFile, read_model, write_model
from biounet.prediction.engines import choose_device, choose_precision
from biounet.prediction.predictor import (
    Predictor,
    make_predictor,
    plane_intensity,
    predict_plane,
    predict_region,
)
from biounet.studio.events import Events
from biounet.studio.folder import ImageFolder
from biounet.studio.marked import Marked, dataset_of, settings_for
from biounet.studio.predictions import Predictions, Sight
from biounet.studio.pyramid import Pyramid
from biounet.studio.regions import plan_region, whole
from biounet.studio.runs import Known, newest, next_run

PREVIEW_S = 1.5
"""Aim for the time that one preview takes."""

PREVIEW_SHARE = 0.25
"""Previews take this share of the training time at the most, and come every 2 s at the most."""

KEEP_S = 20.0
"""While a network learns, its weights are written as a model so often: what is lost at most when
the machine stops, or the training fails."""

FIRST_PREVIEW_PX, LEAST_PREVIEW_PX = 512.0**2, 256.0**2

N_KEPT_LOSSES = 2000

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Status:
    """What the page shows of the job.

    Attributes:
        state: what is being done.
        problem: why the last job failed, in words.
        progress: share of the job that is done, 0..1.
        step: training steps of this job.
        model: name of the newest run with a model; None before the first.
    """

    state: Literal["idle", "preparing", "training", "segmenting"] = "idle"
    problem: str | None = None
    progress: float = 0.0
    step: int = 0
    model: str | None = None


class StoppedError(Exception):
    """The job was stopped by the person."""


class Trainer:
    """The one job of a studio, and what it left."""

    def __init__(
        self,
        folder: ImageFolder,
        events: Events,
        open_image: Callable[[str], Pyramid],
        before: Known | None,
    ) -> None:
        self._folder, self._events, self._open_image = folder, events, open_image
        self._before = before
        self._lock, self._stop = Lock(), Event()
        self._thread: Thread | None = None
        self._told = self._previewed = 0.0
        self._preview_took, self._s_per_px = 0.0, PREVIEW_S / FIRST_PREVIEW_PX
        self._intensities: dict[tuple[str, int], Intensity] = {}
        self.view: Sight | None = None
        self.predictions = Predictions(events)
        self.losses: list[tuple[int, float]] = []
        self.status = Status(model=self._name_of_newest())

    @property
    def newest(self) -> Known | None:
        """The model that segments, and that a training goes on from."""
        return newest(self._folder, self._before)

    def _name_of_newest(self) -> str | None:
        return None if self.newest is None else self.newest.name

    def train(self, marked: Callable[[], Marked], minutes: float, afresh: bool) -> None:
        """Begin to train on what is annotated, from the last weights.

        `afresh`: from those that were there before the first run, or random ones.

        Raises:
            InputError: something is running already.
        """
        self._begin("preparing", lambda: self._train(marked(), minutes, afresh))

    def segment(self, name: str, planes: Sequence[int] = (0,)) -> None:
        """Begin to segment whole planes of an image with the newest model.

        Raises:
            InputError: something is running already, or there is no model yet.
        """
        known = self.newest
        if known is None:
            raise InputError("no model yet", "a trained network", "press Train first")
        self._begin("segmenting", lambda: self._segment(name, planes, read_model(known.path)))

    def stop(self) -> None:
        """Ask the job to end; a training keeps its weights."""
        self._stop.set()

    def close(self) -> None:
        """Stop, and wait until the weights are kept."""
        self.stop()
        if self._thread is not None:
            self._thread.join()

    def _begin(self, state: Literal["preparing", "segmenting"], job: Callable[[], None]) -> None:
        with self._lock:
            if self._thread is not None and self._thread.is_alive():
                raise InputError(f"a job that runs ({self.status.state})", "one", "stop it first")
            self._stop.clear()
            self._tell(Status(state, model=self.status.model))
            self._thread = Thread(target=self._run, args=(job,), name="studio-job", daemon=True)
            self._thread.start()

    def _run(self, job: Callable[[], None]) -> None:
        problem = None
        try:
            job()
        except (StoppedError, KeyboardInterrupt):
            pass
        except InputError as error:
            problem = str(error)
        except OSError as error:  # the folder is gone, the disk is full
            problem = f"the system's error {error.strerror!r} at {error.filename}"
        except MemoryError:
            problem = "not enough memory for this"
        except Exception as error:  # whatever a training dies of belongs into the page
            logger.exception("the job failed")
            problem = f"{type(error).__name__}: {' '.join(str(error).split())[:500]}"
        model = self._name_of_newest()
        self._tell(replace(self.status, state="idle", problem=problem, model=model))

    def _tell(self, status: Status) -> None:
        self.status, self._told = status, time.monotonic()
        self._events.publish("status", asdict(status))

    def _train(self, marked: Marked, minutes: float, afresh: bool) -> None:
        started = time.monotonic()
        known = self._before if afresh else self.newest
        start_from = None if known is None else read_model(known.path)
        out = next_run(self._folder)
        dataset = dataset_of(marked)
        words = ["biounet", "train", str(self._folder.root), "--out", str(out)]
        request = Request(
            preset="fast",
            said=settings_for(dataset, minutes, start_from),
            device="auto",
            start_from=start_from,
            started=started,
            command=shlex.join([*words, *(() if known is None else ("--from", str(known.path)))]),
        )
        before = self.losses[-1][0] if self.losses and not afresh else 0
        self.losses = self.losses if before else []
        self._previewed = time.monotonic()

        def on_record(record: Record) -> None:
            if record["kind"] == "step":
                self._on_step(record, before)

        kept_at = time.monotonic()

        def on_present(present: Callable[[], ModelFile]) -> None:
            nonlocal kept_at
            if time.monotonic() - kept_at > KEEP_S:
                write_model(present(), RunFolder(out).last)
                kept_at = time.monotonic()
            self._preview_if_due(present)

        model = train(dataset, request, open_run(out, False), on_record, on_present)
        self._preview(model)

    def _on_step(self, record: Record, before: int) -> None:
        if self._stop.is_set():
            raise KeyboardInterrupt  # as Ctrl-C: the training keeps its weights and ends
        point = (before + record["step"], float(record["loss"]))
        self.losses.append(point)
        if len(self.losses) > N_KEPT_LOSSES:
            self.losses = self.losses[:-200:2] + self.losses[-200:]
        if time.monotonic() - self._told > 0.2:
            self._tell(
                replace(
                    self.status,
                    state="training",
                    step=record["step"],
                    progress=record["progress"],
                )
            )
            self._events.publish("loss", {"step": point[0], "loss": point[1]})

    def _preview_if_due(self, present: Callable[[], ModelFile]) -> None:
        waited = time.monotonic() - self._previewed
        if self.view is not None and waited > max(2.0, self._preview_took / PREVIEW_SHARE):
            self._preview(present())

    def _preview(self, model: ModelFile) -> None:
        if self.view is None:
            return
        began = time.monotonic()
        sight = self.view
        image = self._open_image(sight.name)
        if not _fits(model, image):
            return
        most_px = max(PREVIEW_S / self._s_per_px, LEAST_PREVIEW_PX)
        box = plan_region(sight.box, image.shape, most_px)
        intensity = self._intensity(sight, image, model)
        predictor = _predictor(model)
        ready = time.monotonic()
        pixels = image.pixels[sight.plane]
        probabilities = predict_region(predictor, pixels, intensity, *box.corners())
        s_per_px = (time.monotonic() - ready) / (box.height * box.width)
        self._s_per_px = (self._s_per_px + s_per_px) / 2
        self.predictions.keep(Sight(sight.name, sight.plane, box), probabilities, model)
        self._previewed = time.monotonic()
        self._preview_took = self._previewed - began

    def _intensity(self, sight: Sight, image: Pyramid, model: ModelFile) -> Intensity:
        """That of the whole plane, computed once where it depends on the plane alone."""
        if model.settings.intensity.source == "training-set":
            return model.intensity
        key = (sight.name, sight.plane)
        if key not in self._intensities:
            self._intensities[key] = plane_intensity(model, image.pixels[sight.plane])
        return self._intensities[key]

    def _segment(self, name: str, planes: Sequence[int], model: ModelFile) -> None:
        image = self._open_image(name)
        if not _fits(model, image):
            raise InputError(
                f"{name} with {image.pixels.shape[1]} channels",
                f"{model.settings.network.channels}, as the model learned from",
                "train on this image, too: that learns its channels anew",
            )
        predictor = _predictor(model)
        n_tiles, done = len(planes) * len(predictor.plan(image.shape)), 0

        def on_tile() -> None:
            nonlocal done
            done += 1
            if self._stop.is_set():
                raise StoppedError
            self._tell(replace(self.status, progress=done / n_tiles))

        for plane in planes:
            probabilities = predict_plane(predictor, image.pixels[plane], on_tile)
            self.predictions.keep(Sight(name, plane, whole(image.shape)), probabilities, model)


def _fits(model: ModelFile, image: Pyramid) -> bool:
    """Whether an image has as many channels as the model takes."""
    return bool(image.pixels.shape[1] == model.settings.network.channels)


def _predictor(model: ModelFile) -> Predictor:
    """In the precision of trainings here: nothing is measured while a person waits."""
    precision = choose_precision("auto", choose_device("auto"))
    return make_predictor(model, "auto", precision, None, "none")


def losses_to_show(losses: list[tuple[int, float]], most: int = 400) -> list[tuple[int, float]]:
    """Every n-th of many losses, the last one always."""
    stride = max(1, len(losses) // most)
    return losses[:-1:stride] + losses[-1:]
