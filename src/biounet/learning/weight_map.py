"""The weight map of the loss: class balance and separation borders, equation (2) of the paper.

Ronneberger, Fischer, Brox 2015, doi:10.1007/978-3-319-24574-4_28, section 3:

    w(x) = w_c(x) + w0 exp(-(d1(x) + d2(x))^2 / (2 sigma^2))

with w_c the weight of the pixel's class, d1 and d2 the distances to the nearest and the second
nearest cell. One distance transform per cell would cost pixels x cells; here one transform that
remembers the two nearest different cells costs a number of steps per pixel set by sigma alone.
"""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from biounet.errors import InputError
from biounet.metrics.compiled import compiled

# exp(-t^2 / (2 sigma^2)) falls below this share of w0 at t = 5.7 sigma; from there on it is 0.
_NEGLIGIBLE = 1e-7


def border_weights(
    labels: NDArray[Any],
    border_weight: float,
    border_sigma_px: float,
    spacing: Sequence[float] | None = None,
) -> NDArray[np.float32]:
    """Second term of equation (2): w0 exp(-(d1 + d2)^2 / (2 sigma^2)).

    Args:
        labels: integer instances, (Y, X) or (Z, Y, X); a cell is one id above 0, whatever the ids.
        border_weight: w0, the weight where two cells meet.
        border_sigma_px: sigma, in units of `spacing` (px without it).
        spacing: size of a pixel along each axis, e.g. (5, 1, 1) for sections five times as far
            apart as pixels; all 1 if not given.

    Returns:
        float32, the shape of `labels`, 0 to w0. A cell's distance is that to its nearest pixel
        centre, 0 inside the cell itself. Fewer than two cells give 0 everywhere. The error is
        below 2e-7 w0, which includes what is cut off far from any pair of cells.
    """
    reach = border_sigma_px * math.sqrt(-2 * math.log(_NEGLIGIBLE))
    nearest, second = _two_nearest_cells(labels, reach, spacing or (1.0,) * labels.ndim)
    distance = np.sqrt(nearest, out=nearest)
    distance += np.sqrt(second, out=second)
    distance /= border_sigma_px
    exponent = np.square(distance, out=distance)
    exponent *= -0.5
    weights = np.exp(exponent, out=exponent)
    weights *= border_weight
    return weights.astype(np.float32)


def count_classes(
    class_map: NDArray[Any], n_classes: int, annotated: NDArray[np.bool_] | None = None
) -> NDArray[np.int64]:
    """Number of annotated pixels of each class; add them up over a training set.

    Args:
        class_map: integer classes 0 to `n_classes` - 1; anything where not annotated.
        n_classes: number of classes of the network.
        annotated: the pixels that count; all if not given.

    Returns:
        int64, (n_classes,).

    Raises:
        InputError: an annotated pixel has a class outside 0 to `n_classes` - 1.
    """
    classes = (class_map if annotated is None else class_map[annotated]).ravel()
    if classes.size and (classes.min() < 0 or classes.max() >= n_classes):
        outside = classes.max() if classes.max() >= n_classes else classes.min()
        raise InputError(
            f"class {outside} in a class map",
            f"classes 0 to {n_classes - 1}",
            "mark such pixels as not annotated, or train with more classes",
        )
    return np.array([np.count_nonzero(classes == c) for c in range(n_classes)], dtype=np.int64)


def class_weights(counts: NDArray[np.integer[Any]]) -> NDArray[np.float64]:
    """Class balance: w_c = n / (k n_c), for n annotated pixels, n_c of class c, k classes present.

    Every class then has the same total weight, and the mean over annotated pixels is 1. A class
    without pixels gets 0. `counts` is what `count_classes` gave, summed over the training set.
    """
    counts = np.asarray(counts, dtype=np.float64)
    even_share = counts.sum() / max(1, np.count_nonzero(counts))
    weights: NDArray[np.float64] = np.divide(
        even_share, counts, out=np.zeros_like(counts), where=counts > 0
    )
    return weights


def weight_map(
    labels: NDArray[Any],
    class_map: NDArray[Any],
    class_weight: NDArray[np.floating[Any]],
    border_weight: float,
    border_sigma_px: float,
    annotated: NDArray[np.bool_] | None = None,
    spacing: Sequence[float] | None = None,
) -> NDArray[np.float32]:
    """Equation (2): w_c of each pixel's class plus the weight of the borders between cells.

    Args:
        labels: integer instances after `separate_touching`, (Y, X) or (Z, Y, X).
        class_map: integer classes, the shape of `labels`; anything where not annotated.
        class_weight: w_c, one per class.
        border_weight: w0.
        border_sigma_px: sigma, see `border_weights`.
        annotated: pixels that somebody annotated; all others get weight 0. All if not given.
        spacing: see `border_weights`.

    Returns:
        float32, the shape of `labels`, 0 or more.

    Raises:
        InputError: an annotated pixel has a class without a weight.
    """
    count_classes(class_map, len(class_weight), annotated)  # refuses classes out of range
    weights = border_weights(labels, border_weight, border_sigma_px, spacing)
    weights += np.asarray(class_weight, dtype=np.float32).take(class_map, mode="clip")
    if annotated is not None:
        weights[~annotated] = 0
    return weights


def _two_nearest_cells(
    labels: NDArray[Any], reach: float, spacing: Sequence[float]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Squared distances to the nearest and the second nearest cell, exact up to `reach`.

    Those beyond it come out too large or infinite.

    One pass per axis, as in the separable distance transforms (Felzenszwalb and Huttenlocher 2012,
    doi:10.4086/toc.2012.v008a019), but each pixel hands on its two nearest *different* cells.
    Two are enough: a third one at that pixel is at least as far as both from every pixel that
    is reached through it, so leaving it out changes neither of the two smallest distances there.
    """
    ids = np.ascontiguousarray(labels)
    if ids.size and int(ids.max()) > np.iinfo(np.int32).max:
        ids = np.unique(np.maximum(ids, 0), return_inverse=True)[1].reshape(ids.shape)
    nearest_id = ids.astype(np.int32)
    second_id = np.zeros_like(nearest_id)
    nearest = np.where(nearest_id > 0, 0.0, np.inf)
    second = np.full(ids.shape, np.inf)
    # The last axis first: where lines are contiguous, most of the image is still unreached.
    for axis in reversed(range(ids.ndim)):
        lines = (-1, ids.shape[axis], math.prod(ids.shape[axis + 1 :]))
        _spread(
            nearest.reshape(lines),
            nearest_id.reshape(lines),
            second.reshape(lines),
            second_id.reshape(lines),
            float(spacing[axis]),
            reach,
        )
    return nearest, second


@compiled
def _spread(
    nearest: NDArray[np.float64],
    nearest_id: NDArray[np.int32],
    second: NDArray[np.float64],
    second_id: NDArray[np.int32],
    step: float,
    reach: float,
) -> None:
    """Let each line along axis 1 of (outer, n, inner) look at its pixels within `reach`."""
    n_outer, n, n_inner = nearest.shape
    old_nearest = np.empty(n)
    old_nearest_id = np.empty(n, np.int32)
    old_second = np.empty(n)
    old_second_id = np.empty(n, np.int32)
    n_steps = min(n - 1, int(reach / step))
    for outer in range(n_outer):
        for inner in range(n_inner):
            found = False
            for i in range(n):
                old_nearest[i] = nearest[outer, i, inner]
                old_nearest_id[i] = nearest_id[outer, i, inner]
                old_second[i] = second[outer, i, inner]
                old_second_id[i] = second_id[outer, i, inner]
                found = found or old_nearest_id[i] > 0
            if not found:
                continue
            for i in range(n):
                first_d, first_id = old_nearest[i], old_nearest_id[i]
                next_d, next_id = old_second[i], old_second_id[i]
                for k in range(1, n_steps + 1):
                    away = (k * step) ** 2
                    if away >= next_d:
                        break
                    for j in (i - k, i + k):
                        if j < 0 or j >= n:
                            continue
                        for d, cell in (
                            (old_nearest[j] + away, old_nearest_id[j]),
                            (old_second[j] + away, old_second_id[j]),
                        ):
                            if d >= next_d:
                                break
                            if cell == first_id:
                                first_d = min(first_d, d)
                            elif d < first_d:
                                next_d, next_id = first_d, first_id
                                first_d, first_id = d, cell
                            else:
                                next_d, next_id = d, cell
                nearest[outer, i, inner] = first_d
                nearest_id[outer, i, inner] = first_id
                second[outer, i, inner] = next_d
                second_id[outer, i, inner] = next_id
