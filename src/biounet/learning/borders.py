"""The background border that is cut between touching cells (section 3 of the paper)."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

Labels = NDArray[Any]


def separate_touching(labels: Labels, width_px: int) -> Labels:
    """Turn pixels of a cell that lie at another cell into background, so that no two cells touch.

    Where two cells touch, also diagonally, each loses a layer of `width_px` pixels along the
    contact; outlines against background stay as they are, and so do cells that touch no other. A
    cell too thin for that loses fewer layers, and one without anything inside keeps those of its
    pixels that touch no other cell: it is lost only when there are none, as for one of two cells
    of one pixel side by side.

    Args:
        labels: integer instances, (Y, X) or (Z, Y, X), 0 = background.
        width_px: layers taken from each of the two cells, 1 or more.

    Returns:
        A new array of the same shape and dtype; different ids are nowhere neighbours, diagonals
        included.
    """
    cells = labels > 0
    beyond = labels.max(initial=0)  # stands in for background, which must not be the smallest id
    cut = cells & (
        (ndimage.maximum_filter(labels, size=3, mode="nearest") != labels)
        | (ndimage.minimum_filter(np.where(cells, labels, beyond), size=3) != labels)
    )
    separated = np.where(cut, 0, labels).astype(labels.dtype)
    lost = np.setdiff1d(labels[cut], separated)
    if lost.size:
        separated = _restore(separated, labels, lost)
    for _ in range(width_px - 1):
        # All pixels at a contact are cut already, so this grows within each cell.
        cut = ndimage.binary_dilation(cut, np.ones((3,) * labels.ndim, bool), mask=cells)
        too_thin = np.setdiff1d(separated[cut], np.where(cut, 0, separated))
        cut_ids = separated[cut]
        separated[cut] = np.where(np.isin(cut_ids, too_thin), cut_ids, 0)
    return separated


def _restore(separated: Labels, labels: Labels, lost: Labels) -> Labels:
    """Give cells back the pixels that touch no other cell: first one pixel each, then the rest."""
    padded = np.pad(separated, 1)
    contenders = np.pad(np.where(np.isin(labels, lost), labels, 0), 1)
    positions = np.argwhere(contenders)
    ids = contenders[tuple(positions.T)]
    order = np.argsort(ids, kind="stable")
    groups = np.split(positions[order], np.flatnonzero(np.diff(ids[order])) + 1)

    def n_foreign(image: Labels, position: NDArray[np.intp]) -> int:
        window = image[tuple(slice(p - 1, p + 2) for p in position)]
        return int(np.count_nonzero((window > 0) & (window != contenders[tuple(position)])))

    for group in sorted(groups, key=len):
        # A pixel that stands in the way of few other lost cells leaves most room for them.
        for position in sorted(group, key=lambda p: n_foreign(contenders, p)):
            if n_foreign(padded, position) == 0:
                padded[tuple(position)] = contenders[tuple(position)]
                break
    for position in positions:
        if n_foreign(padded, position) == 0:
            padded[tuple(position)] = contenders[tuple(position)]
    return padded[(slice(1, -1),) * labels.ndim].copy()
