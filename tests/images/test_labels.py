"""What label values mean, decided by looking."""

import numpy as np
import pytest

from biounet.errors import InputError
from biounet.images.labels import (
    LabelMeaning,
    as_integers,
    decide_kind,
    distinct_values,
    meaning_of,
    read_labels,
)

CHECKS = np.indices((8, 8)).sum(axis=0) % 3
"""Three values, each in many parts."""

BLOCKS = np.repeat([0, 1, 2, 3], 4).reshape(4, 4)
"""Each value in one part."""


@pytest.mark.parametrize(
    ("labels", "kind"),
    [
        ([np.array([[0, 255]])], "mask"),
        ([np.array([[0, 1]])], "mask"),
        ([np.array([[0, 0]])], "mask"),
        ([np.array([[255, 255]]), np.array([[0, 0]])], "mask"),
        ([CHECKS], "classes"),
        ([CHECKS + 1], "classes"),
        ([BLOCKS], "instances"),
        ([BLOCKS, BLOCKS[::-1]], "instances"),
        ([BLOCKS * 10], "instances"),
        ([np.arange(64).reshape(8, 8)], "instances"),
    ],
)
def test_kind_is_decided_by_looking(labels, kind):
    values = sorted({int(v) for image in labels for v in distinct_values(image)})
    decided, why = decide_kind(values, labels)
    assert decided == kind
    assert ("mask" in why, "class map" in why, "instance ids" in why) == (
        kind == "mask",
        kind == "classes",
        kind == "instances",
    )


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int32, np.int64])
def test_distinct_values(dtype):
    assert distinct_values(np.array([[3, 0], [3, 200]], dtype)).tolist() == [0, 3, 200]


@pytest.mark.parametrize(
    ("kind", "values", "ignore", "raw", "labels", "annotated"),
    [
        ("mask", [0, 255], None, [0, 255], [0, 1], None),
        ("mask", [0], None, [0, 0], [0, 0], None),
        ("mask", [255], None, [255, 255], [1, 1], None),
        ("mask", [1, 2], None, [1, 2], [0, 1], None),
        ("mask", [0, 1, 2, 3], None, [0, 3], [0, 1], None),
        ("classes", [0, 4, 9], None, [9, 0, 4], [2, 0, 1], None),
        ("classes", [0, 1], 255, [1, 255, 0], [1, 0, 0], [True, False, True]),
        ("instances", [0, 7, 9], None, [0, 7, 9], [0, 7, 9], None),
        ("instances", [0, 7], -1, [-1, 7], [0, 7], [False, True]),
        ("instances", [0, 7], 99, [0, 7], [0, 7], None),
    ],
)
def test_raw_values_become_labels(kind, values, ignore, raw, labels, annotated):
    found, known = read_labels(np.array(raw), meaning_of(kind, values, ignore))
    assert found.dtype == np.int32
    assert found.tolist() == labels
    assert (None if known is None else known.tolist()) == annotated


def test_reading_does_not_change_the_raw_labels():
    raw = np.array([5, 1], dtype=np.int32)
    read_labels(raw, LabelMeaning("instances", ignore_value=5))
    assert raw.tolist() == [5, 1]


def test_whole_floats_and_booleans_are_labels():
    assert as_integers(np.array([0.0, 2.0]), "x").tolist() == [0, 2]
    assert as_integers(np.array([True, False]), "x").tolist() == [1, 0]
    assert as_integers(np.array([-1, 3]), "x", ignore_value=-1).tolist() == [-1, 3]


@pytest.mark.parametrize(
    ("raw", "ignore", "found"),
    [
        ([0.5, 1], None, "1 label pixels that are not whole numbers in x"),
        ([np.nan, np.inf], None, "2 label pixels that are NaN or infinite in x"),
        ([-3, 1], None, r"negative label ids \(down to -3\)"),
        ([-3, -1], -3, "besides the ignore value -3"),
        ([2**31, 1], None, "a label id of 2147483648"),
        ([1j, 0], None, "labels of type complex128"),
    ],
)
def test_values_that_are_no_labels(raw, ignore, found):
    with pytest.raises(InputError, match=found):
        as_integers(np.array(raw), "x", ignore)
