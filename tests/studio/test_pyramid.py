"""Tiles of an image: sizes, means, ranges, and what is refused."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from biounet.errors import InputError
from biounet.images.writing import write_image
from biounet.studio.pyramid import TILE_PX, Pyramid, open_pyramid, tile_of


def written(path: Path, array: NDArray[Any], axes: str = "YX") -> Pyramid:
    write_image(path, array, axes)
    return open_pyramid(path)


def test_levels_are_means_of_two_by_two(tmp_path: Path) -> None:
    image = np.zeros((600, 3), np.uint16)
    image[:2] = [[10, 20, 7], [30, 42, 9]]
    pyramid = written(tmp_path / "a.tif", image)
    assert [level.shape for level in pyramid.levels(0)] == [(1, 600, 3), (1, 300, 2)]
    # (10 + 20 + 30 + 42) / 4 = 25.5; the odd column stands for itself: (7 + 9) / 2 = 8
    assert pyramid.levels(0)[1][0, 0].tolist() == [26, 8]


@settings(max_examples=20, deadline=None)
@given(st.integers(1, 1300), st.integers(1, 1300))
def test_tiles_put_together_are_the_image(height: int, width: int) -> None:
    image = np.arange(height * width, dtype=np.uint32).reshape(1, height, width).astype(np.uint16)
    nothing = np.zeros((1, 2), np.int64)
    pyramid = Pyramid(image[None], 0.0, 1.0, 65536, nothing, nothing)
    rows = [
        np.concatenate([tile_of(pyramid, 0, r, c, 0) for c in range(-(-width // TILE_PX))], axis=2)
        for r in range(-(-height // TILE_PX))
    ]
    assert np.array_equal(np.concatenate(rows, axis=1), image)
    for place in (
        (0, len(rows), 0),
        (0, 0, -(-width // TILE_PX)),
        (pyramid.n_levels, 0, 0),
        (0, 0, -1),
    ):
        with pytest.raises(InputError, match="tile"):
            tile_of(pyramid, *place, 0)
    with pytest.raises(InputError, match="channel 1"):
        tile_of(pyramid, 0, 0, 0, 1)
    with pytest.raises(InputError, match="plane 1"):
        tile_of(pyramid, 0, 0, 0, 0, 1)


def test_floats_and_signed_integers_keep_their_grey_values(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for image in (
        rng.normal(-3, 50, (40, 50)).astype(np.float32),
        rng.integers(-500, 30000, (40, 50), np.int16),
        rng.integers(0, 2**31, (40, 50), np.int32),
    ):
        pyramid = written(tmp_path / "a.tif", image)
        shown = pyramid.offset + pyramid.scale * pyramid.levels(0)[0][0].astype(np.float64)
        # half a step, and the rounding of float32
        assert np.abs(shown - image).max() <= pyramid.scale / 2 * 1.02
        assert np.array_equal(pyramid.pixels[0, 0], image)


def test_a_constant_image_can_be_shown(tmp_path: Path) -> None:
    for value, kind in ((7, np.uint8), (0, np.uint16), (2.5, np.float32)):
        pyramid = written(tmp_path / "a.tif", np.full((20, 20), value, kind))
        low, high = pyramid.contrast[0]
        assert low < high
        assert pyramid.histogram.sum() == 400


def test_contrast_leaves_out_the_outliers(tmp_path: Path) -> None:
    image = np.random.default_rng(0).integers(100, 200, (100, 100)).astype(np.uint16)
    image[:2, :5] = 60000
    image[50, :5] = 0
    low, high = written(tmp_path / "a.tif", image).contrast[0]
    assert 100 <= low < 110
    assert 190 < high < 200


def test_channels(tmp_path: Path) -> None:
    image = np.random.default_rng(0).integers(0, 256, (2, 30, 40)).astype(np.uint8)
    pyramid = written(tmp_path / "a.tif", image, "CYX")
    assert tile_of(pyramid, 0, 0, 0, None).shape == (2, 30, 40)
    assert np.array_equal(tile_of(pyramid, 0, 0, 0, 1)[0], image[1])


@pytest.mark.parametrize("axes", ["ZYX", "TZYX", "TZCYX", "ZYXC"])
def test_stacks(tmp_path: Path, axes: str) -> None:
    """Planes in the file's order, one contrast for all."""
    sizes = {"T": 2, "Z": 4, "C": 3, "Y": 30, "X": 40}
    rng = np.random.default_rng(0)
    image = rng.integers(0, 1000, [sizes[a] for a in axes]).astype(np.uint16)
    if axes == "ZYXC":
        metadata = {"axes": "ZYXS"}
        tifffile.imwrite(tmp_path / "a.ome.tif", image, photometric="rgb", metadata=metadata)
        pyramid = open_pyramid(tmp_path / "a.ome.tif")
    else:
        pyramid = written(tmp_path / "a.tif", image, axes)
    pages = axes.removesuffix("C").removesuffix("YX").removesuffix("C")
    assert (pyramid.page_axes, pyramid.page_sizes) == (pages, tuple(sizes[a] for a in pages))
    for plane, index in enumerate(np.ndindex(*pyramid.page_sizes)):
        expected = image[index]
        expected = np.moveaxis(expected, -1, 0) if axes == "ZYXC" else expected
        found = tile_of(pyramid, 0, 0, 0, None, plane)
        assert np.array_equal(found, expected.reshape(found.shape))
    assert pyramid.histogram[0].sum() == image.size // (3 if "C" in axes else 1)


def test_what_is_refused(tmp_path: Path) -> None:
    large = tmp_path / "large.tif"
    tifffile.imwrite(large, np.zeros((8200, 8200), np.uint8), compression="zlib")
    with pytest.raises(InputError, match="8200 x 8200 px, 64 MB; wanted 64 megapixels"):
        open_pyramid(large)
    stack = tmp_path / "stack.tif"
    tifffile.imwrite(stack, np.zeros((129, 1024, 1024), np.uint8), compression="zlib")
    with pytest.raises(InputError, match="129 planes of 1024 x 1024 px"):
        open_pyramid(stack)
    nan = np.zeros((20, 20), np.float32)
    nan[3, 3] = np.nan
    with pytest.raises(InputError, match="finite grey values"):
        written(tmp_path / "nan.tif", nan)
