"""The budget, in steps or in seconds, and the learning rate that follows it."""

import math
from dataclasses import dataclass

from biounet.config import TrainingSettings


@dataclass(frozen=True)
class Budget:
    """How long to train: one of the two is given."""

    steps: int | None
    seconds: float | None

    def progress(self, step: int, used_s: float) -> float:
        """The share of the budget that is used, 0..1."""
        if self.steps is not None:
            return min(step / self.steps, 1.0)
        assert self.seconds is not None
        return min(used_s / self.seconds, 1.0) if self.seconds > 0 else 1.0


def learning_rate(settings: TrainingSettings, progress: float) -> float:
    """The learning rate at a share of the budget: a rise, then constant or half a cosine."""
    rate = settings.learning_rate
    if progress < settings.warmup:
        return rate * max(progress / settings.warmup, 0.01)
    if settings.schedule == "constant":
        return rate
    return rate * (0.5 + 0.5 * math.cos(math.pi * progress))
