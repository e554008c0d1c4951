"""Warping: deform the truth towards a segmentation without changing its topology."""

import numpy as np
from numpy.typing import NDArray

from biounet.metrics.compiled import compiled


def warp(
    truth: NDArray[np.bool_],
    probabilities: NDArray[np.float32],
    threshold: float,
    mask: NDArray[np.bool_] | None = None,
) -> NDArray[np.bool_]:
    """Flip simple points of the truth where it differs from the thresholded probabilities.

    Cells are 4-connected, membranes 8-connected; outside the image lies membrane. Pixels whose
    probability is farthest from the threshold are tried first; among equals, x is the outer
    loop and y the inner one. What still differs afterwards is a topological error, see
    `mismatches.classify`.

    Source: Jain et al., CVPR 2010, doi:10.1109/CVPR.2010.5539950, with the relaxation of the
    ISBI 2012 organisers' program (one sort, then passes until nothing flips).

    Args:
        truth: bool (Y, X), True = cell.
        probabilities: float32 (Y, X), P(cell); a pixel is cell where P > threshold.
        threshold: compared in double precision.
        mask: bool (Y, X), True where a pixel may flip; None: everywhere.

    Returns:
        bool (Y, X): the warped truth.
    """
    # Held transposed: walking through memory is then the organisers' column-major scan.
    distance = probabilities.T.astype(np.float64) - threshold
    differs = (distance > 0) != truth.T
    if mask is not None:
        differs &= mask.T
    x, y = np.nonzero(differs)
    order = np.argsort(-np.abs(distance[x, y]).astype(np.float32), kind="stable")
    image = np.zeros((truth.shape[1] + 2, truth.shape[0] + 2), np.uint8)
    image[1:-1, 1:-1] = truth.T
    row = image.shape[1]
    flip_simple_points(image.ravel(), row, ((x + 1) * row + y + 1)[order])
    return image[1:-1, 1:-1].T.astype(np.bool_)


@compiled
def flip_simple_points(image: NDArray[np.uint8], row: int, pixels: NDArray[np.int64]) -> None:
    """Flip each pixel once, when it is simple; pass over those left until none flips.

    A pixel is simple if the cell pixels that touch it by an edge hang together around it and
    its eight neighbours are not all cell: flipping it changes no cell's and no hole's number.

    Args:
        image: uint8 0 or 1, padded by 0, row by row. Overwritten.
        row: the number of pixels from one row to the next.
        pixels: int64 places in the image, in the order to try. Overwritten.
    """
    n_left = pixels.size
    n = n_left + 1
    while n_left < n:
        n = n_left
        n_left = 0
        for i in range(n):
            pixel = pixels[i]
            left, right = image[pixel - row], image[pixel + row]
            up, down = image[pixel - 1], image[pixel + 1]
            edges = left + right + up + down
            corners = (
                (left & up & image[pixel - row - 1])
                + (left & down & image[pixel - row + 1])
                + (right & up & image[pixel + row - 1])
                + (right & down & image[pixel + row + 1])
            )
            if edges - corners == 1:
                image[pixel] = 1 - image[pixel]
            else:
                pixels[n_left] = pixel
                n_left += 1
