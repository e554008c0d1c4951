"""From probabilities to labels: the one interface, `label_objects`.

`components`: pixels above a threshold, connected components (4- or 6-connected, as the separation
border is drawn), holes filled, small objects removed. `watershed`: components above a higher
threshold are seeds, grown down to the threshold. `classes`: the class map itself, by argmax.
"""

from itertools import product

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from skimage.segmentation import watershed

from biounet.config import ObjectSettings


def label_objects(
    probabilities: NDArray[np.float32], settings: ObjectSettings
) -> NDArray[np.int32]:
    """Labels of an image: int32, 0 = background; ids 1..n in the order of their first pixel.

    Of grown objects, the first pixel is the one before they were grown.

    Args:
        probabilities: (K, …) in 0..1, background first.
        settings: how; `classes` gives class numbers, not instances.
    """
    if settings.method == "classes":
        return np.asarray(np.argmax(probabilities, axis=0), np.int32)
    if settings.method == "components":
        labels = _components(1 - probabilities[0] > settings.threshold)
    else:
        labels = _watershed(1 - probabilities[0], settings)
    if settings.fill_holes:
        labels = fill_holes(labels)
    if settings.minimum_size_px > 1:
        small = np.bincount(labels.ravel()) < settings.minimum_size_px
        labels[small[labels]] = 0
    labels = consecutive(labels)
    return grow(labels, settings.grow_px)


def _components(mask: NDArray[np.bool_]) -> NDArray[np.int32]:
    return np.asarray(ndimage.label(mask)[0], np.int32)


def _watershed(foreground: NDArray[np.float32], settings: ObjectSettings) -> NDArray[np.int32]:
    seeds = _components(foreground > max(settings.seed_threshold, settings.threshold))
    mask = foreground > settings.threshold
    return np.asarray(watershed(-foreground, seeds, mask=mask), np.int32)


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
    owner = np.where(enclosed, largest, 0).astype(np.int32)
    owner[0] = 0
    return labels + owner[background]


def grow(labels: NDArray[np.int32], distance_px: int) -> NDArray[np.int32]:
    """Give background within a Euclidean distance of objects to the nearest; ties: the smaller id.

    A pixel's new label depends on nothing further away than `distance_px`.
    """
    if distance_px < 1:
        return labels
    reach = range(-distance_px, distance_px + 1)
    rings: dict[int, list[tuple[int, ...]]] = {}
    for offset in product(reach, repeat=labels.ndim):
        squared = sum(o * o for o in offset)
        if 0 < squared <= distance_px**2:
            rings.setdefault(squared, []).append(offset)
    none = np.iinfo(np.int32).max
    around = np.pad(labels, distance_px)
    around[around == 0] = none
    grown = labels.copy()
    for _, offsets in sorted(rings.items()):
        nearest = np.full(labels.shape, none, np.int32)
        for offset in offsets:
            window = tuple(
                slice(distance_px + o, distance_px + o + n)
                for o, n in zip(offset, labels.shape, strict=True)
            )
            np.minimum(nearest, around[window], out=nearest)
        np.copyto(grown, nearest, where=(grown == 0) & (nearest < none))
    return grown


def consecutive(labels: NDArray[np.int32]) -> NDArray[np.int32]:
    """The same objects with ids 1..n in the order of their first pixel."""
    flat = labels.ravel()
    starts = np.append(0, np.flatnonzero(flat[1:] != flat[:-1]) + 1)  # of runs: far fewer
    ids, first = np.unique(flat[starts], return_index=True)
    ids, first = ids[ids > 0], first[ids > 0]
    new = np.zeros(int(ids.max(initial=0)) + 1, np.int32)
    new[ids[np.argsort(first)]] = np.arange(1, len(ids) + 1)
    return new[labels]
