"""Volumes from slices: what a 2-D network found in each slice of a stack, joined to objects."""

import numpy as np
from numpy.typing import NDArray

from biounet.config import ObjectSettings
from biounet.metrics.contingency import contingency
from biounet.network_settings import NetworkSettings


def stack_axis(
    series: str, file_axes: str, network: NetworkSettings, objects: ObjectSettings
) -> int | None:
    """Which axis of a series holds the slices that are to be joined; None: none are.

    Args:
        series: the axes that the network does not see, in order; pages without a name stand as "T"
            there.
        file_axes: as the file names them: "?" for pages.
    """
    if objects.join_slices == 0 or objects.method == "classes" or network.dimensions == 3:
        return None
    if "Z" in series:
        return series.index("Z")
    return series.index("T") if "?" in file_axes else None


def join_stacks(labels: NDArray[np.int32], axis: int, least_iou: float) -> NDArray[np.int32]:
    """Every stack of a series, joined (`join_slices`).

    Args:
        labels: (…, Y, X).
        axis: of the slices.
        least_iou: see there.
    """
    result = np.empty_like(labels)
    into, found = (np.moveaxis(each, axis, -3) for each in (result, labels))
    for index in np.ndindex(found.shape[:-3]):
        into[index] = join_slices(found[index], least_iou)
    return result


def join_slices(labels: NDArray[np.int32], least_iou: float) -> NDArray[np.int32]:
    """Objects of successive slices that overlap become one.

    One to one, those of the largest IoU first (ties: the smaller labels first), so that no two
    objects of a slice become one.

    Args:
        labels: (Z, Y, X), ids of their own in each slice, 0 = background.
        least_iou: 0..1, of two that are one.

    Returns:
        The same objects in each slice, numbered 1, 2, … through the stack.
    """
    joined = np.zeros_like(labels)
    n_objects = 0
    for z, here in enumerate(labels):
        table = contingency(here, joined[z - 1] if z else joined[0])
        pairs = table.objects()
        number_of: dict[int, int] = {}
        taken = set()
        for k in np.lexsort((pairs.prediction, pairs.truth, -pairs.iou)).tolist():
            own, before = int(pairs.prediction[k]), int(pairs.truth[k])
            if pairs.iou[k] >= least_iou and own not in number_of and before not in taken:
                number_of[own] = before
                taken.add(before)
        for own in table.prediction_labels[table.prediction_labels != 0].tolist():
            if own not in number_of:
                n_objects += 1
                number_of[own] = n_objects
        numbers = [number_of.get(own, 0) for own in table.prediction_labels.tolist()]
        joined[z] = np.array(numbers, np.int32)[np.searchsorted(table.prediction_labels, here)]
    return joined
