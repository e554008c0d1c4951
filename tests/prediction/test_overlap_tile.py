"""The promise: the result does not depend on how the image was cut."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from biounet.config import UNetSettings
from biounet.errors import InputError
from biounet.geometry import plan_tiles
from biounet.images.regions import Pixels
from biounet.model import Intensity
from biounet.networks import build_network
from biounet.prediction.averaging import Rotated, average_rotations, d4_engine
from biounet.prediction.engines import Engine, torch_engine
from biounet.prediction.overlap_tile import normalise, predict_image

PLAIN = Intensity((0.0,), (1.0,))
CPU = torch.device("cpu")


def engine_of(network: UNetSettings, seed: int) -> Engine:
    torch.manual_seed(seed)
    built = build_network(network)
    with torch.no_grad():
        for parameter in built.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.05)  # no zeros, no symmetry
    return torch_engine(built, CPU, "float32")


def whole(image: np.ndarray, network: UNetSettings, engine: Engine) -> np.ndarray:
    """One pass over the whole mirrored image, with numpy alone."""
    footprint = network.footprint
    size = footprint.input_for(image.shape[1:])
    pads = [(m, n - m - s) for n, m, s in zip(size, footprint.margin, image.shape[1:], strict=True)]
    padded = np.pad(image, [(0, 0), *pads], mode="reflect")
    inside = tuple(slice(0, n) for n in image.shape[1:])
    return engine(padded[None])[0][(slice(None), *inside)]


networks = st.one_of(
    st.builds(
        UNetSettings,
        width=st.just(3),
        depth=st.integers(0, 3),
        normalisation=st.sampled_from(["none", "weight-standardisation"]),
        first_stride=st.sampled_from([None, (2, 2), (1, 3)]),
    ),
    st.builds(
        UNetSettings,
        dimensions=st.just(3),
        width=st.just(2),
        depth=st.integers(0, 1),
        normalisation=st.just("weight-standardisation"),
    ),
    st.just(UNetSettings(dimensions=3, width=2, depth=2, pooling=((1, 2, 2), (2, 2, 2)))),
)


@given(networks, st.data())
@settings(max_examples=40, deadline=None)
def test_any_tile_gives_the_numbers_of_one_pass(network: UNetSettings, data: st.DataObject) -> None:
    largest = 70 if network.dimensions == 2 else 18
    sizes = st.one_of(st.integers(1, largest), st.just(1))
    shape = tuple(data.draw(sizes) for _ in range(network.dimensions))
    footprint = network.footprint
    more = [data.draw(st.integers(0, 6)) for _ in shape]
    tile = tuple(
        n + k * step
        for n, k, step in zip(footprint.smallest_tile, more, footprint.step, strict=True)
    )
    image = np.random.default_rng(data.draw(st.integers(0, 99))).normal(size=(1, *shape))
    image = image.astype(np.float32)
    engine = engine_of(network, 0)
    got = predict_image(image, plan_tiles(shape, footprint, tile), PLAIN, engine, 2)
    np.testing.assert_allclose(got, whole(image, network, engine), atol=1e-5)


def test_the_papers_network_at_its_own_sizes() -> None:
    network = UNetSettings(width=4)
    image = np.random.default_rng(0).normal(size=(1, 300, 411)).astype(np.float32)
    engine = engine_of(network, 1)
    expected = whole(image, network, engine)
    for side in (204, 236, 348, 572):
        plan = plan_tiles(image.shape[1:], network.footprint, (side, side))
        got = predict_image(image, plan, PLAIN, engine, 2)
        np.testing.assert_allclose(got, expected, atol=1e-5)


def test_a_stride_off_the_grid_would_be_seen() -> None:
    """The check can fail: tiles moved by 4 px give other numbers, as design says of 388."""
    network = UNetSettings(width=3, depth=2)
    engine = engine_of(network, 0)
    image = np.random.default_rng(0).normal(size=(1, 60, 60)).astype(np.float32)
    expected = whole(image, network, engine)
    moved = whole(image[:, 2:, 2:], network, engine)
    assert np.abs(moved - expected[:, 2:, 2:])[:, 25:35, 25:35].max() > 1e-4


@pytest.mark.parametrize("shape", [(50, 90), (1, 1)])
def test_d4_is_exact_for_any_tile_and_symmetric(shape: tuple[int, int]) -> None:
    network = UNetSettings(width=3, depth=2)
    engine = d4_engine(engine_of(network, 0))
    image = np.random.default_rng(0).normal(size=(1, *shape)).astype(np.float32)
    results = [
        predict_image(image, plan_tiles(shape, network.footprint, (n, n)), PLAIN, engine, 2)
        for n in (44, 52, 132)
    ]
    for other in results[1:]:
        np.testing.assert_allclose(other, results[0], atol=1e-5)


def test_d4_is_the_mean_of_eight() -> None:
    engine = engine_of(UNetSettings(width=3, depth=1), 0)
    tile = np.random.default_rng(0).normal(size=(1, 1, 30, 30)).astype(np.float32)
    expected = []
    for k in range(4):
        for flip in (False, True):
            x = np.rot90(tile, k, (2, 3))
            y = engine(np.ascontiguousarray(x[..., ::-1] if flip else x))
            expected.append(np.rot90(y[..., ::-1] if flip else y, -k, (2, 3)))
    np.testing.assert_allclose(d4_engine(engine)(tile), np.mean(expected, axis=0), atol=1e-6)


@pytest.mark.parametrize("dtype", [np.uint32, np.int64, np.float64])
def test_grey_values_far_from_0_keep_their_differences(dtype: type) -> None:
    grey = (2**31 + np.array([[0, 100, 200]])).astype(dtype)
    normalised = normalise(grey, Intensity((2**31 + 100.0,), (50.0,)))
    assert normalised.dtype == np.float32
    assert normalised.tolist() == [[-2, 0, 2]]


def test_rotations_do_not_depend_on_tiles() -> None:
    network = UNetSettings(width=3, depth=2)
    engine = engine_of(network, 0)
    image = np.random.default_rng(0).normal(size=(1, 50, 70)).astype(np.float32)

    def averaged(side: int, source: np.ndarray) -> np.ndarray:
        return average_rotations(
            source,
            5,
            lambda view: predict_image(
                view,
                plan_tiles(view.shape[1:], network.footprint, (side, side)),
                PLAIN,
                engine,
                2,
            ),
            (slice(None),) * 3,
        )

    np.testing.assert_allclose(averaged(48, image), averaged(200, image), atol=1e-5)


def test_rotations_turn_back() -> None:
    """With an engine that only crops, every turned frame comes back as the image itself."""
    y, x = np.mgrid[:40, :56]
    image = (np.sin(y / 9) * np.cos(x / 7))[None].astype(np.float32)

    def crop(source: Pixels) -> np.ndarray:
        inside = tuple(slice(0, n) for n in source.shape[1:])
        return np.repeat(np.asarray(source[(slice(None), *inside)]), 2, axis=0)

    got = average_rotations(image, 7, crop, (slice(None),) * 3)
    inner = (slice(2, -2), slice(2, -2))  # at the edge the mirrored image has a kink
    np.testing.assert_allclose(got[0][inner], image[0][inner], atol=0.02)
    assert np.abs(got[0] - image[0]).max() > 0


def test_a_turned_view_is_a_turned_image() -> None:
    image = np.random.default_rng(0).normal(size=(1, 9, 9)).astype(np.float32)
    view = Rotated(image, 90)
    assert view.shape == (1, 9, 9)
    whole_view = view[(slice(None), slice(0, 9), slice(0, 9))]
    turns = [np.rot90(image[0], k) for k in (1, -1)]
    assert any(np.allclose(whole_view[0], t, atol=1e-4) for t in turns)
    part = view[(slice(None), slice(2, 7), slice(3, 5))]
    np.testing.assert_allclose(part, whole_view[:, 2:7, 3:5], atol=1e-5)


def test_normalise_by_channel() -> None:
    grey = np.array([[[10, 20]], [[1, 3]]], np.uint16)
    got = normalise(grey, Intensity((10.0, 1.0), (10.0, 2.0)))
    np.testing.assert_array_equal(got, np.array([[[0, 1]], [[0, 1]]], np.float32))


def test_pixels_that_are_no_numbers_are_refused() -> None:
    """They would spread over whole contexts, as background; training-set statistics hide them."""
    network = UNetSettings(width=2, depth=1)
    image = np.zeros((1, 40, 40), np.float32)
    image[0, 3, 5], image[0, 3, 6] = np.nan, np.inf
    plan = plan_tiles((40, 40), network.footprint, (60, 60))
    with pytest.raises(InputError, match="found pixels that are NaN or infinite; wanted finite"):
        predict_image(image, plan, PLAIN, engine_of(network, 0), 2)
