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


WARMUP_SHARE = 0.2
"""Of the budget that the rise of the learning rate may take: short runs rise faster."""


def learning_rate(settings: TrainingSettings, step: int, progress: float) -> float:
    """The learning rate of a step: a rise, then constant or half a cosine.

    The rise is counted in steps, for it is the first steps that would throw the weights far off.
    """
    rate = settings.learning_rate
    if settings.warmup_steps:
        rate *= min(1.0, max((step + 1) / settings.warmup_steps, progress / WARMUP_SHARE))
    if settings.schedule == "cosine":
        rate *= 0.5 + 0.5 * math.cos(math.pi * progress)
    return rate
