"""Refuse to load what the memory cannot hold, before the system ends the program for it."""

import psutil

from biounet.errors import InputError


def check_fits(n_bytes: int, what: str, remedy: str) -> None:
    """Raise InputError when `n_bytes` are more than the memory that is free now."""
    free = psutil.virtual_memory().available
    if n_bytes > free:
        raise InputError(
            f"{n_bytes / 1e9:.1f} GB of pixels in {what}",
            f"what fits in memory ({free / 1e9:.1f} GB are free)",
            remedy,
        )
