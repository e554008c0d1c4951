"""Labels from probabilities, by hand and by property."""

import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import ndimage

from biounet.config import ObjectSettings
from biounet.prediction.instances import consecutive, fill_holes, label_objects

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


def test_watershed_parts_touching_objects_at_their_seeds() -> None:
    row = [0.2, 0.7, 0.95, 0.95, 0.7, 0.6, 0.7, 0.95, 0.95, 0.7, 0.2]
    p = probabilities([row] * 3)
    assert label_objects(p, BARE).max() == 1
    parted = label_objects(p, BARE.model_copy(update={"method": "watershed"}))
    assert parted.max() == 2
    assert parted[1, 2] != parted[1, 8]
    assert ((parted > 0) == (p[1] > 0.5)).all()


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


@pytest.mark.parametrize(("method", "most_bytes"), [("components", 20), ("watershed", 30)])
def test_labelling_takes_the_memory_that_is_counted_for_it(method: str, most_bytes: int) -> None:
    rng = np.random.default_rng(0)
    smooth = ndimage.gaussian_filter(rng.random((1500, 1500)), 6)
    cells = ((smooth - smooth.min()) / np.ptp(smooth)).astype(np.float32)
    p = np.stack([1 - cells, cells])
    settings = ObjectSettings.model_validate({"method": method, "grow_px": 2})
    tracemalloc.start()
    assert label_objects(p, settings).max() > 50
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < (most_bytes + 1) * cells.size
