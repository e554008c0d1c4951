"""The FCN: the paper's golden facts, bilinear up-sampling, skip sums, unpooling, exact tiles."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional

from biounet.config import FAST, read_settings, validated_settings
from biounet.errors import InputError
from biounet.geometry import Footprint, Shape
from biounet.network_settings import FCNSettings, SlidingWindowSettings
from biounet.networks import build_network, fold
from biounet.networks.convolution import Convolution
from biounet.networks.fcn import FCN, BilinearUp, SkipSums, Unpooling, mark_maxima

Awake = Callable[[nn.Module], nn.Module]
Predict = Callable[[nn.Module, Footprint, Tensor], Tensor]
PredictTiled = Callable[[nn.Module, Footprint, Tensor, Shape], Tensor]

VGG = FCNSettings(
    width=64, head_width=4096, channels=3, classes=21, normalisation="none", dropout=0.5
)
THIN = {"width": 2, "head_width": 5}
SMALL = [
    FCNSettings(**THIN, depth=5, head_px=1, convolutions=(1, 1, 1, 1, 1)),
    FCNSettings(**THIN, depth=5, head_px=1, convolutions=(1, 1, 1, 1, 1), stride=32),
    FCNSettings(**THIN, depth=3, head_px=3, stride=4),
    FCNSettings(**THIN, depth=3, head_px=3, upsampling="unpooling"),
    FCNSettings(**THIN, depth=2, head_px=3, pooling=((3, 1), (2, 3))),
    FCNSettings(**THIN, depth=2, head_px=3, upsampling="unpooling", pooling=((3, 1), (2, 3))),
    FCNSettings(**THIN, depth=1, head_px=1, channels=2),
    FCNSettings(**THIN, depth=0),
    FCNSettings(**THIN, depth=0, upsampling="unpooling", convolutions=(6,)),
    FCNSettings(**THIN, dimensions=3, depth=2, head_px=1, pooling=((1, 2, 2), (2, 2, 2))),
    FCNSettings(**THIN, dimensions=3, depth=1, head_px=1, upsampling="unpooling"),
]


def name_of(s: FCNSettings) -> str:
    return f"{s.dimensions}d-depth{s.depth}-stride{s.stride}-{s.upsampling}-{s.pooling}"


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(13)


# --------------------------------------------------------------------------- the golden facts


def test_vgg_16_has_the_papers_layers_and_weights() -> None:
    with torch.device("meta"):  # shapes alone: the network is half a gigabyte
        network = build_network(VGG)
    assert isinstance(network, FCN)
    convolutions = [m for m in network.contracting.modules() if isinstance(m, Convolution)]
    assert [m.weight.shape[0] for m in convolutions] == [
        *[64, 64, 128, 128, 256, 256, 256],
        *[512] * 6,
    ]
    assert sum(p.numel() for p in network.contracting.parameters()) == 14_714_688
    backbone = [*network.contracting.parameters(), *network.head.parameters()]
    assert sum(p.numel() for p in backbone) == 134_260_544  # "134M" in the paper's Table 1
    assert isinstance(network.expansive, SkipSums)
    scores = [network.expansive.score, *network.expansive.skips]
    assert [tuple(m.weight.shape[:2]) for m in scores] == [(21, 4096), (21, 512), (21, 256)]
    assert [up.factor for up in network.expansive.up] == [(2, 2), (2, 2), (8, 8)]


@pytest.mark.parametrize(("stride", "factors"), [(32, [32]), (16, [2, 16]), (8, [2, 2, 8])])
def test_the_strides_of_the_paper(stride: int, factors: list[int]) -> None:
    network = build_network(FCNSettings(**THIN, stride=stride))
    assert isinstance(network.expansive, SkipSums)
    assert [up.factor for up in network.expansive.up] == [(f, f) for f in factors]
    assert len(network.expansive.skips) == len(factors) - 1
    assert sum(p.numel() for p in network.expansive.up[-1].parameters() if p.requires_grad) == 0
    assert all(up.weight.requires_grad for up in network.expansive.up[:-1])


def test_one_coarse_score_sees_404_px() -> None:
    """The receptive field of Table 1; two neighbours of them, 32 px apart, give 32 px."""
    footprint = FCNSettings(stride=32).footprint
    assert footprint.smallest == (404 + 32, 404 + 32)
    assert footprint.output_shape((436, 436)) == (32, 32)
    assert footprint.step == (32, 32)


def test_sizes_by_hand() -> None:
    # 8s, 3 coarse scores: 3 -> 2*3-2 = 4 -> 2*4-2 = 6 -> 8*6-8 = 40 px, from 404 + 64 px
    assert FCNSettings().footprint.output_shape((468, 468)) == (40, 40)
    # depth 1, head of 1 px: 20 -> two convolutions 16 -> 8 -> up 2*8-2 = 14; 3 px lost a side
    flat = FCNSettings(depth=1, head_px=1)
    assert flat.footprint.output_shape((20, 20)) == (14, 14)
    assert flat.footprint.margin == (3, 3)
    # depth 0: four convolutions of 3 px
    assert FCNSettings(depth=0).footprint == Footprint((4, 4), (1, 1), (9, 9))
    # unpooling: 20 -> 16 -> 8 -> 16 -> a convolution 14
    again = FCNSettings(depth=1, head_px=1, upsampling="unpooling")
    assert again.footprint.output_shape((20, 20)) == (14, 14)


def test_default_strides_are_two_skip_sums_below_the_coarsest() -> None:
    finest = [FCNSettings(depth=d).finest_scored for d in range(7)]
    assert finest == [0, 1, 1, 1, 2, 3, 4]
    assert FCNSettings(depth=5).upsampled_levels == (4, 3, 0)
    assert FCNSettings(depth=5, stride=8).footprint == FCNSettings(depth=5).footprint


@settings(max_examples=30, deadline=None)
@given(st.data())
def test_a_real_network_takes_and_gives_the_sizes_of_its_footprint(data: st.DataObject) -> None:
    dimensions = data.draw(st.sampled_from([2, 3]))
    depth = data.draw(st.integers(0, 4 if dimensions == 2 else 2))
    factor = st.tuples(*[st.sampled_from([1, 2, 3] if depth < 3 else [1, 2])] * dimensions)
    description = FCNSettings(
        **THIN,
        dimensions=dimensions,
        depth=depth,
        pooling=data.draw(st.lists(factor, min_size=depth, max_size=depth).map(tuple)) or None,
        convolutions=data.draw(
            st.lists(st.integers(1, 2), min_size=max(depth, 1), max_size=max(depth, 1)).map(tuple)
        ),
        head_px=data.draw(st.sampled_from([1, 3])),
        upsampling=data.draw(st.sampled_from(["transposed", "unpooling"])),
    )
    footprint = description.footprint
    more = data.draw(st.tuples(*[st.integers(0, 2)] * dimensions))
    shape = tuple(
        n + k * step for n, k, step in zip(footprint.smallest, more, footprint.step, strict=True)
    )
    with torch.no_grad():
        out = build_network(description).eval()(torch.zeros(1, 1, *shape))
    assert tuple(out.shape) == (1, 2, *footprint.output_shape(shape))


# --------------------------------------------------------------------------------- exact tiles


@pytest.mark.parametrize("description", SMALL, ids=name_of)
@settings(max_examples=5, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_tiles_give_the_numbers_of_one_whole_pass(
    awake: Awake,
    predict_whole: Predict,
    predict_tiled: PredictTiled,
    description: FCNSettings,
    data: st.DataObject,
) -> None:
    torch.manual_seed(17)
    network, footprint = awake(build_network(description)), description.footprint
    largest = 100 if description.dimensions == 2 else 20
    shape = tuple(data.draw(st.integers(1, largest)) for _ in footprint.step)
    more = tuple(data.draw(st.integers(9, 40)) for _ in footprint.step)
    tile = footprint.round_down(
        tuple(n + m for n, m in zip(footprint.smallest_tile, more, strict=True))
    )
    image = torch.randn(description.channels, *shape, dtype=torch.float64)
    one = predict_whole(network, footprint, image)
    many = predict_tiled(network, footprint, image, tile)
    assert (many - one).abs().max().item() < 1e-9


@pytest.mark.parametrize("description", SMALL, ids=name_of)
def test_the_networks_of_these_tests_answer_to_their_image(
    awake: Awake, description: FCNSettings
) -> None:
    """Else equal tiles would prove nothing."""
    network = awake(build_network(description))
    shape = [2 * n for n in description.footprint.step]
    image = torch.randn(1, description.channels, *description.footprint.input_for(shape))
    with torch.no_grad():
        logits = network(image.double())
    assert (logits.flatten(2).std(2) > 1e-4).all()


@pytest.mark.parametrize("axis", [-1, -2])
@pytest.mark.parametrize(
    "description", [SMALL[0], SMALL[1], SMALL[3], SMALL[4], SMALL[9]], ids=name_of
)
def test_a_flipped_network_sees_the_flipped_image(
    awake: Awake,
    flipped_weights: Callable[[nn.Module, int], None],
    description: FCNSettings,
    axis: int,
) -> None:
    """Each skip sum adds the pixels that lie under each other."""
    network = awake(build_network(description))
    for name, parameter in network.contracting.named_parameters():
        if name.endswith("bias"):  # no zeros after a ReLU: of equal maxima, the first is marked
            nn.init.constant_(parameter, 10)
    shape = [2 * n for n in description.footprint.step]
    size = description.footprint.input_for(shape)
    image = torch.randn(1, description.channels, *size, dtype=torch.float64)
    with torch.no_grad():
        before = network(image)
        flipped_weights(network, axis)
        after = network(image.flip(axis))
    assert before.std() > 1e-4
    assert (after.flip(axis) - before).abs().max().item() < 1e-9


# --------------------------------------------------------------------------------- its pieces


@pytest.mark.parametrize("factor", [(2, 2), (8, 8), (3, 1), (32, 16), (1, 2, 3)])
def test_up_sampling_begins_bilinear(factor: tuple[int, ...]) -> None:
    """Each class alone, equal to the library's interpolation away from the border."""
    up = BilinearUp(2, factor, learned=True).double()
    scores = torch.randn(1, 2, *[4] * len(factor), dtype=torch.float64)
    mode = "bilinear" if len(factor) == 2 else "trilinear"
    oracle = functional.interpolate(scores, scale_factor=factor, mode=mode, align_corners=False)
    for axis, f in enumerate(factor, start=2):
        cut = (f - f % 2) // 2
        oracle = oracle.narrow(axis, cut, oracle.shape[axis] - 2 * cut)
    with torch.no_grad():
        result = up(scores)
    assert result.shape == oracle.shape
    assert (result - oracle).abs().max().item() < 1e-6


def test_scores_begin_at_zero_and_skip_sums_add_nothing_at_first() -> None:
    network = build_network(SMALL[0])
    image = torch.randn(1, 1, *SMALL[0].footprint.smallest_tile)
    assert not network(image).any()
    assert isinstance(network.expansive, SkipSums)
    nn.init.normal_(network.expansive.score.weight)
    at_first = network(image)
    nn.init.normal_(network.expansive.skips[1].weight)
    assert at_first.any()
    assert not torch.equal(network(image), at_first)


def test_marked_maxima_by_hand() -> None:
    maps = torch.tensor([[[[1.0, 5.0, 0.0, 0.0], [3.0, 4.0, 0.0, 0.0]]]])
    # the first of equal values, as the pooling's indices have it
    assert mark_maxima(maps, (2, 2))[0, 0].tolist() == [[0.0, 1.0, 1.0, 0.0], [0.0] * 4]
    assert mark_maxima(maps, (2, 1))[0, 0].tolist() == [[0.0, 1.0, 1.0, 1.0], [1.0, 0.0, 0.0, 0.0]]


def test_unpooling_puts_values_where_the_maxima_were() -> None:
    """Against the library's own unpooling, with the indices of the pooling."""
    description = FCNSettings(
        depth=1, width=3, head_width=3, head_px=1, upsampling="unpooling", normalisation="none"
    )
    path = Unpooling(description)
    identity = torch.eye(3).reshape(3, 3, 1, 1)
    centre = functional.pad(identity, (1, 1, 1, 1))
    for layer, weight in ((path.enter[0], identity), (path.after[0], centre)):
        layer.weight = nn.Parameter(weight)
    path.score = Convolution(3, 3, (1, 1), standardised=False)
    path.score.weight = nn.Parameter(identity)
    before = torch.rand(1, 3, 8, 6)
    pooled, indices = functional.max_pool2d(before, 2, return_indices=True)
    oracle = functional.max_unpool2d(pooled, indices, 2)[..., 1:-1, 1:-1]
    with torch.no_grad():
        result = path(pooled, [pooled], [mark_maxima(before, (2, 2))])
    # a level of its own has no coarser one to be summed with: only values moved
    assert torch.equal(result, oracle)
    assert oracle.any()


@pytest.mark.parametrize("description", [SMALL[2], SMALL[3], SMALL[7]], ids=name_of)
def test_a_folded_network_is_the_same_function(awake: Awake, description: FCNSettings) -> None:
    network = awake(build_network(description))
    for name, parameter in network.named_parameters():
        if name.endswith("gain"):
            nn.init.uniform_(parameter, 0.5, 2)
    image = torch.randn(1, 1, *description.footprint.smallest_tile, dtype=torch.float64)
    with torch.no_grad():
        before = network(image)
        assert before.std() > 1e-5
        assert (fold(network)(image) - before).abs().max().item() < 1e-12


def test_dropout_follows_the_fully_connected_layers_in_training_alone(awake: Awake) -> None:
    description = FCNSettings(depth=2, width=4, head_width=32, head_px=1, dropout=0.5)
    network = awake(build_network(description))
    image = torch.randn(1, 1, *description.footprint.smallest_tile, dtype=torch.float64)
    with torch.no_grad():
        assert torch.equal(network(image), network(image))
        network.train()
        assert not torch.equal(network(image), network(image))


@pytest.mark.parametrize("description", [SMALL[2], SMALL[3], SMALL[7]], ids=name_of)
def test_every_weight_but_the_last_interpolation_learns(
    awake: Awake, description: FCNSettings
) -> None:
    network = awake(build_network(description)).train()
    shape = description.footprint.input_for([3 * n for n in description.footprint.step])
    network(torch.randn(2, 1, *shape, dtype=torch.float64)).square().mean().backward()
    for name, parameter in network.named_parameters():
        if parameter.requires_grad:
            assert parameter.grad is not None, name
            assert parameter.grad.any(), name


# ------------------------------------------------------------------------------------- settings


@pytest.mark.parametrize(
    ("wrong", "text"),
    [
        ({"stride": 7}, "wanted a stride of 2 or 4 or 8 or 16 or 32"),
        ({"depth": 0, "stride": 8}, "wanted a stride of 1"),
        ({"depth": 2, "pooling": [[2, 2]]}, "wanted pooling with 2 entries of 2 factors"),
        ({"depth": 2, "convolutions": [2]}, "wanted convolutions with 2 numbers, one a level"),
        ({"head_px": 4}, "found network.head_px = 4"),
        ({"width": 0}, "found network.width = 0"),
        ({"widht": 3}, "found network.widht = 3"),
    ],
)
def test_wrong_settings_are_told_in_one_line(wrong: dict[str, object], text: str) -> None:
    with pytest.raises(InputError, match=text):
        validated_settings({"network": {"kind": "fcn", **wrong}})


def test_a_settings_file_may_ask_for_another_network_than_the_presets(tmp_path: Path) -> None:
    path = tmp_path / "settings.yaml"
    path.write_text("preset: paper\nnetwork: {kind: fcn, depth: 3}\n")
    assert read_settings(path).network == FCNSettings(depth=3)  # of the U-Net's width, nothing
    path.write_text("network: {kind: sliding-window, stages: 3}\n")
    assert read_settings(path).network == SlidingWindowSettings(stages=3)
    path.write_text("network: {width: 16}\n")
    assert read_settings(path).network == FAST.network.model_copy(update={"width": 16})
