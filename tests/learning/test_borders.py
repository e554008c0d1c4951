"""Cutting touching cells apart: hand-worked cases and the properties that training relies on."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage
from skimage.segmentation import expand_labels

from biounet.learning.borders import separate_touching


def neighbours(labels):
    """Pairs of arrays: each pixel beside one of its 8 or 26 neighbours, all directions."""
    padded = np.pad(labels, 1)
    for offset in np.ndindex(*(3,) * labels.ndim):
        if offset != (1,) * labels.ndim:
            window = tuple(slice(o, o + n) for o, n in zip(offset, labels.shape, strict=True))
            yield padded[window]


def touches_another(labels):
    """True at cell pixels that have a neighbour of another cell."""
    return np.any([(n > 0) & (labels > 0) & (n != labels) for n in neighbours(labels)], axis=0)


@st.composite
def crowded_labels(draw):
    """From noise of single pixels to large cells without gaps, 2-D and 3-D."""
    n_axes = draw(st.sampled_from([2, 2, 3]))
    shape = draw(st.tuples(*[st.integers(1, 28 if n_axes == 2 else 10)] * n_axes))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    density = draw(st.sampled_from([0.003, 0.02, 0.3]))
    seeds = (rng.random(shape) < density) * rng.integers(1, 60_000, shape)
    labels = expand_labels(seeds, distance=draw(st.sampled_from([0, 1, 3, 20])))
    return labels.astype(draw(st.sampled_from([np.uint16, np.int32, np.int64])))


@settings(max_examples=200, deadline=None)
@given(crowded_labels(), st.integers(1, 4))
def test_properties(labels, width_px):
    before = labels.copy()
    separated = separate_touching(labels, width_px)
    assert np.array_equal(labels, before)
    assert separated.dtype == labels.dtype
    assert separated.shape == labels.shape
    assert ((separated == labels) | (separated == 0)).all()
    assert not touches_another(separated).any()

    touched = np.unique(labels[touches_another(labels)])
    alone = ~np.isin(labels, touched)
    assert np.array_equal(separated[alone], labels[alone])

    # A lost cell has no pixel left that would touch no other cell.
    for cell in np.setdiff1d(touched, separated):
        beside = np.any([n > 0 for n in neighbours(separated)], axis=0)
        assert beside[labels == cell].all()


@settings(max_examples=100, deadline=None)
@given(crowded_labels(), st.integers(1, 4))
def test_cells_lose_only_what_lies_at_the_contact(labels, width_px):
    contact = touches_another(labels)
    near = ndimage.maximum_filter(contact, size=2 * width_px - 1)
    separated = separate_touching(labels, width_px)
    assert ((separated == labels) | near).all()


@settings(max_examples=50, deadline=None)
@given(crowded_labels(), st.integers(1, 4))
def test_single_mask_stays_as_it_is(labels, width_px):
    mask = (labels > 0).astype(np.uint8)
    assert np.array_equal(separate_touching(mask, width_px), mask)
    binary = labels > 0
    assert np.array_equal(separate_touching(binary, width_px), binary)


def test_hand_worked_row():
    row = np.array([[1, 1, 1, 1, 2, 2, 2, 2, 0, 3, 3]])
    assert separate_touching(row, 1).tolist() == [[1, 1, 1, 0, 0, 2, 2, 2, 0, 3, 3]]
    assert separate_touching(row, 2).tolist() == [[1, 1, 0, 0, 0, 0, 2, 2, 0, 3, 3]]
    # The fourth layer is all that is left of both: they keep it.
    assert separate_touching(row, 4).tolist() == [[1, 0, 0, 0, 0, 0, 0, 2, 0, 3, 3]]


def test_hand_worked_corner():
    labels = np.array([[1, 1, 0, 0], [1, 1, 0, 0], [0, 0, 2, 2], [0, 0, 2, 2]])
    expected = [[1, 1, 0, 0], [1, 0, 0, 0], [0, 0, 0, 2], [0, 0, 2, 2]]
    assert separate_touching(labels, 1).tolist() == expected


def test_cut_does_not_reach_across_background():
    labels = np.array([[1, 1, 1, 2, 2, 2], [0] * 6, [3] * 6, [3] * 6])
    expected = [[1, 0, 0, 0, 0, 2], [0] * 6, [3] * 6, [3] * 6]
    assert separate_touching(labels, 2).tolist() == expected
    assert separate_touching(labels, 9)[2:].tolist() == [[3] * 6] * 2


def test_thin_cell_between_two_large_ones_stays():
    labels = np.full((9, 9), 5)
    labels[:, 4] = 9
    labels[:, 5:] = 7
    expected = np.array([[5, 5, 5, 0, 9, 0, 7, 7, 7]] * 9)
    assert np.array_equal(separate_touching(labels, 1), expected)


def test_speck_inside_a_cell_stays():
    labels = np.full((7, 7), 3)
    labels[3, 3] = 4
    expected = np.full((7, 7), 3)
    expected[2:5, 2:5] = 0
    expected[3, 3] = 4
    assert np.array_equal(separate_touching(labels, 1), expected)


def test_both_of_two_thin_cells_stay_where_there_is_room():
    pair = np.array([[1, 1, 1], [2, 2, 2]])
    assert sorted(np.unique(separate_touching(pair, 1))) == [0, 1, 2]


def test_one_of_two_touching_specks_is_lost():
    assert np.count_nonzero(separate_touching(np.array([[0, 1, 2, 0]]), 1)) == 1


def test_real_crowd_keeps_every_cell():
    """A confluent tiling of 300 cells: all touch, none is lost."""
    rng = np.random.default_rng(0)
    seeds = np.zeros((256, 256), np.int32)
    places = rng.choice(256 * 256, 300, replace=False)
    seeds.flat[places] = np.arange(1, 301)
    labels = expand_labels(seeds, 400)
    separated = separate_touching(labels, 2)
    assert len(np.unique(separated)) == 301
    assert np.count_nonzero(separated) == pytest.approx(0.47 * labels.size, rel=0.2)
