"""The scores of the ISBI 2012 challenge on neuronal membranes, as its organisers compute them.

A slice is thresholded at 0.0, 0.1, …, 1.0; each score is summed or averaged over the slices at
one threshold, and the best threshold of the whole stack counts. Everything is 2-D.

| score | at one threshold | best |
|---|---|---|
| pixel error | F-score of cell pixels, summed over slices | 1 - maximum |
| Rand error | foreground-restricted Rand F-score, pairs summed over slices | 1 - maximum |
| warping error | pixels that split or merge cells / all pixels | minimum up to 0.9 |
| V_Rand | the Rand F-score after border thinning, mean over slices | maximum |
| V_Info | the information F-score after border thinning, mean over slices | maximum |

Sources: Arganda-Carreras et al. 2015, doi:10.3389/fnana.2015.00142; Jain et al. 2010,
doi:10.1109/CVPR.2010.5539950; the organisers' evaluation scripts of 2015 and 2016.
"""

import os
import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import reduce
from operator import add

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from biounet.errors import InputError
from biounet.metrics.contingency import Labels, contingency
from biounet.metrics.counts import Counts
from biounet.metrics.information import Information, information
from biounet.metrics.mismatches import MismatchCounts, classify, count_clusters, count_pixels
from biounet.metrics.rand import cell_overlap, rand_counts, rand_counts_2012
from biounet.metrics.thinning import thin
from biounet.metrics.warning import MetricWarning
from biounet.metrics.warping import warp

THRESHOLDS = tuple(np.cumsum([0.0] + [0.1] * 10).tolist())
"""0.0 to 1.0 by repeated addition in double precision, as the organisers' program counts."""

N_THRESHOLDS_WARPING = 10
"""The warping error is not looked at for the last threshold."""


@dataclass(frozen=True)
class SliceScores:
    """What is counted on one slice at one threshold.

    Attributes:
        pixels: cell pixels right, too many, missing.
        rand: pairs of pixels; `rand_2012` those of the challenge's first years.
        rand_thinned: pairs of pixels after border thinning, of V_Rand.
        information_thinned: entropies after border thinning, of V_Info.
        mismatches_px: pixels that differ from the warped truth, by kind of topological error;
            None at the last threshold, where the organisers do not warp.
        mismatches: the same, touching pixels of a kind counted once: the number of mergers.
    """

    pixels: Counts
    rand: Counts
    rand_2012: Counts
    rand_thinned: Counts
    information_thinned: Information
    mismatches_px: MismatchCounts | None
    mismatches: MismatchCounts | None


@dataclass(frozen=True)
class Isbi2012Scores:
    """The scores of a stack, and the value at every threshold that they were picked from.

    Errors are better when small, V scores when large; all are in 0..1.

    Attributes:
        pixel_error: 1 - best F-score of cell pixels.
        rand_error: 1 - best Rand F-score, without thinning.
        warping_error: least share of pixels that split or merge cells.
        v_rand, v_info: best Rand and information F-score after border thinning.
        rand_error_2012: the Rand error as it was computed until the end of 2014.
        thresholds: a pixel is cell where P(cell) > threshold.
        pixel_error_at, rand_error_at, v_rand_at, v_info_at: the value at each threshold.
        warping_error_at: the same, without the last threshold.
        slices: what was counted, [threshold][slice].
    """

    pixel_error: float
    rand_error: float
    warping_error: float
    v_rand: float
    v_info: float
    rand_error_2012: float
    thresholds: tuple[float, ...]
    pixel_error_at: tuple[float, ...]
    rand_error_at: tuple[float, ...]
    warping_error_at: tuple[float, ...]
    v_rand_at: tuple[float, ...]
    v_info_at: tuple[float, ...]
    slices: tuple[tuple[SliceScores, ...], ...]


def evaluate_isbi2012(
    probabilities: NDArray[np.floating] | NDArray[np.bool_],
    labels: Labels,
    *,
    mask: NDArray[np.bool_] | None = None,
    workers: int | None = None,
    on_slice: Callable[[int], None] | None = None,
) -> Isbi2012Scores:
    """Score a stack of membrane probabilities against its labels.

    Args:
        probabilities: (Z, Y, X), P(cell) in 0..1, 0 = certain membrane. Float32, as the
            organisers' files; other floats are rounded to it. Bool: a finished segmentation.
        labels: (Z, Y, X), cell > 0, membrane 0.
        mask: bool (Z, Y, X), True where warping may flip pixels and its errors count; the other
            scores do not know it. None, as in the challenge: everywhere.
        workers: threads, each at work on one slice; None: one a core. The scores do not depend
            on it.
        on_slice: called with the number of slices done, after each.

    Raises:
        InputError: not three axes, shapes that differ, integer probabilities, NaN, or values
            outside 0..1.

    Warns:
        MetricWarning: the truth or the prediction is of one class, or the best warping error
            is that of an empty prediction; the scores are then the organisers' all the same.
    """
    probabilities = _checked_probabilities(probabilities)
    _check_shapes(probabilities, labels, mask)
    cells = labels > 0
    _warn_of_one_class(probabilities, cells)

    def score(z: int) -> list[SliceScores]:
        slice_mask = None if mask is None else mask[z]
        return [
            _score_slice(
                probabilities[z], cells[z], threshold, slice_mask, k < N_THRESHOLDS_WARPING
            )
            for k, threshold in enumerate(THRESHOLDS)
        ]

    stack: list[list[SliceScores]] = []
    with ThreadPoolExecutor(workers or os.cpu_count()) as pool:
        for scores in pool.map(score, range(len(cells))):
            stack.append(scores)
            if on_slice is not None:
                on_slice(len(stack))
    return _summary(tuple(zip(*stack, strict=True)), n_pixels=cells.size)


def _score_slice(
    probabilities: NDArray[np.float32],
    truth: NDArray[np.bool_],
    threshold: float,
    mask: NDArray[np.bool_] | None,
    with_warping: bool,
) -> SliceScores:
    cells = probabilities.astype(np.float64) > threshold
    n_both = int((cells & truth).sum())
    truth_labels = ndimage.label(truth)[0]
    plain = cell_overlap(contingency(ndimage.label(cells)[0], truth_labels))
    thinned = cell_overlap(contingency(thin(cells), truth_labels))
    mismatches_px = mismatches = None
    if with_warping:
        warped = warp(truth, probabilities, threshold, mask)
        kinds = classify(warped, cells, truth, mask)
        mismatches_px, mismatches = count_pixels(kinds), count_clusters(kinds, warped)
    return SliceScores(
        pixels=Counts(n_both, int(cells.sum()) - n_both, int(truth.sum()) - n_both),
        rand=rand_counts(plain),
        rand_2012=rand_counts_2012(plain),
        rand_thinned=rand_counts(thinned),
        information_thinned=information(thinned),
        mismatches_px=mismatches_px,
        mismatches=mismatches,
    )


def _summary(slices: tuple[tuple[SliceScores, ...], ...], n_pixels: int) -> Isbi2012Scores:
    """Sum or average over the slices at each threshold, then pick the best."""

    def summed(counts: Callable[[SliceScores], Counts]) -> tuple[float, ...]:
        return tuple(1 - reduce(add, map(counts, stack)).f_score for stack in slices)

    def averaged(score: Callable[[SliceScores], float]) -> tuple[float, ...]:
        return tuple(sum(map(score, stack)) / len(stack) for stack in slices)

    def split_or_merged(stack: tuple[SliceScores, ...]) -> int:
        kinds = [s.mismatches_px for s in stack if s.mismatches_px is not None]
        return sum(kind.splits + kind.mergers for kind in kinds)

    pixel = summed(lambda s: s.pixels)
    rand = summed(lambda s: s.rand)
    rand_2012 = summed(lambda s: s.rand_2012)
    warping = tuple(split_or_merged(stack) / n_pixels for stack in slices[:N_THRESHOLDS_WARPING])
    v_rand = averaged(lambda s: s.rand_thinned.f_score)
    v_info = averaged(lambda s: s.information_thinned.f_score)
    best = int(np.argmin(warping))
    if not any(s.pixels.tp + s.pixels.fp for s in slices[best]):
        warnings.warn(
            f"the best warping error is that of an empty prediction (threshold "
            f"{THRESHOLDS[best]:.1f}): it says little, look at the other thresholds",
            MetricWarning,
            stacklevel=3,
        )
    return Isbi2012Scores(
        pixel_error=min(pixel),
        rand_error=min(rand),
        warping_error=min(warping),
        v_rand=max(v_rand),
        v_info=max(0.0, *(v for v in v_info if not np.isnan(v))),
        rand_error_2012=min(rand_2012),
        thresholds=THRESHOLDS,
        pixel_error_at=pixel,
        rand_error_at=rand,
        warping_error_at=warping,
        v_rand_at=v_rand,
        v_info_at=v_info,
        slices=slices,
    )


def _checked_probabilities(
    probabilities: NDArray[np.floating] | NDArray[np.bool_],
) -> NDArray[np.float32]:
    if probabilities.dtype.kind not in "fb":
        raise InputError(
            f"probabilities of type {probabilities.dtype}",
            "floats in 0..1",
            "divide 8-bit values by 255 first: as they are, every value above 0 would be cell",
        )
    as_float = np.asarray(probabilities, np.float32)
    # NaN fails every comparison, so it is caught here too
    if not ((as_float >= 0) & (as_float <= 1)).all():
        found = (
            "NaN" if np.isnan(as_float).any() else f"values of {as_float.min()}..{as_float.max()}"
        )
        raise InputError(
            f"{found} among the probabilities",
            "P(cell) in 0..1",
            "give the network's probabilities, not its logits or an image",
        )
    return as_float


def _check_shapes(
    probabilities: NDArray[np.float32],
    labels: Labels,
    mask: NDArray[np.bool_] | None,
) -> None:
    if probabilities.ndim != 3 or probabilities.size == 0:
        raise InputError(
            f"probabilities of shape {probabilities.shape}",
            "a stack of slices (Z, Y, X)",
            "give a single slice as a stack of one, and one class only: P(cell)",
        )
    for name, other in (("labels", labels), ("mask", mask)):
        if other is not None and other.shape != probabilities.shape:
            raise InputError(
                f"{name} of shape {other.shape} for probabilities of shape {probabilities.shape}",
                "one shape",
                "compare stacks of the same slices and size",
            )


def _warn_of_one_class(probabilities: NDArray[np.float32], cells: NDArray[np.bool_]) -> None:
    def warn(message: str) -> None:
        warnings.warn(message, MetricWarning, stacklevel=4)

    empty = np.flatnonzero(~cells.any(axis=(1, 2)))
    if len(empty) == len(cells):
        warn("the truth has no cell: Rand error 1, V_Rand and V_Info 0 whatever the prediction")
    elif len(empty):
        warn(
            f"the truth has no cell in slice {', '.join(map(str, empty))}: the Rand error of the "
            "whole stack is 1, and V_Rand and V_Info of such a slice 0"
        )
    elif cells.all():
        warn("the truth has no membrane: V_Info is 0, and the warping error counts nothing")
    if probabilities.max() <= THRESHOLDS[0]:
        warn("the prediction is all membrane, at every threshold")
    elif float(probabilities.min()) > THRESHOLDS[-1]:
        warn("the prediction is all cell, at every threshold")
