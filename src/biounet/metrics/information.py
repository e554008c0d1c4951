"""The information score V_Info: how much a segmentation tells about the true cells."""

from dataclasses import dataclass
from math import log

import numpy as np
from numpy.typing import NDArray

from biounet.metrics.rand import CellOverlap


@dataclass(frozen=True)
class Information:
    """Entropies in nats of the true cells, of the predicted segments, and of both together."""

    truth: float
    prediction: float
    both: float

    @property
    def mutual(self) -> float:
        """What each tells about the other."""
        return self.truth + self.prediction - self.both

    @property
    def f_score(self) -> float:
        """V_Info: harmonic mean of mutual / truth and mutual / prediction.

        Where the truth is one cell or the prediction one segment there is nothing to tell, and
        the organisers' value is 0, for a perfect prediction too. NaN where mutual is 0.
        """
        if self.truth == 0 or self.prediction == 0:
            return 0.0
        precision, recall = self.mutual / self.truth, self.mutual / self.prediction
        total = precision + recall
        return 2 * precision * recall / total if total != 0 else float("nan")


def information(overlap: CellOverlap) -> Information:
    """Entropies of the foreground-restricted table; lone membrane pixels are segments.

    Source: V_Info (alpha = 1/2) of Arganda-Carreras et al. 2015, doi:10.3389/fnana.2015.00142.
    A truth without cells gives zeros.
    """
    if overlap.n == 0:
        return Information(0.0, 0.0, 0.0)
    alone = overlap.n_alone / overlap.n * log(overlap.n)
    return Information(
        truth=_entropy(overlap.truth, overlap.n),
        prediction=_entropy(overlap.prediction, overlap.n) + alone,
        both=_entropy(overlap.shared, overlap.n) + alone,
    )


def _entropy(pixels: NDArray[np.int64], n: int) -> float:
    """Exactly 0 for a single part: its share of the pixels is exactly 1."""
    share = pixels / n
    return float(-(share * np.log(share)).sum())
