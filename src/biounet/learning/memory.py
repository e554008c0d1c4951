"""Memory that a training step gives back is kept for the next one."""

import ctypes
import platform
from collections.abc import Iterator
from contextlib import contextmanager

M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4  # glibc, malloc.h
USUAL_TRIM_BYTES, USUAL_MMAP_MAX = 128 * 2**10, 65536
LARGEST_INT = 2**31 - 1


@contextmanager
def kept_memory() -> Iterator[None]:
    """While it lasts, glibc keeps the blocks that are freed; then it returns them.

    By itself it asks the system for every large block anew, and the system clears its pages at
    first use: a million page faults in a step of the paper's network, a fifth of the time. Nothing
    is done where the C library is another.
    """
    if platform.libc_ver()[0] != "glibc":
        yield
        return
    library = ctypes.CDLL(None)
    library.mallopt(M_MMAP_MAX, 0)
    library.mallopt(M_TRIM_THRESHOLD, LARGEST_INT)
    try:
        yield
    finally:
        library.mallopt(M_MMAP_MAX, USUAL_MMAP_MAX)
        library.mallopt(M_TRIM_THRESHOLD, USUAL_TRIM_BYTES)
        library.malloc_trim(0)
