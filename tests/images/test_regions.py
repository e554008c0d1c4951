"""Regions against numpy.pad, and what is read of a lazy array."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from biounet.images.regions import mirrored_indices, read_region


class Spy:
    """A lazy array that remembers what was read of it."""

    def __init__(self, array):
        self.array, self.read = array, []
        self.shape, self.ndim, self.dtype = array.shape, array.ndim, array.dtype

    def __getitem__(self, key):
        self.read.append(key)
        return self.array[key]


@st.composite
def boxes(draw):
    n_leading, n_spatial = draw(st.integers(0, 2)), draw(st.integers(1, 3))
    shape = tuple(draw(st.integers(1, 7)) for _ in range(n_leading + n_spatial))
    start = tuple(draw(st.integers(-20, 20)) for _ in range(n_spatial))
    stop = tuple(s + draw(st.integers(1, 15)) for s in start)
    return shape, n_leading, start, stop


@given(boxes())
@settings(max_examples=300, deadline=None)
def test_region_is_a_cut_of_the_image_padded_by_reflection(box):
    shape, n_leading, start, stop = box
    image = np.arange(np.prod(shape)).reshape(shape)
    margin = 40
    padded = np.pad(image, [(0, 0)] * n_leading + [(margin, margin)] * len(start), mode="reflect")
    cut = tuple(slice(a + margin, b + margin) for a, b in zip(start, stop, strict=True))
    expected = padded[(slice(None),) * n_leading + cut]
    for array in (image, Spy(image)):
        region = read_region(array, start, stop)
        np.testing.assert_array_equal(region, expected)
        assert region.dtype == image.dtype


def test_mirror_does_not_repeat_the_edge():
    assert mirrored_indices(-3, 7, 4).tolist() == [3, 2, 1, 0, 1, 2, 3, 2, 1, 0]


def test_one_pixel_is_constant():
    assert read_region(np.array([[7]]), (-2, -1), (3, 2)).tolist() == [[7, 7, 7]] * 5


def test_only_the_bounding_box_is_read():
    spy = Spy(np.zeros((3, 100, 100)))
    assert read_region(spy, (-5, 90), (10, 95)).shape == (3, 15, 5)
    assert spy.read == [(slice(None), slice(0, 10), slice(90, 95))]


def test_region_is_a_copy():
    image = np.zeros((4, 4))
    read_region(image, (0, 0), (2, 2))[:] = 1
    assert image.sum() == 0


@pytest.mark.parametrize(
    ("start", "stop", "shape"),
    [((2,), (2,), (5,)), ((0, 0), (1, 1), (5,)), ((0,), (1,), (0,)), ((0,), (1, 1), (5, 5))],
)
def test_impossible_boxes_are_refused(start, stop, shape):
    with pytest.raises(ValueError, match=r"positions|box"):
        read_region(np.zeros(shape), start, stop)
