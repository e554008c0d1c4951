"""The U-Net: the paper's golden facts, exact tiles, dropout, folding; 2-D, 3-D, anisotropic."""

from collections.abc import Callable
from math import prod, sqrt

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional

from biounet.geometry import Footprint, Shape
from biounet.network_settings import UNetSettings
from biounet.networks import build_network, fold
from biounet.networks.convolution import Convolution, UpConvolution

Awake = Callable[[nn.Module], nn.Module]
Predict = Callable[[nn.Module, Footprint, Tensor], Tensor]
PredictTiled = Callable[[nn.Module, Footprint, Tensor, Shape], Tensor]

PAPER = UNetSettings()
STANDARDISED = UNetSettings(width=3, depth=2, normalisation="weight-standardisation", dropout=0)
ANISOTROPIC = UNetSettings(
    dimensions=3, width=2, depth=3, dropout=0, pooling=((1, 2, 2), (2, 2, 2), (1, 2, 2))
)


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(3)


@pytest.fixture(scope="module")
def paper() -> nn.Module:
    torch.manual_seed(1)
    return build_network(PAPER).eval()


# --------------------------------------------------------------------------- the golden facts


def test_the_paper_has_23_convolutional_layers_and_31_million_weights(paper: nn.Module) -> None:
    layers = [m for m in paper.modules() if isinstance(m, Convolution | UpConvolution)]
    assert len(layers) == 23
    assert sum(isinstance(m, UpConvolution) for m in layers) == 4
    assert sum(p.numel() for p in paper.parameters()) == 31_030_658


def test_the_map_sizes_of_figure_1() -> None:
    """Every map of the figure, on a device that computes shapes only."""
    with torch.device("meta"):
        network = build_network(PAPER).eval()
        shapes: list[tuple[int, ...]] = []
        for module in network.modules():
            if isinstance(module, Convolution | UpConvolution):
                module.register_forward_hook(lambda _m, _i, out: shapes.append((*out.shape[1:],)))
        network(torch.empty(1, 1, 572, 572))
    assert [(c, n) for c, n, _ in shapes] == [
        *[(64, 570), (64, 568), (128, 282), (128, 280), (256, 138), (256, 136)],
        *[(512, 66), (512, 64), (1024, 30), (1024, 28)],
        *[(512, 56), (512, 54), (512, 52), (256, 104), (256, 102), (256, 100)],
        *[(128, 200), (128, 198), (128, 196), (64, 392), (64, 390), (64, 388), (2, 388)],
    ]
    assert all(y == x for _, y, x in shapes)


def test_the_papers_margins_and_legal_sizes() -> None:
    footprint = PAPER.footprint
    assert footprint.output_shape((572, 572)) == (388, 388)
    assert footprint.margin == (92, 92)
    assert [n for n in range(230) if footprint.is_legal((n, n))] == [188, 204, 220]


def test_every_layer_begins_with_he_deviation(paper: nn.Module) -> None:
    """sqrt(2/N), N = kernel pixels x channels in; channels alone for an up-convolution."""
    for name, layer in paper.named_modules():
        if not isinstance(layer, Convolution | UpConvolution):
            continue
        if isinstance(layer, UpConvolution):
            n_incoming = layer.weight.shape[0]
        else:
            n_incoming = prod(layer.weight.shape[1:])
        relative = layer.weight.std().item() / sqrt(2 / n_incoming)
        assert abs(relative - 1) < 5 / sqrt(2 * layer.weight.numel()), name


def test_the_untrained_maps_neither_vanish_nor_explode(paper: nn.Module) -> None:
    """He's deviation keeps the mean square from a convolution to the next, at every level.

    Only poolings raise it (a maximum is more than what it is taken from).
    """
    variance: dict[str, float] = {}
    mean_square: dict[str, float] = {}

    def watch(name: str, maps: Tensor) -> None:
        variance[name] = maps.var((0, 2, 3)).mean().item()
        mean_square[name] = maps.square().mean().item()

    hooks = [
        module.register_forward_hook(lambda _m, _i, out, name=name: watch(name, out))
        for name, module in paper.named_modules()
        if isinstance(module, Convolution | UpConvolution)
    ]
    with torch.no_grad():
        paper(torch.randn(1, 1, 252, 252))
    for hook in hooks:
        hook.remove()
    assert len(variance) == 23
    assert mean_square["contracting.0.first"] == pytest.approx(2, rel=0.3)
    for name in mean_square:
        assert 0.1 < variance[name] < 20, name
        if name.endswith("second"):
            first = mean_square[name.replace("second", "first")]
            assert mean_square[name] == pytest.approx(first, rel=0.2), name


# ---------------------------------------------------------------------------------- real sizes


@settings(max_examples=25, deadline=None)
@given(st.data())
def test_a_real_network_takes_and_gives_the_sizes_of_its_footprint(data: st.DataObject) -> None:
    dimensions = data.draw(st.sampled_from([2, 3]))
    depth = data.draw(st.integers(0, 3 if dimensions == 2 else 2))
    factor = st.tuples(*[st.sampled_from([1, 2, 3] if depth < 3 else [1, 2])] * dimensions)
    pooling = data.draw(st.lists(factor, min_size=depth, max_size=depth).map(tuple))
    description = UNetSettings(
        dimensions=dimensions, width=1, depth=depth, pooling=pooling or None, classes=3
    )
    footprint = description.footprint
    more = data.draw(st.tuples(*[st.integers(0, 2)] * dimensions))
    shape = tuple(
        n + k * step for n, k, step in zip(footprint.smallest, more, footprint.step, strict=True)
    )
    with torch.no_grad():
        out = build_network(description).eval()(torch.zeros(1, 1, *shape))
    assert tuple(out.shape) == (1, 3, *footprint.output_shape(shape))


# --------------------------------------------------------------------------------- exact tiles


@pytest.mark.parametrize(
    "description",
    [
        UNetSettings(width=2, depth=0),
        UNetSettings(width=2, depth=1),
        UNetSettings(width=2, depth=3),
        UNetSettings(width=2, depth=4),
        STANDARDISED,
        UNetSettings(width=2, depth=2, pooling=((1, 2), (3, 2))),
        UNetSettings(width=2, depth=1, first_stride=(2, 2)),
        UNetSettings(dimensions=3, width=2, depth=1, first_stride=(1, 2, 2)),
        UNetSettings(dimensions=3, width=2, depth=1, channels=2),
    ],
    ids=lambda s: f"{s.dimensions}d-depth{s.depth}-{s.normalisation}-{s.pooling}",
)
@settings(max_examples=6, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_tiles_give_the_numbers_of_one_whole_pass(
    awake: Awake,
    predict_whole: Predict,
    predict_tiled: PredictTiled,
    description: UNetSettings,
    data: st.DataObject,
) -> None:
    """At every size: smaller than the margin, one pixel wide, many tiles."""
    torch.manual_seed(7)
    network, footprint = awake(build_network(description)), description.footprint
    largest = 130 if description.dimensions == 2 else 24
    shape = tuple(data.draw(st.integers(1, largest)) for _ in footprint.step)
    more = tuple(data.draw(st.integers(9, 30)) for _ in footprint.step)
    tile = footprint.round_down(
        tuple(n + m for n, m in zip(footprint.smallest_tile, more, strict=True))
    )
    image = torch.randn(description.channels, *shape, dtype=torch.float64)
    one = predict_whole(network, footprint, image)
    many = predict_tiled(network, footprint, image, tile)
    assert one.std() > 1e-3 or one.numel() == 2
    assert (many - one).abs().max().item() < 1e-9


def test_tiles_are_exact_with_anisotropic_pooling(
    awake: Awake, predict_whole: Predict, predict_tiled: PredictTiled
) -> None:
    footprint = ANISOTROPIC.footprint
    assert footprint.step == (2, 8, 8)
    assert footprint.margin[0] < footprint.margin[1]
    network = awake(build_network(ANISOTROPIC))
    image = torch.randn(1, 7, 21, 30, dtype=torch.float64)
    one = predict_whole(network, footprint, image)
    many = predict_tiled(network, footprint, image, footprint.smallest_tile)
    assert one.std() > 1e-3
    assert (many - one).abs().max().item() < 1e-9


def test_tiles_off_the_grid_give_other_numbers(awake: Awake) -> None:
    """Why the plan steps on the grid: max pooling has a phase."""
    description = UNetSettings(width=2, depth=2)
    network = awake(build_network(description))
    margin, side = description.footprint.margin[0], description.footprint.smallest_tile[0] + 8
    image = torch.randn(1, 1, side + 4, side + 4, dtype=torch.float64)
    with torch.no_grad():
        one = network(image)
        for shift in (1, 2, 3, 4):
            shifted = network(image[..., shift : shift + side, :side])
            n = side - 2 * margin - 4
            difference = (shifted[..., :n, :n] - one[..., shift : shift + n, :n]).abs().max().item()
            assert (difference < 1e-9) == (shift == 4)


@pytest.mark.parametrize("axis", [-1, -2])
def test_a_flipped_network_sees_the_flipped_image(
    awake: Awake, flipped_weights: Callable[[nn.Module, int], None], axis: int
) -> None:
    """Each crop and margin is centred, to the pixel."""
    description = UNetSettings(width=3, depth=3)
    network = awake(build_network(description))
    image = torch.randn(1, 1, *description.footprint.input_for((20, 28)), dtype=torch.float64)
    with torch.no_grad():
        before = network(image)
        flipped_weights(network, axis)
        after = network(image.flip(axis))
    assert before.std() > 1e-3
    assert (after.flip(axis) - before).abs().max().item() < 1e-9


# ----------------------------------------------------------------------------- dropout, folding


@pytest.mark.parametrize(("depth", "channels"), [(4, [16, 32]), (1, [2, 4]), (0, [2])])
def test_dropout_sits_at_the_end_of_the_contracting_path(
    monkeypatch: pytest.MonkeyPatch, depth: int, channels: list[int]
) -> None:
    dropped: list[tuple[int, float, bool]] = []
    original = functional.dropout

    def watched(maps: Tensor, p: float, training: bool) -> Tensor:
        dropped.append((maps.shape[1], p, training))
        return original(maps, p, training)

    monkeypatch.setattr(functional, "dropout", watched)
    description = UNetSettings(width=2, depth=depth, dropout=0.3)
    network = build_network(description)
    image = torch.randn(1, 1, *description.footprint.smallest_tile)
    network.train()(image)
    network.eval()(image)
    assert dropped == [(c, 0.3, mode) for mode in (True, False) for c in channels]


def test_dropout_is_active_in_training_alone(awake: Awake) -> None:
    description = UNetSettings(width=4, depth=2)
    network = awake(build_network(description))
    image = torch.randn(1, 1, *description.footprint.smallest_tile, dtype=torch.float64)
    with torch.no_grad():
        assert torch.equal(network(image), network(image))
        network.train()
        assert not torch.equal(network(image), network(image))


def test_a_folded_network_is_the_same_function_and_a_plain_one(awake: Awake) -> None:
    network = awake(build_network(STANDARDISED))
    for name, parameter in network.named_parameters():
        if name.endswith("gain"):
            nn.init.uniform_(parameter, 0.5, 2)
    image = torch.randn(1, 1, *STANDARDISED.footprint.smallest_tile, dtype=torch.float64)
    with torch.no_grad():
        before = network(image)
        after = fold(network)(image)
        plain = build_network(STANDARDISED.model_copy(update={"normalisation": "none"})).double()
        plain.load_state_dict(network.state_dict())
        assert before.std() > 1e-3
        assert (after - before).abs().max().item() < 1e-12
        assert (plain(image) - before).abs().max().item() < 1e-12


def test_a_standardised_network_begins_undecided() -> None:
    network = build_network(STANDARDISED)
    assert not network(torch.randn(1, 1, *STANDARDISED.footprint.smallest_tile)).any()
