"""Rand scores that count only the cells of the truth (foreground-restricted)."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from biounet.metrics.contingency import Contingency
from biounet.metrics.counts import Counts


@dataclass(frozen=True)
class CellOverlap:
    """A contingency table without the truth's membranes, in pixels.

    Attributes:
        shared: for each pair of a true cell and a predicted segment that overlap.
        truth: of each true cell (membranes predicted within it included).
        prediction: of each predicted segment, within true cells.
        n_alone: membrane pixels predicted within true cells; each is a segment of its own.
        n: all pixels of true cells.
    """

    shared: NDArray[np.int64]
    truth: NDArray[np.int64]
    prediction: NDArray[np.int64]
    n_alone: int
    n: int


def cell_overlap(table: Contingency) -> CellOverlap:
    """Drop the membranes of the truth from a table; 0 is membrane in both images."""
    truth = table.truth_labels[table.truth_index]
    prediction = table.prediction_labels[table.prediction_index]
    cell, segment = truth != 0, prediction != 0
    within = np.bincount(table.prediction_index, table.pixels * (cell & segment))
    return CellOverlap(
        shared=table.pixels[cell & segment],
        truth=table.truth_areas[table.truth_labels != 0],
        prediction=within[within > 0].astype(np.int64),
        n_alone=int(table.pixels[cell & ~segment].sum()),
        n=int(table.pixels[cell].sum()),
    )


def rand_counts(overlap: CellOverlap) -> Counts:
    """Ordered pairs of pixels, each pixel paired with itself too: right, too many, missing.

    With p_ij the shared pixels, s_i the predicted and t_j the true areas, the F-score of the
    counts is sum p_ij^2 / (sum s_i^2 / 2 + sum t_j^2 / 2), the V_Rand (alpha = 1/2) of
    Arganda-Carreras et al. 2015, doi:10.3389/fnana.2015.00142. A truth without cells gives NaN.
    """
    if overlap.n == 0:
        return Counts(np.nan, np.nan, np.nan)
    together = int((overlap.shared**2).sum()) + overlap.n_alone
    in_truth = int((overlap.truth**2).sum())
    in_prediction = int((overlap.prediction**2).sum()) + overlap.n_alone
    return Counts(together, in_prediction - together, in_truth - together)


def rand_counts_2012(overlap: CellOverlap) -> Counts:
    """Unordered pairs of different pixels, the Rand error's counts during the challenge."""

    def pairs(pixels: NDArray[np.int64]) -> int:
        return int((pixels * (pixels - 1) // 2).sum())

    together = pairs(overlap.shared)
    return Counts(together, pairs(overlap.prediction) - together, pairs(overlap.truth) - together)
