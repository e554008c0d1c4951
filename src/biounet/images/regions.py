"""Read any box of an image, mirrored where it reaches beyond the border."""

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray


class Pixels(Protocol):
    """What pixels are read from: a numpy array, or a lazy one (zarr, dask) read by slices."""

    @property
    def shape(self) -> tuple[int, ...]: ...

    @property
    def ndim(self) -> int: ...

    @property
    def dtype(self) -> Any: ...

    def __getitem__(self, key: Any, /) -> Any: ...


def mirrored_indices(start: int, stop: int, size: int) -> NDArray[np.intp]:
    """Indices into an axis of `size` pixels for the positions start..stop-1, reflected at its ends.

    The edge pixel is not repeated (numpy's 'reflect'), the reflection goes on for ever, and an
    axis of one pixel is constant.
    """
    if size < 1 or stop <= start:
        raise ValueError(f"no positions {start}..{stop} on an axis of {size} px")
    if size == 1:
        return np.zeros(stop - start, dtype=np.intp)
    period = 2 * (size - 1)
    position = np.arange(start, stop, dtype=np.intp) % period
    return np.minimum(position, period - position)


def read_region(array: Pixels, start: Sequence[int], stop: Sequence[int]) -> NDArray[Any]:
    """The box start..stop of `array`, mirrored where it lies outside.

    `start` and `stop` (px) run over the trailing axes, as many as they are long; leading axes
    (channels) are kept whole. Negative positions lie before the first pixel. Of a lazy array only
    the bounding box of the pixels needed is read. Returns an array of its own, with shape
    (leading axes..., *(stop - start)) and the dtype of `array`.

    Raises ValueError for an empty box, an empty axis, or more positions than axes.
    """
    if len(start) != len(stop) or len(start) > array.ndim:
        raise ValueError(f"a box of {len(start)} and {len(stop)} axes in {array.ndim} axes")
    n_leading = array.ndim - len(start)
    indices = [
        mirrored_indices(first, last, size)
        for first, last, size in zip(start, stop, array.shape[n_leading:], strict=True)
    ]
    low = [int(index.min()) for index in indices]
    high = [int(index.max()) + 1 for index in indices]
    box = (slice(None),) * n_leading + tuple(map(slice, low, high))
    region: NDArray[Any] = np.asarray(array[box])
    if isinstance(array, np.ndarray):
        region = region.copy()
    for axis, (index, first) in enumerate(zip(indices, low, strict=True), start=n_leading):
        if start[axis - n_leading] < 0 or stop[axis - n_leading] > array.shape[axis]:
            region = np.take(region, index - first, axis=axis)
    return region
