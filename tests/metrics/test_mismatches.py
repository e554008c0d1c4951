"""The kinds of topological error: the compiled loop against one written from the definition."""

import inspect

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import ndimage

from biounet.metrics import mismatches
from biounet.metrics.mismatches import Mismatch, MismatchCounts, classify, count_pixels


def values_around(labels: np.ndarray, y: int, x: int) -> set[int]:
    """The labels of the eight neighbours that lie inside the image."""
    window = labels[max(y - 1, 0) : y + 2, max(x - 1, 0) : x + 2].copy()
    window[min(y, 1), min(x, 1)] = -1
    return set(window.ravel().tolist()) - {-1}


def classify_slowly(
    warped: np.ndarray, cells: np.ndarray, truth: np.ndarray, radius: int
) -> np.ndarray:
    """A transcript of the definition: for each pixel, label its window again without it."""
    height, width = warped.shape
    labels = np.zeros(warped.shape, int) if truth.all() else ndimage.label(warped)[0]
    codes = np.zeros(warped.shape, int)
    for y, x in np.argwhere(warped != cells):
        ids, is_cell = values_around(labels, y, x), labels[y, x] != 0
        if ids <= {0}:
            kind = Mismatch.OBJECT_DELETION if is_cell else Mismatch.OBJECT_ADDITION
        elif len(ids) == 1:
            kind = Mismatch.HOLE_ADDITION if is_cell else Mismatch.HOLE_DELETION
        elif len(ids) > 2:
            kind = Mismatch.SPLIT if is_cell else Mismatch.MERGE
        elif not is_cell:
            kind = Mismatch.HOLE_ADDITION
        else:
            without = warped.copy()
            without[y, x] = False
            if radius < 1 or radius > width or radius > height:
                parts = values_around(ndimage.label(without)[0], y, x)
            else:
                window = np.pad(without, radius)[y : y + 2 * radius + 1, x : x + 2 * radius + 1]
                parts = values_around(ndimage.label(window)[0], radius, radius)
            kind = Mismatch.SPLIT if len(parts) > 2 else Mismatch.HOLE_DELETION
        codes[y, x] = kind
    return codes


@st.composite
def cases(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    shape = draw(st.tuples(st.integers(1, 12), st.integers(1, 12)))
    full = st.just(np.ones(shape, np.bool_))
    masks = hnp.arrays(np.bool_, shape)
    return draw(masks), draw(masks), draw(st.one_of(masks, full))


@settings(deadline=None, max_examples=300)
@given(cases(), st.sampled_from([0, 1, 2, 4, 20]))
def test_is_the_definition(case: tuple[np.ndarray, np.ndarray, np.ndarray], radius: int) -> None:
    np.testing.assert_array_equal(classify(*case, radius_px=radius), classify_slowly(*case, radius))


@settings(deadline=None, max_examples=50)
@given(cases())
def test_plain_python_gives_the_same(case: tuple[np.ndarray, np.ndarray, np.ndarray]) -> None:
    compiled = classify(*case, radius_px=2)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(mismatches, "name_mismatches", inspect.unwrap(mismatches.name_mismatches))
        np.testing.assert_array_equal(classify(*case, radius_px=2), compiled)


def kind_of(warped: list[str], pixel: tuple[int, int], radius_px: int = 20) -> Mismatch:
    """The kind of error at one pixel; # is cell."""
    before = np.array([[c == "#" for c in row] for row in warped])
    after = before.copy()
    after[pixel] = not after[pixel]
    codes = classify(before, after, before, radius_px=radius_px)
    assert np.count_nonzero(codes) == 1
    return Mismatch(codes[pixel])


def test_each_kind_by_hand() -> None:
    assert kind_of(["## ##", "     "], (0, 2)) == Mismatch.MERGE
    assert kind_of(["#####", "     "], (0, 2)) == Mismatch.SPLIT
    assert kind_of(["###", "###", "###", "   "], (1, 1)) == Mismatch.HOLE_ADDITION
    assert kind_of(["###", "# #", "###"], (1, 1)) == Mismatch.HOLE_DELETION
    assert kind_of(["   ", " # ", "   "], (1, 1)) == Mismatch.OBJECT_DELETION
    assert kind_of(["   ", "   ", "   "], (1, 1)) == Mismatch.OBJECT_ADDITION


def test_a_truth_without_membrane_is_taken_for_empty() -> None:
    """As in the organisers' program, whose conversion to bytes fails for a constant image."""
    assert kind_of(["###", "###", "###"], (1, 1)) == Mismatch.OBJECT_ADDITION


def test_a_ring_that_leaves_the_window_counts_as_cut() -> None:
    ring = ["#######", *["#     #"] * 5, "#######"]
    assert kind_of(ring, (0, 3), radius_px=7) == Mismatch.HOLE_DELETION
    assert kind_of(ring, (0, 3), radius_px=2) == Mismatch.SPLIT


def test_a_radius_beyond_the_narrower_side_is_the_whole_image() -> None:
    ring = ["#####", *["#   #"] * 10, "#####"]
    assert kind_of(ring, (0, 2), radius_px=5) == Mismatch.SPLIT
    assert kind_of(ring, (0, 2), radius_px=6) == Mismatch.HOLE_DELETION


def test_counts() -> None:
    codes = np.array([[1, 1, 2], [4, 8, 0], [16, 32, 32]], np.uint8)
    assert count_pixels(codes) == MismatchCounts(
        mergers=2,
        splits=1,
        hole_additions=1,
        hole_deletions=2,
        object_additions=1,
        object_deletions=1,
    )
