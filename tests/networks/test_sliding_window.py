"""The sliding window: the paper's table, dense = patch by patch, exact tiles, fovea."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from torch import Tensor, nn

from biounet.config import validated_settings
from biounet.errors import InputError
from biounet.geometry import Footprint, Shape
from biounet.network_settings import N4_KERNELS, SlidingWindowSettings
from biounet.networks import build_network
from biounet.networks.convolution import Convolution
from biounet.networks.sliding_window import (
    Fovea,
    SlidingWindow,
    activate,
    dense_max_pool,
    nonuniform_positions,
)

Awake = Callable[[nn.Module], nn.Module]
Predict = Callable[[nn.Module, Footprint, Tensor], Tensor]
PredictTiled = Callable[[nn.Module, Footprint, Tensor, Shape], Tensor]

SMALL = [
    SlidingWindowSettings(width=3, neurons=5, stages=1, window_px=7, channels=2),
    SlidingWindowSettings(width=3, neurons=5, stages=2, window_px=19),
    SlidingWindowSettings(width=3, neurons=5, stages=3, window_px=31),
    SlidingWindowSettings(width=3, neurons=5, stages=4, window_px=63),
    SlidingWindowSettings(width=2, neurons=3, stages=2, window_px=15, dimensions=3),
]

FOVEATED = SlidingWindowSettings(width=3, neurons=4, stages=2, window_px=15, foveation_px=2)
WIDE = SlidingWindowSettings(width=3, neurons=4, stages=2, window_px=15, field_px=27)


def name_of(s: SlidingWindowSettings) -> str:
    return f"{s.dimensions}d-{s.stages}-stages-{s.window_px}px-{s.foveation_px}-{s.field_px}"


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(11)


# ------------------------------------------------------------------------------ the paper's table


def test_n4_is_the_table_of_the_paper() -> None:
    network = build_network(SlidingWindowSettings()).eval()
    shapes: list[tuple[int, ...]] = []
    for module in network.modules():
        if isinstance(module, Convolution):
            module.register_forward_hook(
                lambda _m, given, out: shapes.extend([(*given[0].shape[1:],), (*out.shape[1:],)])
            )
    assert isinstance(network, SlidingWindow)
    with torch.no_grad():
        logits = network.classify_windows(torch.randn(3, 1, 95, 95))
    table = [(1, 95), (48, 92), (48, 46), (48, 42), (48, 21), (48, 18), (48, 9), (48, 6), (48, 3)]
    assert [(c, n) for c, n, _ in shapes] == [*table, (200, 1), (200, 1), (2, 1)]
    assert all(y == x for _, y, x in shapes)
    assert logits.shape == (3, 2)


def test_n4_has_the_weights_of_the_table() -> None:
    by_hand = [48 * 16, 48 * 48 * 25, 48 * 48 * 16, 48 * 48 * 16, 200 * 48 * 9, 2 * 200]
    biases = 48 * 4 + 200 + 2
    network = build_network(SlidingWindowSettings())
    assert sum(p.numel() for p in network.parameters()) == sum(by_hand) + biases == 219_290


def test_n4_loses_47_px_a_side_and_has_no_grid() -> None:
    footprint = SlidingWindowSettings().footprint
    assert (footprint.margin, footprint.step, footprint.smallest) == ((47, 47), (1, 1), (95, 95))
    assert footprint.output_shape((606, 607)) == (512, 513)


def halves_evenly(window_px: int, stages: int) -> bool:
    size = window_px
    for kernel in N4_KERNELS[:stages]:
        size -= kernel - 1
        if size < 2 or size % 2:
            return False
        size //= 2
    return True


@pytest.mark.parametrize("stages", [1, 2, 3, 4])
def test_legal_windows_are_those_that_halve_evenly(stages: int) -> None:
    for window_px in range(1, 150):
        if halves_evenly(window_px, stages):
            description = SlidingWindowSettings(stages=stages, window_px=window_px, width=1)
            assert window_px % 2 == 1
            assert description.final_px >= 1
        else:
            with pytest.raises(ValidationError, match="the nearest is"):
                SlidingWindowSettings(stages=stages, window_px=window_px)


@pytest.mark.parametrize(
    ("window_px", "nearest"), [(65, 63), (1, 63), (72, 79), (94, 95), (96, 95), (120, 127)]
)
def test_an_illegal_window_is_told_the_nearest_legal_one(window_px: int, nearest: int) -> None:
    with pytest.raises(InputError) as error:
        validated_settings({"network": {"kind": "sliding-window", "window_px": window_px}})
    assert str(error.value) == (
        f"found network.window_px = {window_px}; wanted 63 px plus a multiple of "
        f"16 px for 4 stages (the nearest is {nearest} px); change it"
    )


@pytest.mark.parametrize("field_px", [95, 94, 100])
def test_a_field_is_odd_and_wider_than_its_window(field_px: int) -> None:
    with pytest.raises(InputError, match="an odd number of px, more than the window's 95"):
        validated_settings({"network": {"kind": "sliding-window", "field_px": field_px}})


# -------------------------------------------------------------------------- dense = patch by patch


@pytest.mark.parametrize("description", SMALL, ids=name_of)
@settings(max_examples=6, deadline=None)
@given(data=st.data())
def test_dense_and_patch_by_patch_are_the_same_numbers(
    awake: Awake, description: SlidingWindowSettings, data: st.DataObject
) -> None:
    torch.manual_seed(2)
    network = awake(build_network(description))
    assert isinstance(network, SlidingWindow)
    most = 12 if description.dimensions == 2 else 3
    outputs = [data.draw(st.integers(1, most)) for _ in range(description.dimensions)]
    shape = [description.window_px - 1 + n for n in outputs]
    image = torch.randn(2, description.channels, *shape, dtype=torch.float64)
    with torch.no_grad():
        dense, patches = network.dense(image), network.classify_pixels(image)
        assert tuple(dense.shape) == (2, 2, *outputs)
        assert dense.std() > 1e-3
        assert (dense - patches).abs().max().item() < 1e-10
        assert (network(image) - patches).abs().max().item() < 1e-10


def test_n4_in_float32_is_the_same_both_ways() -> None:
    network = build_network(SlidingWindowSettings()).eval()
    assert isinstance(network, SlidingWindow)
    image = torch.randn(1, 1, 102, 97)
    with torch.no_grad():
        dense, patches = network.dense(image), network.classify_pixels(image)
    assert dense.shape == (1, 2, 8, 3)
    assert dense.std() > 1e-2
    assert (dense - patches).abs().max().item() < 1e-5


def test_each_pixel_is_classified_from_its_own_window(awake: Awake) -> None:
    description = SMALL[1]
    network = awake(build_network(description))
    assert isinstance(network, SlidingWindow)
    image = torch.randn(1, 1, 24, 22, dtype=torch.float64)
    with torch.no_grad():
        dense = network.dense(image)
        for y, x in ((0, 0), (5, 3), (2, 1)):
            one = network.classify_windows(image[..., y : y + 19, x : x + 19])
            assert (one[0] - dense[0, :, y, x]).abs().max().item() < 1e-10


def test_both_ways_have_the_same_gradients(awake: Awake) -> None:
    """So a network may be trained either way."""
    network = awake(build_network(SMALL[2]))
    assert isinstance(network, SlidingWindow)
    image = torch.randn(1, 1, 34, 36, dtype=torch.float64)
    gradients = []
    for run in (network.dense, network.classify_pixels):
        network.zero_grad()
        run(image).square().sum().backward()  # type: ignore[no-untyped-call]
        gradients.append(torch.cat([p.grad.flatten() for p in network.parameters()]))
    assert gradients[0].abs().max().item() > 1e-2
    assert (gradients[0] - gradients[1]).abs().max().item() < 1e-9


def test_a_single_window_is_not_computed_densely(monkeypatch: pytest.MonkeyPatch) -> None:
    network = build_network(SMALL[1])
    assert isinstance(network, SlidingWindow)

    def refuse(_image: Tensor) -> Tensor:
        raise AssertionError("computed what no other window shares")

    monkeypatch.setattr(network, "dense", refuse)
    assert network(torch.randn(40, 1, 19, 19)).shape == (40, 2, 1, 1)
    with pytest.raises(AssertionError, match="no other window"):
        network(torch.randn(1, 1, 19, 20))


def test_dense_pooling_by_hand() -> None:
    row = torch.tensor([[[[3.0, 1.0, 4.0, 1.0, 5.0]] * 3]])
    assert dense_max_pool(row, 1)[0, 0].tolist() == [[3.0, 4.0, 4.0, 5.0]] * 2
    assert dense_max_pool(row, 2)[0, 0].tolist() == [[4.0, 1.0, 5.0]]


def test_the_activation_is_the_scaled_tanh() -> None:
    x = torch.tensor([-1.0, 0.0, 1.0, 100.0], dtype=torch.float64)
    # LeCun's constants are chosen so that f(1) = 1 and f(-1) = -1
    assert activate(x).tolist() == pytest.approx([-1.0, 0.0, 1.0, 1.7159], abs=1e-4)


# ------------------------------------------------------------------------------------- tiles


@pytest.mark.parametrize("description", [*SMALL, FOVEATED, WIDE], ids=name_of)
@settings(max_examples=5, deadline=None)
@given(data=st.data())
def test_tiles_give_the_numbers_of_one_whole_pass(
    awake: Awake,
    predict_whole: Predict,
    predict_tiled: PredictTiled,
    description: SlidingWindowSettings,
    data: st.DataObject,
) -> None:
    torch.manual_seed(4)
    network, footprint = awake(build_network(description)), description.footprint
    largest = 30 if description.dimensions == 2 else 10
    shape = tuple(data.draw(st.integers(1, largest)) for _ in footprint.step)
    more = data.draw(st.tuples(*[st.integers(3, 20)] * description.dimensions))
    tile = tuple(n + m for n, m in zip(footprint.smallest_tile, more, strict=True))
    image = torch.randn(description.channels, *shape, dtype=torch.float64)
    one = predict_whole(network, footprint, image)
    many = predict_tiled(network, footprint, image, tile)
    assert (many - one).abs().max().item() < 1e-9


@pytest.mark.parametrize("axis", [-1, -2])
def test_a_flipped_network_sees_the_flipped_image(
    awake: Awake, flipped_weights: Callable[[nn.Module, int], None], axis: int
) -> None:
    """The pixel that is classified is the window's centre, to the pixel."""
    network = awake(build_network(SMALL[2]))
    image = torch.randn(1, 1, 38, 43, dtype=torch.float64)
    with torch.no_grad():
        before = network(image)
        flipped_weights(network, axis)
        after = network(image.flip(axis))
    assert (after.flip(axis) - before).abs().max().item() < 1e-10


# ----------------------------------------------------------------- foveation, nonuniform sampling

BOTH = SlidingWindowSettings(
    width=2, neurons=4, stages=2, window_px=15, field_px=19, foveation_px=3, dimensions=3
)


@pytest.mark.parametrize("description", [FOVEATED, WIDE, BOTH])
def test_foveated_windows_run_patch_by_patch_only(
    awake: Awake, description: SlidingWindowSettings
) -> None:
    network = awake(build_network(description))
    assert isinstance(network, SlidingWindow)
    shape = [n + 2 for n in description.footprint.smallest]
    image = torch.randn(1, 1, *shape, dtype=torch.float64)
    with pytest.raises(InputError) as error:
        network.dense(image)
    assert str(error.value) == (
        "found a network with foveation or nonuniform sampling, to be run densely; wanted windows "
        "that are used as they are; run it patch by patch, or train it with foveation_px = 0 and "
        "no field_px"
    )
    with torch.no_grad():
        logits = network(image)
        assert tuple(logits.shape[2:]) == (3,) * description.dimensions
        assert torch.equal(logits, network.classify_pixels(image))
        side = description.footprint.smallest[0]
        corner = network.classify_windows(image[(..., *[slice(2, 2 + side)] * len(shape))])
        last = logits[(0, slice(None), *[2] * len(shape))]
        assert (corner[0] - last).abs().max().item() < 1e-12


def test_foveation_keeps_the_centre_and_blurs_the_edge() -> None:
    see = Fovea(SlidingWindowSettings(stages=2, window_px=31, foveation_px=2)).double()
    window = torch.randn(2, 3, 31, 31, dtype=torch.float64)
    seen = see(window)
    assert seen.shape == window.shape
    centre = slice(15 - 7, 15 + 8)  # the central half
    assert torch.equal(seen[..., centre, centre], window[..., centre, centre])
    # Full radius only beyond the outermost pixel's centre: 15 / 15.5 of the way from the centre,
    # so radius 2 * (15/15.5 - 1/2) * 2 = 1.871, between the disks of 5 and of 13 pixels.
    radius = 2 * (15 / 15.5 - 0.5) / 0.5
    cross = window[0, 0, 15, 0:2].sum() + window[0, 0, [14, 16], 0].sum()
    disk = (
        cross
        + window[0, 0, 15, 2]
        + window[0, 0, [14, 16], 1].sum()
        + window[0, 0, [13, 17], 0].sum()
    )
    by_hand = (2 - radius) * cross / 4 + (radius - 1) * disk / 9  # what lies inside the window
    assert seen[0, 0, 15, 0].item() == pytest.approx(by_hand.item(), abs=1e-6)
    variances = [seen[..., i, :].var().item() for i in (15, 30)]
    assert variances[1] < variances[0] / 3


def test_a_flat_window_stays_flat() -> None:
    for description in (FOVEATED, WIDE, BOTH):
        flat = torch.full((1, 1, *description.footprint.smallest), 3.0, dtype=torch.float64)
        seen = Fovea(description).double()(flat)
        assert seen.numpy() == pytest.approx(np.full(seen.shape, 3.0), abs=1e-5)


@pytest.mark.parametrize(("window_px", "field_px"), [(15, 27), (63, 95), (63, 191), (95, 127)])
def test_neurons_spread_over_the_field_from_its_centre(window_px: int, field_px: int) -> None:
    low, fraction = nonuniform_positions(window_px, field_px)
    position = low.double() + fraction
    assert position[0].item() == pytest.approx(0, abs=1e-5)
    assert position[-1].item() == pytest.approx(field_px - 1, abs=1e-5)
    steps = position.diff()
    half = window_px // 2
    inner = steps[half - half // 2 : half + half // 2]
    assert inner.numpy() == pytest.approx(np.ones(len(inner)))  # one pixel each, in the centre
    assert position[half].item() == field_px // 2
    outward = steps[half:]
    assert (outward.diff() > -1e-5).all()  # and never denser outwards
    # the last but one is (half - 1)/half of the way out: extra pixels grow with the square
    outside = (half - 1 - half / 2) / (half - half / 2)
    extra = (field_px - window_px) / 2 * (1 - outside**2)
    assert outward[-1].item() == pytest.approx(1 + extra, abs=1e-4)
    assert position.numpy() == pytest.approx(field_px - 1 - position.flip(0).numpy(), abs=1e-4)


def test_a_ramp_is_sampled_where_the_neurons_read() -> None:
    see = Fovea(WIDE).double()
    low, fraction = nonuniform_positions(15, 27)
    ramp = torch.arange(27, dtype=torch.float64).expand(1, 1, 27, 27)
    rows = see(ramp.mT)[0, 0, :, 4]
    columns = see(ramp)[0, 0, 4]
    assert columns.numpy() == pytest.approx((low + fraction).numpy(), abs=1e-5)
    assert torch.equal(rows, columns)


def test_a_model_file_holds_learned_weights_alone() -> None:
    plain, foveated = (build_network(d).state_dict() for d in (SMALL[1], FOVEATED))
    assert plain.keys() == foveated.keys()
