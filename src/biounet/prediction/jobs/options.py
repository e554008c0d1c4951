"""What is asked of a prediction on files, and what came of it."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

from biounet.config import Save
from biounet.errors import InputError


def parse_save(text: str) -> tuple[Save, ...]:
    """The outputs in a list such as "labels,table".

    Raises InputError for a word that names none.
    """
    words = [word.strip() for word in text.split(",")]
    known: tuple[Save, ...] = get_args(Save)
    if unknown := [word for word in words if word not in known]:
        raise InputError(
            f"--save {unknown[0]!r}", f"some of {','.join(known)}", "choose from these"
        )
    return tuple(kind for kind in known if kind in words)


def parse_scale(text: str) -> tuple[float, ...]:
    """The factors in a list such as "0.5" or "1,0.5,0.5".

    Raises InputError for what is no number.
    """
    try:
        return tuple(float(word) for word in text.split(","))
    except ValueError:
        raise InputError(
            f"--scale {text!r}", "a number, or one for each axis", "such as 0.5 or 1,0.5,0.5"
        ) from None


OnProgress = Callable[[float, int, str], None]
"""Called with the inputs done (parts of one count), their number, and the name of the last."""


@dataclass(frozen=True)
class Outcome:
    """What came of each input.

    Attributes:
        done: inputs whose outputs are all there now.
        skipped: how many of those were there before.
        failed: inputs with their errors, in one line each.
        notes: what to tell the user, such as chunks that an input lacks.
    """

    done: tuple[Path, ...]
    skipped: int
    failed: tuple[tuple[Path, str], ...]
    notes: tuple[str, ...] = ()
