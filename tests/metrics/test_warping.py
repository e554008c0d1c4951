"""Warping: the compiled relaxation against one written anew from the definition."""

import inspect

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import ndimage

from biounet.metrics import warping
from biounet.metrics.isbi2012 import THRESHOLDS
from biounet.metrics.warping import warp

EIGHT = np.ones((3, 3))


def number_of_objects_and_holes(cells: np.ndarray) -> tuple[int, int]:
    """Cells 4-connected, membranes 8-connected; outside the image lies membrane."""
    padded = np.pad(cells, 1)
    return ndimage.label(padded)[1], ndimage.label(~padded, EIGHT)[1]


def is_simple(neighbourhood: np.ndarray) -> bool:
    """By counting: flipping the middle joins, cuts, opens, fills, adds and deletes nothing.

    Cells near the middle hang together by the eight neighbours only, so that a ring round them
    (padding in `number_of_objects_and_holes`) changes nothing.
    """
    with_it, without = neighbourhood.copy(), neighbourhood.copy()
    with_it[1, 1], without[1, 1] = True, False
    return number_of_objects_and_holes(with_it) == number_of_objects_and_holes(without)


def warp_slowly(
    truth: np.ndarray, probabilities: np.ndarray, threshold: float, mask: np.ndarray
) -> np.ndarray:
    """A transcript of the definition: sorted anew before each pass, one pixel at a time."""
    warped = np.pad(truth, 1)
    height, width = truth.shape
    previous = None
    while True:
        wrong = [
            (x, y)
            for x in range(width)
            for y in range(height)
            if mask[y, x] and warped[y + 1, x + 1] != (float(probabilities[y, x]) > threshold)
        ]
        if len(wrong) in (0, previous):
            return warped[1:-1, 1:-1]
        previous = len(wrong)
        wrong.sort(key=lambda p: -np.float32(abs(float(probabilities[p[1], p[0]]) - threshold)))
        for x, y in wrong:
            if is_simple(warped[y : y + 3, x : x + 3]):
                warped[y + 1, x + 1] = not warped[y + 1, x + 1]


@st.composite
def cases(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray, float, np.ndarray]:
    shape = draw(st.tuples(st.integers(1, 9), st.integers(1, 9)))
    # eighths: many equal distances from the threshold, whose order the scan decides
    eighths = hnp.arrays(np.float32, shape, elements=st.sampled_from(np.arange(9) / 8))
    return (
        draw(hnp.arrays(np.bool_, shape)),
        draw(eighths),
        draw(st.sampled_from(THRESHOLDS)),
        draw(st.one_of(st.just(np.ones(shape, np.bool_)), hnp.arrays(np.bool_, shape))),
    )


@settings(deadline=None, max_examples=200)
@given(cases())
def test_is_the_definition(case: tuple[np.ndarray, np.ndarray, float, np.ndarray]) -> None:
    np.testing.assert_array_equal(warp(*case), warp_slowly(*case))


@settings(deadline=None, max_examples=100)
@given(cases())
def test_plain_python_gives_the_same(
    case: tuple[np.ndarray, np.ndarray, float, np.ndarray],
) -> None:
    compiled = warp(*case)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(warping, "flip_simple_points", inspect.unwrap(warping.flip_simple_points))
        np.testing.assert_array_equal(warp(*case), compiled)


@settings(deadline=None, max_examples=100)
@given(cases())
def test_topology_is_kept(case: tuple[np.ndarray, np.ndarray, float, np.ndarray]) -> None:
    truth, _, _, mask = case
    warped = warp(*case)
    assert number_of_objects_and_holes(warped) == number_of_objects_and_holes(truth)
    np.testing.assert_array_equal(warped[~mask], truth[~mask])


def test_a_membrane_that_moved_by_one_pixel_costs_nothing() -> None:
    truth, moved = np.ones((2, 8, 9), np.bool_)
    truth[:, 4] = moved[:, 5] = False
    np.testing.assert_array_equal(warp(truth, moved.astype(np.float32), 0.5), moved)


def test_input_is_not_changed() -> None:
    truth = np.eye(6, dtype=np.bool_)
    before = truth.copy()
    warp(truth, np.ones((6, 6), np.float32), 0.5)
    np.testing.assert_array_equal(truth, before)
