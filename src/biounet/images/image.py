"""What an image is here: pixels, the names of their axes, and their size on the specimen."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from biounet.errors import InputError
from biounet.images.regions import Pixels

AXES = "TCZYX"

UM_PER_UNIT = {
    "angstrom": 1e-4,
    "nm": 1e-3,
    "nanometer": 1e-3,
    "um": 1.0,
    "\u00b5m": 1.0,  # micro sign
    "\u03bcm": 1.0,  # Greek mu
    "micron": 1.0,
    "microns": 1.0,
    "micrometer": 1.0,
    "mm": 1e3,
    "millimeter": 1e3,
    "cm": 1e4,
    "centimeter": 1e4,
    "m": 1e6,
    "meter": 1e6,
}
"""Micrometres per unit of length, by the names that ImageJ, OME-TIFF and OME-Zarr use."""


@dataclass(frozen=True)
class Header:
    """Everything about an image but its pixels; `path` is None for an array in memory."""

    path: Path | None
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    axes: str
    pixel_size_um: tuple[float, ...] | None = None
    channel_names: tuple[str, ...] | None = None


@dataclass(frozen=True)
class Image:
    """An image and the names of its axes.

    `data` is a numpy array or a lazy one (zarr, dask) in storage order. `axes` has one letter of
    "TCZYX" per axis, and "?" for pages that the file does not name (the caller decides between a
    stack of 2-D images and "Z"). `pixel_size_um` is (Y, X) or (Z, Y, X), or None when unknown.
    """

    data: Pixels
    axes: str
    pixel_size_um: tuple[float, ...] | None = None
    channel_names: tuple[str, ...] | None = None
    path: Path | None = None


def as_image(array: Any, axes: str | None = None) -> Image:
    """Wrap an array (numpy, zarr, dask; not copied) as an `Image`.

    Without `axes`, two axes are "YX" and three are "?YX".

    Raises InputError for other numbers of axes without `axes`, or `axes` that do not fit.
    """
    if isinstance(array, Image):
        return array if axes is None else as_image(array.data, axes)
    if not hasattr(array, "shape") or not hasattr(array, "dtype"):
        array = np.asarray(array)
    return Image(array, check_axes(axes, array.ndim, "the array"))


def check_axes(axes: str | None, n_axes: int, what: str) -> str:
    """The axes as upper-case letters; without any, those that 2 or 3 axes are taken for."""
    if axes is None:
        if n_axes in (2, 3):
            return "YX" if n_axes == 2 else "?YX"
        raise InputError(
            f"{n_axes} axes without names in {what}",
            "2 axes (Y, X) or 3 (pages, Y, X)",
            "name them, for example 'CZYX'",
        )
    named = axes.upper()
    wrong = set(named) - set(AXES)
    if wrong or len(set(named)) != len(named) or not {"Y", "X"} <= set(named):
        raise InputError(
            f"axes {axes!r}", f"letters of {AXES}, each once, Y and X among them", "such as 'ZYX'"
        )
    if len(named) != n_axes:
        raise InputError(
            f"axes {axes!r} for {what}, which has {n_axes} axes",
            "one letter per axis",
            f"give {n_axes} letters of {AXES}",
        )
    return named
