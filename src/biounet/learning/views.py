"""Parts of images to look at: small, 8-bit, where the labels are."""

from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from biounet.images.dataset import Annotated
from biounet.learning.gallery import Grey, View

SIDE_PX = 512
"""Largest side of a picture."""


def view_of(item: Annotated) -> View:
    """The part of an annotated image that is shown."""
    box = shown_box(item.labels)
    labels = item.labels[box]
    return View(
        name=item.name,
        image=grey_picture(item.image[(slice(None), *box)]),
        labels=labels,
        annotated=np.ones(labels.shape, bool) if item.annotated is None else item.annotated[box],
        whole=labels.shape == item.labels.shape,
    )


def shown_box(labels: NDArray[np.int32]) -> tuple[Any, ...]:
    """The slice of a volume, and the part of an image, that hold most labelled pixels."""
    leading: tuple[int, ...] = ()
    if labels.ndim == 3:
        leading = (int(np.argmax(np.count_nonzero(labels, axis=(1, 2)))),)
    plane = labels[leading] > 0
    starts = [
        sorted({*range(0, max(size - SIDE_PX, 0) + 1, SIDE_PX // 2), max(size - SIDE_PX, 0)})
        for size in plane.shape
    ]
    coarse = 8  # pixels looked at, to choose
    y, x = max(
        product(*starts),
        key=lambda s: np.count_nonzero(
            plane[s[0] : s[0] + SIDE_PX : coarse, s[1] : s[1] + SIDE_PX : coarse]
        ),
    )
    return (*leading, slice(y, y + SIDE_PX), slice(x, x + SIDE_PX))


def grey_picture(image: NDArray[Any]) -> Grey:
    """Channels (C, Y, X) of any type as a picture: stretched from the darkest 0.2 % to 99.8 %.

    One channel is grey, two are magenta and green, of more the first three are red, green, blue.
    """
    values = image[:3].astype(np.float32)
    joint = len(values) == 3  # colours keep their proportions
    low, high = np.percentile(
        values[:, ::2, ::2], (0.2, 99.8), axis=(0, 1, 2) if joint else (1, 2), keepdims=True
    )
    unit = np.clip((values - low) / np.maximum(high - low, 1e-6), 0, 1)
    grey: Grey = np.round(unit * 255).astype(np.uint8)
    if len(grey) == 2:
        grey = grey[[0, 1, 0]]
    return np.moveaxis(grey, 0, -1) if len(grey) == 3 else grey[0].copy()


def spread(n: int, n_wanted: int) -> list[int]:
    """Indices, evenly spread over `n` things."""
    n_taken = max(min(n, n_wanted), 0)
    return [int(k) for k in np.linspace(0, n - 1, n_taken).round()]
