"""A lazy array over a file: reads the regions asked for, and tells its errors in words."""

import os
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from biounet.errors import InputError

Opened = tuple[Any, Callable[[], None]]
"""A zarr array, and what closes the file under it."""


class DiskArray:
    """An array in a file, read by slices.

    It opens its file again in another process (after a fork or when unpickled), so it can be
    handed to workers. Reading raises InputError for damaged data and for a file that has gone.
    """

    def __init__(self, path: Path, open_array: Callable[[Path], Opened]) -> None:
        self.path = path
        self._open_array = open_array
        self._open()

    def _open(self) -> None:
        self._process = os.getpid()
        self._array, close = self._open_array(self.path)
        self._closing = weakref.finalize(self, close)

    def __reduce__(self) -> tuple[Any, ...]:
        return DiskArray, (self.path, self._open_array)

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(self._array.shape)

    @property
    def ndim(self) -> int:
        return len(self.shape)

    @property
    def dtype(self) -> np.dtype[Any]:
        dtype: np.dtype[Any] = np.dtype(self._array.dtype)
        return dtype

    @property
    def chunks(self) -> tuple[int, ...]:
        """The size of the pieces that are read at once."""
        return tuple(self._array.chunks)

    @property
    def shards(self) -> tuple[int, ...] | None:
        """The size of the pieces that are written at once, where chunks are kept in shards."""
        return getattr(self._array, "shards", None)

    def __getitem__(self, key: Any) -> NDArray[Any]:
        if not self.path.exists():
            raise InputError(
                f"an image that has gone while it was read: {self.path}",
                "the file in its place",
                "put it back and run again",
            )
        if self._process != os.getpid():
            self._open()
        try:
            return np.asarray(self._array[key])
        except IndexError:
            raise
        except Exception as error:  # each codec has its own exceptions
            raise InputError(
                f"damaged pixels in {self.path} ({' '.join(str(error).split())[:200]})",
                "a whole image",
                "copy or export it again",
            ) from error

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        if copy is False:
            raise ValueError("an array on disk cannot be had without a copy")
        return np.asarray(self[...], dtype=dtype)
