"""Labels from probabilities, by hand and by property."""

import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import ndimage

from biounet.config import ObjectSettings
from biounet.prediction.instances import consecutive, fill_holes, grow, label_objects

BARE = ObjectSettings(threshold=0.5, fill_holes=False, minimum_size_px=0, grow_px=0)


def probabilities(foreground: list[list[float]]) -> np.ndarray:
    p = np.array(foreground, np.float32)
    return np.stack([1 - p, p])


def test_components_are_joined_by_edges_not_corners() -> None:
    p = probabilities([[0.9, 0.1, 0.1], [0.1, 0.9, 0.9], [0.1, 0.1, 0.6]])
    np.testing.assert_array_equal(label_objects(p, BARE), [[1, 0, 0], [0, 2, 2], [0, 0, 2]])


def test_a_pixel_at_the_threshold_is_background() -> None:
    assert label_objects(probabilities([[0.5, 0.51]]), BARE).tolist() == [[0, 1]]


def test_holes_small_objects_and_growth() -> None:
    ring = np.zeros((9, 9))
    ring[1:6, 1:6] = 0.9
    ring[3, 3] = 0.0
    ring[8, 8] = 0.9
    p = probabilities(ring.tolist())
    assert label_objects(p, BARE).max() == 2
    filled = label_objects(p, BARE.model_copy(update={"fill_holes": True}))
    assert filled[3, 3] == 1
    sized = label_objects(p, BARE.model_copy(update={"minimum_size_px": 2}))
    assert sized.max() == 1
    grown = label_objects(p, BARE.model_copy(update={"grow_px": 1, "minimum_size_px": 2}))
    assert grown[0, 3] == 1
    assert grown[6, 3] == 1
    assert grown[0, 0] == 0  # a corner is 1.4 px away


def test_cores_part_touching_objects_and_grow_into_what_is_left_of_them() -> None:
    row = [0.2, 0.7, 0.95, 0.95, 0.7, 0.6, 0.7, 0.95, 0.95, 0.7, 0.2]
    p = probabilities([row] * 3)
    assert label_objects(p, BARE).max() == 1
    two = BARE.model_copy(update={"threshold": 0.9, "grow_px": 9, "grow_threshold": 0.65})
    assert label_objects(p, two).tolist() == [[0, 1, 1, 1, 1, 0, 2, 2, 2, 2, 0]] * 3
    everywhere = two.model_copy(update={"grow_threshold": 0.0})
    assert label_objects(p, everywhere).tolist() == [[1] * 6 + [2] * 5] * 3


def test_a_pixel_at_the_threshold_of_growth_is_grown_into() -> None:
    p = probabilities([[0.9, 0.5, 0.4]])
    grown = BARE.model_copy(update={"threshold": 0.8, "grow_px": 2, "grow_threshold": 0.5})
    assert label_objects(p, grown).tolist() == [[1, 1, 0]]


def test_without_a_threshold_of_growth_rounding_stops_none() -> None:
    p = np.array([[[0.1, np.nextafter(np.float32(1), np.float32(2))]], [[0.9, 0]]], np.float32)
    assert 1 - p[0, 0, 1] < 0
    assert label_objects(p, BARE.model_copy(update={"grow_px": 1})).tolist() == [[1, 1]]


def test_an_object_does_not_grow_across_a_gap() -> None:
    p = probabilities([[0.9, 0.1, 0.7, 0.7]])
    grown = BARE.model_copy(update={"threshold": 0.8, "grow_px": 3, "grow_threshold": 0.5})
    assert label_objects(p, grown).tolist() == [[1, 0, 0, 0]]


def slow_growth(labels: np.ndarray, into: np.ndarray, n_layers: int) -> np.ndarray:
    """Pixel by pixel: the smallest id among the neighbours of the layer before."""
    for layer in range(n_layers):
        before = labels.copy()
        for at in np.argwhere((before == 0) & into):
            window = tuple(slice(max(0, i - 1), i + 2) for i in at)
            offsets = np.indices(before[window].shape).T - (at - [s.start for s in window])
            sides = np.abs(offsets).sum(axis=-1).T
            ids = before[window][sides <= (1 if layer % 2 == 0 else labels.ndim)]
            if ids.max(initial=0):
                labels[tuple(at)] = ids[ids > 0].min()
    return labels


@pytest.mark.parametrize("shape", [(9,), (9, 11), (5, 6, 7)])
@given(seed=st.integers(0, 2**32 - 1), n_layers=st.integers(0, 5), share=st.floats(0.2, 1))
def test_growth_is_by_layers(
    shape: tuple[int, ...], seed: int, n_layers: int, share: float
) -> None:
    rng = np.random.default_rng(seed)
    labels = (rng.integers(1, 9, shape) * (rng.random(shape) < 0.1)).astype(np.int32)
    into = rng.random(shape) < share
    kept = labels.copy()
    grown = grow(labels, into, n_layers)
    np.testing.assert_array_equal(labels, kept)
    np.testing.assert_array_equal(grown, slow_growth(kept, into, n_layers))


def test_an_object_grows_to_an_octagon() -> None:
    labels = np.zeros((9, 9), np.int32)
    labels[4, 4] = 1
    grown = grow(labels, np.ones((9, 9), bool), 3)
    rows = [grown[y].sum() for y in range(9)]
    assert rows == [0, 3, 5, 7, 7, 7, 5, 3, 0]


def test_classes_are_the_most_probable() -> None:
    p = np.array([[[0.5, 0.2]], [[0.3, 0.2]], [[0.2, 0.6]]], np.float32)
    assert label_objects(p, ObjectSettings(method="classes")).tolist() == [[0, 2]]


def test_a_hole_between_two_objects_stays() -> None:
    labels = np.array([[1, 1, 2, 2], [1, 0, 0, 2], [1, 1, 2, 2]], np.int32)
    np.testing.assert_array_equal(fill_holes(labels), labels)


@given(st.integers(0, 2**32 - 1), st.sampled_from([(12, 14), (5, 6, 7)]))
def test_filling_one_object_equals_scipy(seed: int, shape: tuple[int, ...]) -> None:
    mask = np.random.default_rng(seed).random(shape) < 0.6
    labels = mask.astype(np.int32)
    np.testing.assert_array_equal(fill_holes(labels), ndimage.binary_fill_holes(mask))


@given(st.integers(0, 2**32 - 1))
def test_ids_are_consecutive_in_the_order_of_first_pixels(seed: int) -> None:
    labels = np.random.default_rng(seed).integers(0, 9, (6, 7)).astype(np.int32) * 3
    got = consecutive(labels)
    seen: list[int] = []
    for old, new in zip(labels.ravel(), got.ravel(), strict=True):
        assert (old == 0) == (new == 0)
        if old and old not in seen:
            seen.append(int(old))
        if old:
            assert new == seen.index(int(old)) + 1


def test_labelling_takes_the_memory_that_is_counted_for_it() -> None:
    rng = np.random.default_rng(0)
    smooth = ndimage.gaussian_filter(rng.random((1500, 1500)), 6)
    cells = ((smooth - smooth.min()) / np.ptp(smooth)).astype(np.float32)
    p = np.stack([1 - cells, cells])
    for settings in (ObjectSettings(grow_px=2), ObjectSettings(threshold=0.6, grow_px=9)):
        tracemalloc.start()
        assert label_objects(p, settings).max() > 50
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < 21 * cells.size
