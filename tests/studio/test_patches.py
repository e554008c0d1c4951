"""Strokes are boxes of pixels; rubbish is refused in words."""

import base64
import json
import zlib
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from biounet.errors import InputError
from biounet.studio.patches import (
    KEEP,
    NOT_ANNOTATED,
    SentPatch,
    SentStrokes,
    decode_patches,
    parse,
)

SHAPE = (60, 80)


def sent_patch(y: int, x: int, values: NDArray[Any]) -> dict[str, Any]:
    packed = base64.b64encode(zlib.compress(values.astype("<u2").tobytes())).decode()
    return {"y": y, "x": x, "height": values.shape[0], "width": values.shape[1], "pixels": packed}


def decode(sent: dict[str, Any], rest_is_background: bool = False) -> Any:
    return decode_patches([SentPatch.model_validate(sent)], SHAPE, rest_is_background)[0]


@given(
    st.integers(0, 59), st.integers(0, 79), st.integers(1, 60), st.integers(1, 80), st.integers(0)
)
def test_what_is_sent_arrives(y: int, x: int, height: int, width: int, seed: int) -> None:
    values = np.random.default_rng(seed).integers(0, 2**16, (height, width)).astype(np.uint16)
    if y + height <= 60 and x + width <= 80:
        patch = decode(sent_patch(y, x, values))
        assert np.array_equal(patch.values, values)
        assert patch.box == (slice(y, y + height), slice(x, x + width))
    else:
        with pytest.raises(InputError, match="inside the image of 60 x 80 px"):
            decode(sent_patch(y, x, values))


def with_pixels(raw: bytes) -> dict[str, Any]:
    return {**sent_patch(0, 0, np.ones((4, 4))), "pixels": base64.b64encode(raw).decode()}


@pytest.mark.parametrize(
    ("sent", "words"),
    [
        (with_pixels(b"no zlib"), "cannot be unpacked"),
        (with_pixels(zlib.compress(b"\0" * 31)), "31 bytes or more; wanted 32 bytes"),
        (with_pixels(zlib.compress(b"\0" * 10**7)), "33 bytes or more; wanted 32 bytes"),  # a bomb
        (with_pixels(zlib.compress(b"\0" * 32)[:-4]), "wanted 32 bytes"),
        (with_pixels(b""), "wanted 32 bytes"),
        ({**sent_patch(0, 0, np.ones((4, 4))), "pixels": "äöü"}, "cannot be unpacked"),
        (sent_patch(58, 0, np.ones((4, 4))), "inside the image"),
    ],
)
def test_rubbish_pixels(sent: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError, match=words):
        decode(sent)


def test_no_unmarked_pixels_while_the_rest_is_background() -> None:
    values = np.full((2, 2), NOT_ANNOTATED)
    assert decode(sent_patch(0, 0, values)).values[0, 0] == NOT_ANNOTATED
    assert decode(sent_patch(0, 0, np.full((2, 2), KEEP)), True).values[0, 0] == KEEP
    with pytest.raises(InputError, match="none while the rest is background"):
        decode(sent_patch(0, 0, values), True)


PATCH = sent_patch(0, 0, np.ones((4, 4)))


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\xff\xfe",
        b"[]",
        b'"a stroke"',
        b"{" * 10000,
        json.dumps({"name": "a.tif", "version": 1}).encode(),
        json.dumps({"name": "a.tif", "version": 1, "patches": []}).encode(),
        json.dumps({"name": "a.tif", "version": 1, "patches": [PATCH] * 5000}).encode(),
        json.dumps({"name": "a.tif", "version": "1", "patches": [PATCH]}).encode(),
        json.dumps({"name": "a.tif", "version": 1.5, "patches": [PATCH]}).encode(),
        json.dumps({"name": "a.tif", "version": 1, "patches": [{**PATCH, "y": -1}]}).encode(),
        json.dumps({"name": "a.tif", "version": 1, "patches": [{**PATCH, "y": 1e99}]}).encode(),
        json.dumps({"name": "a.tif", "version": 1, "patches": [{**PATCH, "width": 0}]}).encode(),
        json.dumps({"name": "a.tif", "version": 1, "patches": [PATCH], "more": 1}).encode(),
        json.dumps({"name": ["a"], "version": 1, "patches": [PATCH]}).encode(),
    ],
)
def test_rubbish_requests(body: bytes) -> None:
    with pytest.raises(InputError, match="a request that cannot be understood"):
        parse(SentStrokes, body)
