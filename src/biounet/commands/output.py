"""What commands print, and when they began."""

import os
import sys
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


def say(text: str) -> None:
    """Print a line of the result, if anybody still reads."""
    try:
        print(text, flush=True)  # noqa: T201
    except BrokenPipeError:  # `biounet inspect nuclei | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def command_started() -> float:
    """`time.monotonic()` at the start of this process: what --minutes counts from."""
    import psutil

    return time.monotonic() - (time.time() - psutil.Process().create_time())


@contextmanager
def warnings_as_lines() -> Iterator[None]:
    """Show warnings as plain lines on standard error, each once."""
    told = set()

    def show(message: Warning | str, *_: Any, **__: Any) -> None:
        if str(message) not in told:
            told.add(str(message))
            print(f"biounet: warning: {message}", file=sys.stderr)  # noqa: T201

    with warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.showwarning = show
        yield
