"""From probabilities to labels: the one interface, `label_objects`.

`components`: pixels above a threshold, in connected components (4- or 6-connected, as the
separation border is drawn), are the cores of objects; holes are filled, small cores removed, and
the others grow, layer by layer, into what is foreground at a lower threshold. `agglomeration`: the
cores are the regions between thin walls, of any pixels above the threshold. `classes`: the class
map itself, by argmax.
"""

from itertools import product

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from biounet.config import ObjectSettings

NONE = np.iinfo(np.int32).max
"""In place of the background while objects grow, so that the smallest id around a pixel is one."""


def label_objects(
    probabilities: NDArray[np.float32], settings: ObjectSettings
) -> NDArray[np.int32]:
    """Labels of an image: int32, 0 = background; ids 1..n in the order of their cores' first pixel.

    Args:
        probabilities: (K, …) in 0..1, background first.
        settings: how; `classes` gives class numbers, not instances.
    """
    if settings.method == "classes":
        return np.asarray(np.argmax(probabilities, axis=0), np.int32)
    labels = core_labels(probabilities, settings)
    if settings.fill_holes:
        labels = fill_holes(labels)
    if settings.minimum_size_px > 1:
        small = np.bincount(labels.ravel()) < settings.minimum_size_px
        labels[small[labels]] = 0
    labels = consecutive(labels)
    return grow(labels, growable(probabilities, settings), settings.grow_px)


def core_labels(probabilities: NDArray[np.float32], settings: ObjectSettings) -> NDArray[np.int32]:
    """The components or regions above the threshold, numbered from 1; no more done to them."""
    certain = 1 - probabilities[0] > settings.threshold
    if settings.method == "agglomeration":
        from biounet.prediction.agglomeration import agglomerate  # here: its imports take 0.3 s

        return np.where(certain, agglomerate(probabilities[0], settings.merge_threshold), 0)
    return np.asarray(ndimage.label(certain)[0], np.int32)


def growable(probabilities: NDArray[np.float32], settings: ObjectSettings) -> NDArray[np.bool_]:
    """The pixels that cores may grow into; all, for a threshold of 0, whatever rounding does."""
    foreground = 1 - probabilities[0]
    return np.asarray((foreground >= settings.grow_threshold) | (settings.grow_threshold == 0))


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


def grow(labels: NDArray[np.int32], into: NDArray[np.bool_], n_layers: int) -> NDArray[np.int32]:
    """Grow objects into background where that is allowed, by layers of one pixel.

    Layers go by turns to the pixels that share a side with the object and to those that share a
    corner as well, so that an object grows into an octagon around it. A pixel between two objects
    goes to the one that reaches it first; in the same layer, to the smaller id. Its new label
    depends on nothing that is more than `n_layers` px away.

    Args:
        labels: objects, 0 where background.
        into: the pixels that may become part of one.
    """
    if n_layers < 1:
        return labels
    within = 2 * n_layers + 1  # a box that no growth leaves
    near = ndimage.maximum_filter((labels > 0).view(np.uint8), within, mode="constant") > 0
    around = np.pad(labels, 1)
    around[around == 0] = NONE
    flat = around.reshape(-1)
    steps = np.array(_flat_steps(around.shape))
    waiting = np.flatnonzero(np.pad(near & into & (labels == 0), 1))
    for layer in range(n_layers):
        nearest = np.full(waiting.shape, NONE, np.int32)
        for step in steps[: 2 * labels.ndim] if layer % 2 == 0 else steps:
            np.minimum(nearest, flat[waiting + step], out=nearest)
        reached = nearest < NONE
        flat[waiting[reached]] = nearest[reached]
        waiting = waiting[~reached]
    around[around == NONE] = 0
    return np.ascontiguousarray(around[(slice(1, -1),) * labels.ndim])


def _flat_steps(shape: tuple[int, ...]) -> list[int]:
    """Steps in storage order to the pixels around one: first those that share a side with it."""
    offsets = [o for o in product((-1, 0, 1), repeat=len(shape)) if any(o)]
    offsets.sort(key=lambda o: sum(map(abs, o)))
    strides = np.cumprod((1, *shape[:0:-1]))[::-1]
    return [int(np.dot(o, strides)) for o in offsets]


def consecutive(labels: NDArray[np.int32]) -> NDArray[np.int32]:
    """The same objects with ids 1..n in the order of their first pixel."""
    flat = labels.ravel()
    starts = np.append(0, np.flatnonzero(flat[1:] != flat[:-1]) + 1)  # of runs: far fewer
    ids, first = np.unique(flat[starts], return_index=True)
    ids, first = ids[ids > 0], first[ids > 0]
    new = np.zeros(int(ids.max(initial=0)) + 1, np.int32)
    new[ids[np.argsort(first)]] = np.arange(1, len(ids) + 1)
    return new[labels]
