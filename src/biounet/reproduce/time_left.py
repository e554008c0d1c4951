"""How long a reproduction still takes, from what it has measured so far."""

from collections.abc import Callable
from statistics import mean
from time import monotonic
from typing import Literal, get_args

Phase = Literal["training", "predicting", "scoring"]


class TimeLeft:
    """Seconds that remain: the phase at work, those after it, and the networks after this one.

    A training takes its budget; what follows it, as long as it took the networks before, and is
    not counted before the first was measured.
    """

    def __init__(
        self, n_networks: int, training_s: float | None, clock: Callable[[], float] = monotonic
    ) -> None:
        self.n_networks = n_networks
        self.clock = clock
        self.took_s: dict[Phase, list[float]] = {phase: [] for phase in get_args(Phase)}
        self.budget_s = training_s
        self.began: dict[tuple[int, Phase], tuple[float, float]] = {}

    def after(self, network: int, phase: Phase, share: float) -> float | None:
        """Seconds left when `share` of a phase of the network of this number (from 0) is done.

        None where nothing is known yet: training in steps that has just begun.
        """
        now = self.clock()
        began, share_then = self.began.setdefault((network, phase), (now, share))
        speed_s = (now - began) / (share - share_then) if share > share_then else None
        if share >= 1 and share_then == 0:
            self.took_s[phase].append(now - began)
        training_s = self._usual_s("training") or (speed_s if phase == "training" else None)
        if training_s is None:
            return None
        usual = {p: self._usual_s(p) or 0.0 for p in get_args(Phase)} | {"training": training_s}
        phases = get_args(Phase)
        here = (speed_s or usual[phase]) if phase != "training" else training_s
        later = sum(usual[p] for p in phases[phases.index(phase) + 1 :])
        others = (self.n_networks - network - 1) * sum(usual.values())
        return (1 - share) * here + later + others

    def _usual_s(self, phase: Phase) -> float | None:
        if phase == "training" and self.budget_s is not None:
            return self.budget_s
        return mean(self.took_s[phase]) if self.took_s[phase] else None
