"""Loops over pixels, written in plain Python and compiled by Numba when first called."""

from collections.abc import Callable
from functools import cache, wraps
from typing import ParamSpec, TypeVar

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")


def compiled(loop: Callable[Arguments, Result]) -> Callable[Arguments, Result]:
    """Decorate a function of arrays and numbers: it runs compiled, free of Python's lock.

    Numba is imported and the loop compiled at the first call, and the machine code is kept on
    disk for the next process; `inspect.unwrap` gives the plain Python loop back, which is the
    same function, slowly.
    """

    @cache
    def machine_code() -> Callable[Arguments, Result]:
        import numba  # here: takes longer to import than all of biounet.metrics

        try:
            fast: Callable[Arguments, Result] = numba.njit(cache=True, nogil=True)(loop)
        except RuntimeError:  # no folder that it may write to: compile anew in each process
            fast = numba.njit(nogil=True)(loop)
        return fast

    @wraps(loop)
    def call(*args: Arguments.args, **kwargs: Arguments.kwargs) -> Result:
        return machine_code()(*args, **kwargs)

    return call
