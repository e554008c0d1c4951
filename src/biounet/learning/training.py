"""The training loop: steps, validations and checkpoints until the budget is used."""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

from biounet.images.dataset import DataSet
from biounet.learning.affinities import make_affinities
from biounet.learning.checkpoint import (
    Position,
    read_checkpoint,
    read_position,
    restore,
    write_checkpoint,
)
from biounet.learning.finish import REPORT_S, finish, validate
from biounet.learning.memory import kept_memory
from biounet.learning.processes import from_first, refuse_running_statistics, share_of
from biounet.learning.run import Run, log, model_of
from biounet.learning.run_folder import Record, RunFolder, append_record, forget_after
from biounet.learning.sampling import TrainingImage, draw_batch
from biounet.learning.schedule import Budget, learning_rate
from biounet.learning.setup import Request, initial_network, set_up
from biounet.learning.step import Learner, make_learner, train_step, trained_weights
from biounet.learning.tensorboard import tensorboard_curves
from biounet.learning.validation import score_noise
from biounet.model import ModelFile, read_model, write_model

CHECKPOINT_SHARE = 0.04
"""Share of the run between two checkpoints, if `checkpoint_s` has passed too."""

LOG_SHARE = 1 / 400
"""Share of the run between two lines of the log."""


def train(
    dataset: DataSet,
    request: Request,
    folder: RunFolder,
    on_record: Callable[[Record], None] = lambda _: None,
    on_step: Callable[[Callable[[], ModelFile]], None] = lambda _: None,
) -> ModelFile:
    """Train a network; go on where the folder's checkpoint stands.

    Every record of the log goes to `on_record` too, and every step besides; `on_step` is given,
    after every step, what makes a model of the present weights. After Ctrl-C the models are
    written before `KeyboardInterrupt` goes on. Of several processes only the first one reads and
    writes the folder, and the others get what it has.

    Returns:
        The best model (also in the folder).
    """
    processes = request.processes
    position = from_first(processes, lambda: read_position(folder.checkpoint))
    if position.finished:
        return from_first(processes, lambda: read_model(folder.best))
    resumed = folder.settings.exists()
    draw = tensorboard_curves(folder.path) if processes.is_first else lambda _: None

    def tell(record: Record) -> None:
        draw(record)
        on_record(record)

    run = set_up(dataset, request, folder, tell)
    training = run.settings.training
    network = initial_network(run.settings, request.start_from)
    refuse_running_statistics(processes, network)
    network.load_state_dict(from_first(processes, network.state_dict))
    affinities = make_affinities(run.settings)
    learner = make_learner(network, training, run.device, training.precision, affinities)
    checkpoint = from_first(
        processes,
        lambda: read_checkpoint(folder.checkpoint) if folder.checkpoint.exists() else None,
    )
    if checkpoint is not None:
        restore(learner, checkpoint)
        position = checkpoint.position
    if resumed and processes.is_first:
        forget_after(folder, position.step)
        log(run, _resumed_record(run, position.step))
    state = State(learner, position, time.monotonic() - position.used_s)
    try:
        with kept_memory():
            _learn(run, state, on_step)
    except KeyboardInterrupt:  # of several processes the first one gets it, and ends the others
        finish(run, learner, state.here(), interrupted=True)
        raise
    return from_first(processes, lambda: finish(run, learner, state.here(), interrupted=False))


def _resumed_record(run: Run, step: int) -> Record:
    return {
        "kind": "resumed",
        "step": step,
        "resumed_at_step": step,
        "processes": run.processes.n,
        "patches_per_step": run.settings.training.patches_per_step,
    }


@dataclass
class State:
    """What changes from step to step.

    Attributes:
        learner: network and optimiser.
        position: as of the last step.
        began: `time.monotonic()` when the budget began to run, earlier sittings taken off.
    """

    learner: Learner
    position: Position
    began: float

    def here(self) -> Position:
        """The position now."""
        return replace(self.position, used_s=time.monotonic() - self.began)


def _learn(run: Run, state: State, on_step: Callable[[Callable[[], ModelFile]], None]) -> None:
    """Steps until the budget is used, with validations and checkpoints on the way."""
    settings, training, processes = run.settings, run.settings.training, run.processes
    share = share_of(processes, training.patches_per_step)
    footprint = settings.network.footprint
    input_shape = footprint.input_for((training.patch_px,) * settings.network.dimensions)
    output_shape = footprint.output_shape(input_shape)
    images = tuple(
        TrainingImage(i.name, i.image.to(run.device), i.truth.to(run.device))
        for i in run.data.training
    )
    before_s = time.monotonic() - run.started
    reserve_s = _ending_s(run, 0.0)
    n_validations = training.validations if run.data.validation else 0
    progress = logged = saved = _progress(run, before_s, reserve_s, state.here())
    saved_at, losses, sampling_s = time.monotonic(), [], 0.0
    sitting = time.monotonic()

    def present() -> ModelFile:
        return model_of(run, trained_weights(state.learner), state.position.step, None)

    while True:
        progress = _progress(run, before_s, reserve_s, state.here())
        due = math.floor(progress * n_validations)
        if due > state.position.n_validations:
            asked = time.monotonic()
            if processes.is_first:
                _keep_if_good(run, state)
            state.position = replace(state.position, n_validations=due)
            reserve_s = _ending_s(run, time.monotonic() - asked)
        if progress >= 1:
            break
        ready = time.monotonic()
        step = state.position.step
        batch = draw_batch(
            images,
            [step * training.patches_per_step + number for number in share],
            input_shape,
            output_shape,
            settings.augmentation,
            training.balanced_sampling,
            training.seed,
        )
        sampling_s += time.monotonic() - ready
        rate = learning_rate(training, step, progress)
        losses.append(train_step(state.learner, batch, rate, step, settings, processes))
        state.position = replace(state.here(), step=step + 1)
        if not processes.is_first:
            continue
        now = time.monotonic()
        record = {
            "kind": "step",
            "step": step + 1,
            "loss": sum(losses) / len(losses),
            "rate": rate,
            "progress": progress,
            "used_s": state.position.used_s,
            "sampling_share": sampling_s / (now - sitting),
        }
        run.on_record(record)
        on_step(present)
        if progress - logged >= LOG_SHARE or step == 0:
            append_record(run.folder, record)
            logged, losses = progress, []
        if now - saved_at >= training.checkpoint_s and progress - saved >= CHECKPOINT_SHARE:
            write_checkpoint(state.learner, state.here(), run.folder.checkpoint)
            saved_at, saved = now, progress


def _ending_s(run: Run, validation_s: float) -> float:
    """Seconds kept for the end: the labels' settings, the models, the report.

    Args:
        validation_s: of the last validation.
    """
    total_s = run.total_s or 0.0
    tuning_s = validation_s * (4 + 2 * len(run.data.tuning) / max(1, len(run.data.validation)))
    return min(REPORT_S + 2, 0.1 * total_s) + max(0.02 * total_s, min(tuning_s, 0.08 * total_s))


def _progress(run: Run, before_s: float, reserve_s: float, position: Position) -> float:
    """The share of the budget that is used: steps all processes count, seconds the first one."""
    seconds = None if run.total_s is None else run.total_s - before_s - reserve_s
    used = Budget(run.settings.training.steps, seconds).progress(position.step, position.used_s)
    return used if run.settings.training.steps else from_first(run.processes, lambda: used)


def _keep_if_good(run: Run, state: State) -> None:
    """Score the present weights, and write them unless earlier ones were clearly better.

    Of states that score alike the later one, with its smaller steps, does better on others.
    """
    position = state.position
    result = validate(run, state.learner, position.step)
    best = max(result.value, position.best_score or 0.0)
    state.position = replace(position, best_score=best)
    if result.value >= best - score_noise(run.data.validation, run.dataset.labels_are):
        weights = trained_weights(state.learner)
        write_model(model_of(run, weights, position.step, result), run.folder.best)
