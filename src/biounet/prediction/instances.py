"""From probabilities to labels: the one interface, `label_objects`.

`components`: pixels above a threshold, connected components (4- or 6-connected, as the separation
border is drawn), holes filled, small objects removed. `watershed`: components above a higher
threshold are seeds, grown down to the threshold. `classes`: the class map itself, by argmax.
"""

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from skimage.segmentation import expand_labels, watershed

from biounet.config import ObjectSettings


def label_objects(
    probabilities: NDArray[np.float32], settings: ObjectSettings
) -> NDArray[np.int32]:
    """Labels of an image: int32, 0 = background; ids 1..n in the order of their first pixel.

    Args:
        probabilities: (K, …) in 0..1, background first.
        settings: how; `classes` gives class numbers, not instances.
    """
    if settings.method == "classes":
        return np.asarray(np.argmax(probabilities, axis=0), np.int32)
    foreground = 1 - probabilities[0]
    mask = foreground > settings.threshold
    if settings.method == "components":
        labels = _components(mask)
    else:
        seeds = _components(foreground > max(settings.seed_threshold, settings.threshold))
        labels = np.asarray(watershed(-foreground, seeds, mask=mask), np.int32)
    if settings.fill_holes:
        labels = fill_holes(labels)
    if settings.minimum_size_px > 1:
        sizes = np.bincount(labels.ravel())
        labels[sizes[labels] < settings.minimum_size_px] = 0
    if settings.grow_px:
        labels = np.asarray(expand_labels(labels, settings.grow_px), np.int32)
    return consecutive(labels)


def _components(mask: NDArray[np.bool_]) -> NDArray[np.int32]:
    return np.asarray(ndimage.label(mask)[0], np.int32)


def fill_holes(labels: NDArray[np.int32]) -> NDArray[np.int32]:
    """Give background that one object alone encloses to that object.

    Enclosed: a connected component of background (4- or 6-connected) that does not touch the
    image's edge and has a single neighbouring id.
    """
    background, n = ndimage.label(labels == 0)
    if n == 0:
        return labels
    largest = np.full(n + 1, 0, np.int64)
    smallest = np.full(n + 1, np.iinfo(np.int64).max)
    for axis in range(labels.ndim):
        for here, there in ((slice(1, None), slice(None, -1)), (slice(None, -1), slice(1, None))):
            a: tuple[slice, ...] = (slice(None),) * axis + (here,)
            b: tuple[slice, ...] = (slice(None),) * axis + (there,)
            touching = (background[a] > 0) & (labels[b] > 0)
            np.maximum.at(largest, background[a][touching], labels[b][touching])
            np.minimum.at(smallest, background[a][touching], labels[b][touching])
    enclosed = largest == smallest
    for axis in range(labels.ndim):
        for end in (0, -1):
            enclosed[np.unique(np.take(background, end, axis=axis))] = False
    owner = np.where(enclosed, largest, 0)
    owner[0] = 0
    return np.where(labels == 0, owner[background], labels).astype(np.int32)


def consecutive(labels: NDArray[np.int32]) -> NDArray[np.int32]:
    """The same objects with ids 1..n in the order of their first pixel."""
    ids, first = np.unique(labels, return_index=True)
    ids, first = ids[ids > 0], first[ids > 0]
    new = np.zeros(int(ids.max(initial=0)) + 1, np.int32)
    new[ids[np.argsort(first)]] = np.arange(1, len(ids) + 1)
    return new[labels]
