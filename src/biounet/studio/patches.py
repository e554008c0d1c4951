"""Strokes as they arrive: boxes of new label values, checked before anything is written.

Every tool of the page (brush, eraser, fill, undo, …) comes down to this one thing.
"""

import base64
import binascii
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, TypeVar

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from biounet.errors import InputError

NOT_ANNOTATED = 65535
"""The ignore value of the label files."""

KEEP = 65534
"""In a patch: this pixel stays as it is."""

LAST_ID = 65533

MOST_PATCHES = 4096

_Size = Annotated[int, Field(strict=True, ge=1, le=2**16)]
_Place = Annotated[int, Field(strict=True, ge=0, le=2**16)]

T = TypeVar("T", bound=BaseModel)


class SentPatch(BaseModel):
    """A box of pixels: base64 of zlib of uint16, little endian, row by row."""

    model_config = ConfigDict(extra="forbid")
    y: _Place
    x: _Place
    height: _Size
    width: _Size
    pixels: str


class SentStrokes(BaseModel):
    """Strokes on one plane of an image, painted on a version of its annotation.

    `known_id` is the largest id that the page knew of: what lies above is a new cell.
    """

    model_config = ConfigDict(extra="forbid")
    name: str
    plane: Annotated[int, Field(strict=True, ge=0)] = 0
    version: Annotated[int, Field(strict=True, ge=0)]
    known_id: Annotated[int, Field(strict=True, ge=0, le=LAST_ID)] | None = None
    patches: Annotated[list[SentPatch], Field(min_length=1, max_length=MOST_PATCHES)]


@dataclass(frozen=True)
class Patch:
    """New values for the pixels from (y, x) on; KEEP where nothing changes."""

    y: int
    x: int
    values: NDArray[np.uint16]

    @property
    def box(self) -> tuple[slice, slice]:
        """Where it lies in the image."""
        height, width = self.values.shape
        return slice(self.y, self.y + height), slice(self.x, self.x + width)


def parse(kind: type[T], body: bytes) -> T:
    """A request as it should be.

    Raises:
        InputError: anything else.
    """
    try:
        return kind.model_validate_json(body)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "the request"
        raise InputError(
            f"a request that cannot be understood ({where}: {first['msg'][:100]})",
            "what the page sends",
            "reload the page",
        ) from None


def decode_patches(
    sent: Sequence[SentPatch], shape: tuple[int, int], rest_is_background: bool
) -> list[Patch]:
    """Patches of pixels, whole and inside the image.

    Raises:
        InputError: outside the image, other sizes than said, or values that are no labels.
    """
    return [_decoded(patch, shape, rest_is_background) for patch in sent]


def _decoded(sent: SentPatch, shape: tuple[int, int], rest_is_background: bool) -> Patch:
    if sent.y + sent.height > shape[0] or sent.x + sent.width > shape[1]:
        raise _rubbish(
            f"at {sent.y}, {sent.x} of {sent.height} x {sent.width} px",
            f"one inside the image of {shape[0]} x {shape[1]} px",
        )
    n_bytes = 2 * sent.height * sent.width
    try:
        packed = base64.b64decode(sent.pixels, validate=True)
        unpacking = zlib.decompressobj()
        raw = unpacking.decompress(packed, n_bytes + 1)
    except (binascii.Error, zlib.error, ValueError):
        raise _rubbish("that cannot be unpacked", "zlib in base64") from None
    if len(raw) != n_bytes or not unpacking.eof:
        raise _rubbish(
            f"of {sent.height} x {sent.width} px with {len(raw)} bytes or more", f"{n_bytes} bytes"
        )
    values = np.frombuffer(raw, "<u2").astype(np.uint16).reshape(sent.height, sent.width)
    if rest_is_background and (values == NOT_ANNOTATED).any():
        raise _rubbish("with pixels 'not annotated'", "none while the rest is background")
    return Patch(sent.y, sent.x, values)


def _rubbish(found: str, wanted: str) -> InputError:
    return InputError(f"a stroke {found}", wanted, "reload the page")
