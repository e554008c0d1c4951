"""What kind of topological error each pixel is that warping could not remove."""

from dataclasses import dataclass
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from biounet.metrics.compiled import compiled

WINDOW_RADIUS_PX = 20
"""The organisers ask whether a cell is cut within 20 px of the pixel, not in the whole image."""

OUTSIDE = -1


class Mismatch(IntEnum):
    """The kinds of topological error, with the organisers' codes; 0 = no error."""

    MERGE = 1
    SPLIT = 2
    HOLE_ADDITION = 4
    OBJECT_DELETION = 8
    OBJECT_ADDITION = 16
    HOLE_DELETION = 32


@dataclass(frozen=True)
class MismatchCounts:
    """How many errors of each kind; pixels, or groups of touching pixels."""

    mergers: int
    splits: int
    hole_additions: int
    hole_deletions: int
    object_additions: int
    object_deletions: int


def classify(
    warped: NDArray[np.bool_],
    cells: NDArray[np.bool_],
    truth: NDArray[np.bool_],
    mask: NDArray[np.bool_] | None = None,
    radius_px: int = WINDOW_RADIUS_PX,
) -> NDArray[np.uint8]:
    """Name the topological error at each pixel where the warped truth still differs.

    Each pixel is judged alone, by the 4-connected cells of the warped truth among its eight
    neighbours: does flipping it join cells, cut one, open or fill a hole, add or delete a cell?

    Source: the organisers' program for ISBI 2012 ("minimum splits and mergers warping error").

    Args:
        warped: bool (Y, X), the truth after `warping.warp`.
        cells: bool (Y, X), the thresholded prediction.
        truth: bool (Y, X), before warping. A truth without any membrane makes every error an
            object addition, as in the organisers' program.
        mask: bool (Y, X), True where errors count; None: everywhere.
        radius_px: how far around a pixel to look for another way round a cut; a radius that is
            0 or larger than the image means the whole image.

    Returns:
        uint8 (Y, X): `Mismatch` codes, 0 where there is no error.
    """
    differs = warped != cells
    if mask is not None:
        differs &= mask
    labels = np.zeros(warped.shape, np.int32)
    if not truth.all():
        ndimage.label(warped, output=labels)
    if radius_px < 1 or radius_px > min(warped.shape):
        radius_px = max(warped.shape)
    codes = np.zeros(warped.shape, np.uint8)
    y, x = np.nonzero(differs)
    codes[y, x] = name_mismatches(
        np.pad(labels, 1, constant_values=OUTSIDE), y + 1, x + 1, radius_px
    )
    return codes


@compiled
def name_mismatches(
    labels: NDArray[np.int32], y: NDArray[np.int64], x: NDArray[np.int64], radius_px: int
) -> NDArray[np.uint8]:
    """The `Mismatch` code of each pixel (y, x) of a label image padded by OUTSIDE."""
    row = labels.shape[1]
    flat = labels.ravel()
    around = (-row - 1, -row, -row + 1, -1, 1, row - 1, row, row + 1)
    edges = (-row, -1, 1, row)
    codes = np.zeros(y.size, np.uint8)
    seen = np.full(flat.size, -1, np.int64)  # the last pixel whose search came by
    queue = np.empty(flat.size, np.int64)
    for i in range(y.size):
        pixel = y[i] * row + x[i]
        is_cell = flat[pixel] != 0
        # Distinct labels among the neighbours: background, and up to four cells.
        has_background = False
        n_cells = 0
        for j in range(8):
            label = flat[pixel + around[j]]
            if label == 0:
                has_background = True
            elif label != OUTSIDE:
                is_new = True
                for k in range(j):
                    if flat[pixel + around[k]] == label:
                        is_new = False
                if is_new:
                    n_cells += 1
        n_labels = n_cells + int(has_background)
        if n_labels >= 3:
            codes[i] = Mismatch.SPLIT if is_cell else Mismatch.MERGE
        elif n_labels == 2 and not is_cell:
            codes[i] = Mismatch.HOLE_ADDITION
        elif n_cells == 0:
            codes[i] = Mismatch.OBJECT_DELETION if is_cell else Mismatch.OBJECT_ADDITION
        elif n_labels == 1:
            codes[i] = Mismatch.HOLE_ADDITION if is_cell else Mismatch.HOLE_DELETION
        else:
            # Without this pixel, do its neighbours still hang together within the window?
            seen[pixel] = i
            n_parts = 0
            for step in around:
                if flat[pixel + step] <= 0 or seen[pixel + step] == i:
                    continue
                n_parts += 1
                if n_parts == 2:
                    break
                queue[0] = pixel + step
                seen[pixel + step] = i
                head, tail = 0, 1
                while head < tail:
                    at = queue[head]
                    head += 1
                    for edge in edges:
                        to = at + edge
                        if (
                            flat[to] > 0
                            and seen[to] != i
                            and abs(to // row - y[i]) <= radius_px
                            and abs(to % row - x[i]) <= radius_px
                        ):
                            seen[to] = i
                            queue[tail] = to
                            tail += 1
            codes[i] = Mismatch.SPLIT if n_parts == 2 else Mismatch.HOLE_DELETION
    return codes


def count_pixels(codes: NDArray[np.uint8]) -> MismatchCounts:
    """The number of pixels of each kind of error."""
    n = np.bincount(codes.ravel(), minlength=Mismatch.HOLE_DELETION + 1)
    return MismatchCounts(
        mergers=int(n[Mismatch.MERGE]),
        splits=int(n[Mismatch.SPLIT]),
        hole_additions=int(n[Mismatch.HOLE_ADDITION]),
        hole_deletions=int(n[Mismatch.HOLE_DELETION]),
        object_additions=int(n[Mismatch.OBJECT_ADDITION]),
        object_deletions=int(n[Mismatch.OBJECT_DELETION]),
    )


def count_clusters(codes: NDArray[np.uint8], warped: NDArray[np.bool_]) -> MismatchCounts:
    """The number of groups of touching pixels of each kind of error.

    Pixels touch by an edge; those that belong to membranes of the prediction's or the truth's
    topology (mergers, holes added in cells) by a corner too. Holes are grouped apart by what
    the warped truth has there.
    """
    touching = {4: ndimage.generate_binary_structure(2, 1), 8: np.ones((3, 3), np.bool_)}

    def groups(kind: Mismatch, connectivity: int, where: NDArray[np.bool_] | None = None) -> int:
        pixels = codes == kind if where is None else (codes == kind) & where
        return int(ndimage.label(pixels, touching[connectivity])[1]) if pixels.any() else 0

    return MismatchCounts(
        mergers=groups(Mismatch.MERGE, 8),
        splits=groups(Mismatch.SPLIT, 4),
        hole_additions=groups(Mismatch.HOLE_ADDITION, 4, ~warped)
        + groups(Mismatch.HOLE_ADDITION, 8, warped),
        hole_deletions=groups(Mismatch.HOLE_DELETION, 4, ~warped)
        + groups(Mismatch.HOLE_DELETION, 4, warped),
        object_additions=groups(Mismatch.OBJECT_ADDITION, 4),
        object_deletions=groups(Mismatch.OBJECT_DELETION, 4),
    )
