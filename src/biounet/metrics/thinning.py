"""Border thinning of a binary segmentation by a flooding watershed, as the ISBI 2012 board does."""

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from biounet.metrics.compiled import compiled

DAM = 0
WAITING = -1
QUEUED = -2
OUTSIDE = -3


def thin(cells: NDArray[np.bool_]) -> NDArray[np.int32]:
    """Let the cells of a slice grow over the membranes until only dams are left between them.

    Membranes within a cell vanish; between two cells a dam of one pixel remains (more at
    junctions). A slice without any cell becomes one segment. The order in which pixels are
    visited (x outer, y inner) decides on which side the dam of an even membrane lies.

    Source: the organisers' evaluation after border thinning; Arganda-Carreras et al. 2015,
    doi:10.3389/fnana.2015.00142.

    Args:
        cells: bool (Y, X), True = cell.

    Returns:
        int32 (Y, X): segments 1, 2, …; 0 on dams.
    """
    # Held transposed: walking through memory is then the organisers' column-major scan.
    labels, n_cells = ndimage.label(cells.T)
    if n_cells == 0:
        return np.ones(cells.shape, np.int32)
    state = np.full((cells.shape[1] + 2, cells.shape[0] + 2), OUTSIDE, np.int32)
    state[1:-1, 1:-1] = np.where(cells.T, labels, WAITING)
    flood(state.ravel(), state.shape[1])
    return state[1:-1, 1:-1].T


@compiled
def flood(state: NDArray[np.int32], row: int) -> None:
    """Flood from the cells, first come, first served, and raise dams where two floods meet.

    Args:
        state: int32, a padded image row by row: a segment's label, WAITING, or OUTSIDE (the
            padding). Overwritten: every WAITING pixel becomes a segment's label or DAM.
        row: the number of pixels from one row to the next.
    """
    neighbours = (-row, -1, row, 1)
    queue = np.empty(state.size, np.int64)
    tail = 0
    for pixel in range(state.size):
        if state[pixel] == WAITING:
            for step in neighbours:
                if state[pixel + step] > 0:
                    state[pixel] = QUEUED
                    queue[tail] = pixel
                    tail += 1
                    break
    head = 0
    while head < tail:
        pixel = queue[head]
        head += 1
        # A dam that only continues another dam is soft: a segment beside it still takes it over.
        soft = False
        for step in neighbours:
            here = state[pixel]
            there = state[pixel + step]
            if there > 0:
                if here == QUEUED or (here == DAM and soft):
                    state[pixel] = there
                elif here > 0 and here != there:
                    state[pixel] = DAM
                    soft = False
            elif there == DAM:
                if here == QUEUED:
                    state[pixel] = DAM
                    soft = True
            elif there == WAITING:
                state[pixel + step] = QUEUED
                queue[tail] = pixel + step
                tail += 1
