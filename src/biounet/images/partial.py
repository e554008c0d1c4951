"""Which pixels of a partly annotated image somebody has annotated."""

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage


def annotated_by_markers(
    labels: NDArray[np.int32],
    markers: NDArray[np.integer],
    pixel_size_um: tuple[float, ...] | None = None,
) -> NDArray[np.bool_] | None:
    """Where an image counts as annotated, when every cell has a marker but not every one a label.

    A marker belongs to an annotated cell when more than half of it lies on labelled pixels.
    Pixels that are nearer to a marker of another, unannotated cell than to any labelled pixel are
    not annotated. `labels` and `markers`: (Y, X) or (Z, Y, X), 0 = background. Returns bool of
    that shape, or None when every marker has its cell.
    """
    n_pixels = np.bincount(markers.ravel())
    n_labelled = np.bincount(markers[labels > 0].ravel(), minlength=len(n_pixels))
    missing = (n_pixels > 0) & (2 * n_labelled <= n_pixels)
    missing[0] = False
    if not missing.any():
        return None
    if not (labels > 0).any():
        return np.zeros(labels.shape, dtype=bool)
    to_missing = ndimage.distance_transform_edt(~missing[markers], sampling=pixel_size_um)
    to_labelled = ndimage.distance_transform_edt(labels == 0, sampling=pixel_size_um)
    annotated: NDArray[np.bool_] = to_missing >= to_labelled
    return annotated
