"""A run that is set up: all that stays the same from its first step to its last."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from biounet.config import Settings
from biounet.images.dataset import DataSet
from biounet.learning.derive import Facts
from biounet.learning.preparation import TrainingData
from biounet.learning.processes import Processes
from biounet.learning.run_folder import Record, RunFolder, append_record
from biounet.learning.validation import Score
from biounet.model import ModelFile, network_of
from biounet.prediction.engines import Engine, torch_engine
from biounet.version import __version__


@dataclass(frozen=True)
class Run:
    """What a run works with.

    Attributes:
        folder: where it writes.
        settings: every setting, derived ones included.
        data: prepared images.
        dataset: where they came from.
        facts: what they are like.
        device: where it computes.
        processes: who computes; only the first one writes into the folder.
        started: `time.monotonic()` at the start of the command, from which minutes count.
        fixed_objects: labels' settings that the user gave, so that none is looked for.
        on_record: gets every record of the log, and every step besides.
    """

    folder: RunFolder
    settings: Settings
    data: TrainingData
    dataset: DataSet
    facts: Facts
    device: torch.device
    processes: Processes
    started: float
    fixed_objects: frozenset[str]
    on_record: Callable[[Record], None]

    @property
    def total_s(self) -> float | None:
        """The budget in seconds of wall time, if it is one."""
        minutes = self.settings.training.minutes
        return None if minutes is None else minutes * 60


def log(run: Run, record: Record) -> None:
    """Add a record to the log and show it."""
    append_record(run.folder, record)
    run.on_record(record)


def model_of(run: Run, weights: dict[str, Tensor], step: int, reached: Score | None) -> ModelFile:
    """A model file of weights that this run has learned."""
    return ModelFile(
        settings=run.settings,
        weights=weights,
        class_names=run.dataset.class_names or _class_names(run.dataset.n_classes),
        intensity=run.data.intensity,
        provenance={
            "biounet": __version__,
            "torch": torch.__version__,
            "seed": run.settings.training.seed,
            "steps": step,
            "labels_are": run.dataset.labels_are,
            "n_training_images": len(run.data.training),
            "data_hash": run.data.data_hash,
            "object_px": run.facts.object_px,
            "pixel_size_um": run.facts.pixel_size_um,
            "score": None if reached is None else {reached.name: reached.value, **reached.details},
        },
    )


def _class_names(n_classes: int) -> tuple[str, ...]:
    if n_classes == 2:
        return ("background", "cell")
    return ("background", *(f"class {k}" for k in range(1, n_classes)))


def engine_of(run: Run, model: ModelFile) -> Engine:
    """An engine for validation, in the precision of training."""
    return torch_engine(network_of(model), run.device, run.settings.training.precision)
