"""What the labels of a folder mean, noted beside them by the program that wrote them.

LABELS/biounet.json: {"labels_are": "instances", "ignore_value": 65535}
"""

import json
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from biounet.errors import InputError
from biounet.images.atomic import written_whole

FILE_NAME = "biounet.json"


class LabelNotes(BaseModel):
    """What a folder of labels says of itself."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    labels_are: Literal["instances", "mask", "classes"]
    ignore_value: int | None = None


def read_label_notes(folder: Path) -> LabelNotes | None:
    """The notes of a folder of labels; None where there are none.

    Raises InputError when the file is there but says something else.
    """
    path = folder / FILE_NAME
    if not path.is_file():
        return None
    try:
        return LabelNotes.model_validate_json(path.read_bytes())
    except ValidationError:
        raise InputError(
            f"notes on labels that cannot be understood: {path}",
            '{"labels_are": "instances", "ignore_value": 65535}',
            "mend or remove the file",
        ) from None


def write_label_notes(folder: Path, notes: LabelNotes) -> None:
    """Write the notes of a folder of labels."""
    with written_whole(folder / FILE_NAME) as temporary:
        temporary.write_text(json.dumps(notes.model_dump()) + "\n")
