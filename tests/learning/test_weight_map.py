"""The fast weight map against a slow transcript of equation (2), and hand-worked numbers."""

import math
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import ndimage

from biounet.errors import InputError
from biounet.learning import weight_map as module
from biounet.learning.weight_map import border_weights, class_weights, count_classes, weight_map

SHAPES = st.one_of(
    hnp.array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=40),
    hnp.array_shapes(min_dims=3, max_dims=3, min_side=1, max_side=12),
)


def slow_border_weights(labels, w0, sigma, spacing=None):
    """Equation (2), literally: one distance transform per cell, sorted, in float64."""
    ids = [i for i in np.unique(labels) if i > 0]
    if len(ids) < 2:
        return np.zeros(labels.shape)
    distances = [ndimage.distance_transform_edt(labels != i, sampling=spacing) for i in ids]
    d1, d2 = np.sort(distances, axis=0)[:2]
    return w0 * np.exp(-((d1 + d2) ** 2) / (2 * sigma**2))


@st.composite
def label_images(draw):
    """Few or many cells, dense or sparse, tiny and touching ones included, ids with gaps."""
    shape = draw(SHAPES)
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    ids = rng.choice(draw(st.sampled_from([12, 60_000])), size=draw(st.integers(1, 9))) + 1
    labels = np.zeros(shape, draw(st.sampled_from([np.uint16, np.int32, np.int64])))
    for cell in ids:
        centre = rng.uniform(0, shape)
        radius = rng.uniform(0.5, 1 + max(shape) / 3)
        grid = np.indices(shape) - centre.reshape(-1, *(1,) * len(shape))
        labels[(grid**2).sum(0) <= radius**2] = cell
    specks = rng.random(shape) < draw(st.sampled_from([0.0, 0.02, 0.5]))
    labels[specks] = rng.choice([0, *ids], size=int(specks.sum()))
    return labels


@settings(max_examples=150, deadline=None)
@given(label_images(), st.sampled_from([0.7, 2.0, 5.0]), st.sampled_from([1.0, 10.0]))
def test_equals_the_transcript(labels, sigma, w0):
    found = border_weights(labels, w0, sigma)
    assert found.dtype == np.float32
    assert found.shape == labels.shape
    assert np.abs(found - slow_border_weights(labels, w0, sigma)).max() <= 1e-6 * w0


@settings(max_examples=60, deadline=None)
@given(label_images(), st.data())
def test_equals_the_transcript_for_voxels_that_are_not_cubes(labels, data):
    size = st.sampled_from([0.3, 1.0, 1.7, 5.0])
    spacing = data.draw(st.tuples(*[size] * labels.ndim))
    found = border_weights(labels, 10.0, 3.0, spacing)
    assert np.abs(found - slow_border_weights(labels, 10.0, 3.0, spacing)).max() <= 1e-5


def test_third_cells_do_not_hide_the_second():
    """Rows of alternating cells: more than two cells compete at every pixel and in every pass."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 6, (30, 30)) * (rng.random((30, 30)) < 0.3)
    volume = rng.integers(0, 6, (12, 12, 12)) * (rng.random((12, 12, 12)) < 0.1)
    for image in (labels, volume):
        expected = slow_border_weights(image, 10.0, 5.0)
        assert np.abs(border_weights(image, 10.0, 5.0) - expected).max() <= 1e-5


def test_hand_worked_row():
    row = np.array([[7, 7, 0, 0, 3]])
    distance_sums = np.array([[4, 3, 3, 3, 3]])  # inside a cell d1 = 0
    expected = 10 * np.exp(-(distance_sums**2) / 50)
    assert border_weights(row, 10.0, 5.0) == pytest.approx(expected, abs=1e-5)


def test_hand_worked_diagonal():
    labels = np.array([[1, 0], [0, 2]])
    beside, inside = math.exp(-(2.0**2) / 2), math.exp(-2.0 / 2)
    expected = np.array([[inside, beside], [beside, inside]])
    assert border_weights(labels, 1.0, 1.0) == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("cell", [0, 1, 500])
def test_fewer_than_two_cells_give_no_border(cell):
    labels = np.zeros((20, 30), np.uint16)
    labels[4:9, 7:15] = cell
    assert not border_weights(labels, 10.0, 5.0).any()
    assert not border_weights(labels > 0, 10.0, 5.0).any()


@pytest.mark.parametrize("gap", [10, 24, 26, 28, 30, 40])
def test_pairs_far_apart(gap):
    """Cut off only where the weight is negligible; sigma 5 px, so 26 px is about 1e-6."""
    row = np.zeros((1, gap + 1), np.uint8)
    row[0, [0, -1]] = [1, 2]
    assert np.abs(border_weights(row, 1.0, 5.0) - math.exp(-(gap**2) / 50)).max() <= 1e-6


def test_ids_below_zero_are_no_cells():
    labels = np.array([[1, 0, 0, 2, -1, -1, -7]])
    expected = border_weights(np.maximum(labels, 0), 10.0, 5.0)
    assert np.array_equal(border_weights(labels, 10.0, 5.0), expected)


def test_ids_beyond_32_bits():
    labels = np.array([[2**40, 0, 0, 2**40 + 2**32, -1]])
    expected = border_weights(np.array([[1, 0, 0, 2, 0]]), 10.0, 5.0)
    assert np.array_equal(border_weights(labels, 10.0, 5.0), expected)


def test_input_stays_as_it_is():
    labels = np.array([[1, 0, 0, 2]])
    labels.flags.writeable = False
    border_weights(labels, 10.0, 5.0)
    border_weights(np.asfortranarray(labels.repeat(5, 0)), 10.0, 5.0)
    assert labels.tolist() == [[1, 0, 0, 2]]


def test_count_classes():
    class_map = np.array([[0, 1, 1], [255, 1, 0]], np.uint8)
    annotated = class_map != 255
    counts = count_classes(class_map, 3, annotated)
    assert counts.dtype == np.int64
    assert counts.tolist() == [2, 3, 0]
    with pytest.raises(InputError, match="found class 255 in a class map; wanted classes 0 to 2"):
        count_classes(class_map, 3)
    with pytest.raises(InputError, match="found class -1"):
        count_classes(np.array([-1, 0]), 3)
    assert count_classes(class_map, 2, np.zeros((2, 3), bool)).tolist() == [0, 0]


def test_class_weights_hand_worked():
    assert class_weights(np.array([60, 20, 0])).tolist() == [80 / 120, 80 / 40, 0.0]
    assert class_weights(np.array([5])).tolist() == [1.0]
    assert class_weights(np.array([0, 0])).tolist() == [0.0, 0.0]


@given(hnp.arrays(np.int64, st.integers(1, 6), elements=st.integers(0, 10**12)))
def test_class_weights_balance(counts):
    weights = class_weights(counts)
    if counts.any():
        assert (weights * counts).sum() / counts.sum() == pytest.approx(1.0)
        totals = (weights * counts)[counts > 0]
        assert totals == pytest.approx(totals[0])


def test_weight_map_is_the_sum_of_both_terms():
    labels = np.array([[1, 1, 0, 0, 2, 2, 0]])
    class_map = np.array([[1, 1, 0, 0, 1, 1, 200]], np.uint8)
    annotated = class_map != 200
    w_c = np.array([0.5, 2.0])
    found = weight_map(labels, class_map, w_c, 10.0, 5.0, annotated)
    assert found.dtype == np.float32
    assert found[0, 2] == pytest.approx(0.5 + 10 * math.exp(-9 / 50), rel=1e-6)
    assert found[0, 1] == pytest.approx(2.0 + 10 * math.exp(-9 / 50), rel=1e-6)
    assert found[0, 0] == pytest.approx(2.0 + 10 * math.exp(-16 / 50), rel=1e-6)
    assert found[0, 6] == 0
    with pytest.raises(InputError, match="class 200"):
        weight_map(labels, class_map, w_c, 10.0, 5.0)


def test_mean_class_weight_over_annotated_pixels_is_one():
    rng = np.random.default_rng(0)
    class_map = (rng.random((50, 50)) < 0.1).astype(np.uint8)
    annotated = rng.random((50, 50)) < 0.7
    w_c = class_weights(count_classes(class_map, 2, annotated))
    found = weight_map(np.zeros((50, 50), int), class_map, w_c, 10.0, 5.0, annotated)
    assert found[annotated].mean() == pytest.approx(1.0, rel=1e-5)
    assert not found[~annotated].any()


def test_works_where_no_compiled_code_can_be_kept(tmp_path):
    """A package folder and a home that cannot be written: compiled anew, and not refused."""
    copy = tmp_path / "biounet"
    shutil.copytree(Path(module.__file__).parents[1], copy, ignore=lambda *_: ["__pycache__"])
    code = (
        "import numba.core.caching as c\n"
        "c.CacheImpl._locator_classes = []\n"
        "import numpy as np\n"
        "from biounet.learning.weight_map import border_weights\n"
        "print(border_weights(np.array([[1, 0, 2]]), 10.0, 5.0)[0, 1])\n"
    )
    run = subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | {"PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert float(run.stdout) == pytest.approx(10 * math.exp(-4 / 50))


def many_cells(side: int, n: int, radius: int) -> np.ndarray:
    """Discs at random places, overlapping ones cut by later ones."""
    rng = np.random.default_rng(0)
    labels = np.zeros((side, side), np.int32)
    for cell, (y, x) in enumerate(rng.integers(radius, side - radius, (n, 2)), 1):
        box = labels[y - radius : y + radius + 1, x - radius : x + radius + 1]
        grid = np.indices(box.shape) - radius
        box[(grid**2).sum(0) <= radius**2] = cell
    return labels


def test_time_grows_with_pixels_not_with_cells():
    few, many = many_cells(1024, 20, 9), many_cells(1024, 2000, 9)
    border_weights(few[:64], 10.0, 5.0)  # compiled here, not in the timing

    def seconds(labels):
        times = []
        for _ in range(3):
            start = time.process_time()
            border_weights(labels, 10.0, 5.0)
            times.append(time.process_time() - start)
        return min(times)

    assert seconds(many) < 4 * seconds(few)


@pytest.mark.slow
def test_ten_thousand_cells_in_seconds_and_little_memory():
    resource = pytest.importorskip("resource")
    labels = many_cells(4096, 10_000, 20)
    border_weights(labels[:64], 10.0, 5.0)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    start = time.process_time()
    border_weights(labels, 10.0, 5.0)
    assert time.process_time() - start < 15
    assert (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024 < 2 * 2**30
