"""Statistics against numpy, and independence of how the image is stored."""

import math

import numpy as np
import pytest
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from biounet.errors import InputError
from biounet.images import statistics
from biounet.images.statistics import intensity_statistics

INTEGERS = ["bool", "uint8", "int8", "uint16", "int16", "uint32", "int32", "int64"]


@given(
    hnp.arrays(
        st.sampled_from(["uint8", "int16", "uint16", "int32"]),
        hnp.array_shapes(min_dims=2, max_dims=2, max_side=12),
    )
)
@settings(max_examples=100, deadline=None)
def test_integers_agree_with_exact_arithmetic(image):
    result = intensity_statistics(image, "YX")
    values = [int(v) for v in image.ravel()]
    n, total = len(values), sum(values)
    variance = (n * sum(v * v for v in values) - total * total) / n**2
    assert result.mean == (total / n,)
    assert result.std == (math.sqrt(variance),)
    assert (result.minimum, result.maximum) == ((min(values),), (max(values),))


@pytest.mark.parametrize("dtype", [*INTEGERS, "float16", "float32", "float64"])
def test_agrees_with_numpy_per_channel(dtype):
    rng = np.random.default_rng(0)
    image = (rng.random((3, 40, 50)) * 100).astype(dtype)
    result = intensity_statistics(image, "CYX")
    flat = image.reshape(3, -1).astype(np.float64)
    np.testing.assert_allclose(result.mean, flat.mean(axis=1), rtol=1e-12)
    np.testing.assert_allclose(result.std, flat.std(axis=1), rtol=1e-12)
    assert result.minimum == tuple(flat.min(axis=1))
    assert result.maximum == tuple(flat.max(axis=1))
    if np.dtype(dtype).kind in "biu" and np.dtype(dtype).itemsize <= 2:
        expected = np.percentile(flat, [1, 50, 99.8], axis=1).T
        np.testing.assert_allclose(result.percentiles, expected, rtol=1e-12)
    else:
        assert result.percentiles is None


@pytest.mark.parametrize("dtype", ["uint16", "int32", "float32"])
@pytest.mark.parametrize("chunks", [(1, 7, 9), (2, 64, 64), (1, 50, 17)])
def test_chunks_and_axis_order_do_not_matter(dtype, chunks, monkeypatch):
    monkeypatch.setattr(statistics, "BLOCK_PX", 16)
    image = (np.random.default_rng(1).normal(100, 30, (2, 50, 40))).astype(dtype)
    expected = intensity_statistics(image, "CYX")
    stored = zarr.create_array(zarr.storage.MemoryStore(), data=image, chunks=chunks)
    assert intensity_statistics(stored, "CYX") == expected
    assert intensity_statistics(np.moveaxis(image, 0, -1), "YXC") == expected


def test_parts_of_a_float_image_are_joined(monkeypatch):
    monkeypatch.setattr(statistics, "BLOCK_PX", 16)
    image = np.arange(50 * 40, dtype=np.float64).reshape(50, 40)
    result = intensity_statistics(image, "YX")
    assert result.mean == pytest.approx((image.mean(),), rel=1e-14)
    assert result.std == pytest.approx((image.std(),), rel=1e-14)


def test_percentiles_between_two_pixels():
    image = np.array([[0, 10], [20, 200]], dtype=np.uint8)
    # 99.8 % of the way over 3 steps is 2.994: between 20 and 200
    assert intensity_statistics(image, "YX").percentiles == (
        pytest.approx((0.3, 15.0, 20 + 0.994 * 180)),
    )


def test_squares_of_large_integers_do_not_overflow():
    image = np.full((1024, 1024), 2**32 - 1, dtype=np.uint32)
    image[::2] = 0
    result = intensity_statistics(image, "YX")
    assert result.mean == ((2**32 - 1) / 2,)
    assert result.std == ((2**32 - 1) / 2,)


def test_a_small_spread_on_a_large_mean_survives():
    image = np.tile(np.array([1e6, 1e6 + 1], dtype=np.float64), (600, 300))
    assert intensity_statistics(image, "YX").std == pytest.approx((0.5,), rel=1e-12)


def test_a_constant_image_has_no_spread():
    for dtype in ("uint8", "int32", "float32"):
        assert intensity_statistics(np.full((5, 5), 7, dtype), "YX").std == (0.0,)


def test_nan_and_infinite_pixels_are_counted():
    image = np.zeros((30, 40), dtype=np.float32)
    image[3, 4:7], image[9, 9] = np.nan, -np.inf
    with pytest.raises(InputError, match="4 pixels that are NaN or infinite, of 1200"):
        intensity_statistics(image, "YX")


@pytest.mark.parametrize(
    ("image", "found"),
    [
        (np.zeros((0, 4)), "shape"),
        (np.zeros((2, 2), dtype=complex), "complex128"),
        (np.array([[0, 2**40]]), "integer pixels from 0"),
    ],
)
def test_images_without_statistics_are_refused(image, found):
    with pytest.raises(InputError, match=found):
        intensity_statistics(image, "YX")
