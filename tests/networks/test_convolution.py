"""Convolutions, up-convolutions, their initial weights, standardisation and folding."""

from math import prod, sqrt

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from biounet.networks.convolution import (
    RELU_GAIN,
    Convolution,
    UpConvolution,
    crop,
    fold,
    max_pool,
    standardise,
)


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(5)


@pytest.mark.parametrize("kernel", [(1, 1), (3, 3), (4, 5), (1, 3, 3), (3, 3, 3)])
def test_convolution_begins_with_the_papers_standard_deviation(kernel: tuple[int, ...]) -> None:
    layer = Convolution(24, 96, kernel, standardised=False)
    n_incoming = 24 * prod(kernel)
    wanted = sqrt(2 / n_incoming)
    n = layer.weight.numel()
    assert abs(layer.weight.std().item() / wanted - 1) < 5 / sqrt(2 * n)
    assert abs(layer.weight.mean().item()) < 5 * wanted / sqrt(n)
    assert not layer.bias.detach().any()


@pytest.mark.parametrize("factor", [(2, 2), (1, 2, 2), (2, 2, 2)])
def test_up_convolution_counts_one_incoming_pixel(factor: tuple[int, ...]) -> None:
    layer = UpConvolution(128, 64, factor, standardised=False)
    n = layer.weight.numel()
    assert abs(layer.weight.std().item() / sqrt(2 / 128) - 1) < 5 / sqrt(2 * n)


def test_the_deviation_is_that_of_a_gaussian() -> None:
    weight = Convolution(64, 64, (3, 3), standardised=False).weight.detach().double()
    z = weight / sqrt(2 / (64 * 9))
    assert (z**4).mean().item() == pytest.approx(3, abs=0.2)  # uniform weights would give 1.8


def test_convolution_by_hand() -> None:
    layer = Convolution(1, 1, (2, 2), standardised=False)
    layer.weight = nn.Parameter(torch.tensor([[[[1.0, 2.0], [3.0, 4.0]]]]))
    layer.bias = nn.Parameter(torch.tensor([0.5]))
    image = torch.arange(9.0).reshape(1, 1, 3, 3)
    # at the top left: 0*1 + 1*2 + 3*3 + 4*4 = 27; one pixel further adds 1+2+3+4 = 10
    assert layer(image)[0, 0].tolist() == [[27.5, 37.5], [57.5, 67.5]]
    # dilated by 2 it reads the corners: 0*1 + 2*2 + 6*3 + 8*4 = 54
    assert layer(image, 2)[0, 0].tolist() == [[54.5]]


def test_up_convolution_by_hand() -> None:
    layer = UpConvolution(1, 1, (1, 2), standardised=False)
    layer.weight = nn.Parameter(torch.tensor([[[[1.0, -1.0]]]]))
    # each pixel becomes two, times 1 and -1
    up = layer(torch.tensor([[[[2.0, -3.0], [4.0, 0.0]]]]))
    assert up[0, 0].tolist() == [[2.0, -2.0, -3.0, 3.0], [4.0, -4.0, 0.0, 0.0]]


@pytest.mark.parametrize("factor", [(2, 2), (1, 3), (1, 2, 2)])
def test_in_training_an_up_convolution_is_the_same_function(factor: tuple[int, ...]) -> None:
    layer = UpConvolution(3, 5, factor, standardised=True).double()
    with torch.no_grad():
        layer.bias.uniform_(-1, 1)
    maps = torch.randn(2, 3, *[3, 5, 4][: len(factor)], dtype=torch.float64)
    plain = layer(maps)
    learning = layer(maps.requires_grad_())
    torch.testing.assert_close(learning, plain, rtol=0, atol=1e-12)
    weights = torch.randn_like(plain)
    learned = [maps, *layer.parameters()]
    found = torch.autograd.grad((learning * weights).sum(), learned)
    maps.requires_grad_(False)
    expected = torch.autograd.grad((layer(maps) * weights).sum(), learned[1:])
    for ours, theirs in zip(found[1:], expected, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-12)


def test_the_gradient_of_standardised_filters_is_theirs() -> None:
    for filter_axis in (0, 1):
        weight = torch.randn(3, 4, 2, 2, dtype=torch.float64, requires_grad=True)
        gain = torch.rand(weight.shape[filter_axis], dtype=torch.float64, requires_grad=True)
        assert torch.autograd.gradcheck(standardise, (weight, gain, filter_axis))


def test_pooling_and_cropping_by_hand() -> None:
    maps = torch.tensor([[[[1.0, 5.0, 2.0, 0.0], [3.0, 4.0, 8.0, 7.0]]]])
    assert max_pool(maps, (2, 2))[0, 0].tolist() == [[5.0, 8.0]]
    assert max_pool(maps, (1, 2))[0, 0].tolist() == [[5.0, 2.0], [4.0, 8.0]]
    assert crop(maps, torch.Size((2, 2)))[0, 0].tolist() == [[5.0, 2.0], [4.0, 8.0]]


@pytest.mark.parametrize("factor", [(2, 2), (3, 2), (1, 2, 2), (2, 3, 1)])
def test_in_training_pooling_is_the_same_function(factor: tuple[int, ...]) -> None:
    maps = torch.randn(2, 3, *[6, 8, 6][: len(factor)])
    plain = max_pool(maps, factor)
    pool = functional.max_pool2d if len(factor) == 2 else functional.max_pool3d
    weights = torch.randn_like(plain)
    learning = maps.clone().requires_grad_()
    pooled = max_pool(learning, factor)
    assert torch.equal(pooled, plain)
    (found,) = torch.autograd.grad((pooled * weights).sum(), learning)
    (expected,) = torch.autograd.grad((pool(learning, factor) * weights).sum(), learning)
    assert torch.equal(found, expected)


@pytest.mark.parametrize("kernel", [(3, 3), (1, 3, 3)])
def test_standardised_filters_have_mean_0_and_unit_scale(kernel: tuple[int, ...]) -> None:
    layer = Convolution(8, 16, kernel, standardised=True).double()
    with torch.no_grad():  # far from its start
        layer.weight.mul_(7).add_(3)
        assert layer.gain is not None
        layer.gain.uniform_(0.5, 2)
        filters = layer.plain_weight().flatten(1)
        assert filters.mean(1).abs().max().item() < 1e-12
        norms = filters.square().sum(1).sqrt() / RELU_GAIN
        assert norms.numpy() == pytest.approx(layer.gain.numpy(), rel=1e-6)


def test_standardised_up_convolution_has_unit_scale_per_output_pixel() -> None:
    layer = UpConvolution(12, 5, (2, 2), standardised=True).double()
    with torch.no_grad():
        filters = layer.plain_weight()
    assert filters.mean((0, 2, 3)).abs().max().item() < 1e-12
    per_pixel = filters.square().sum(0).mean((1, 2))  # mean over the 2 x 2 output pixels
    assert per_pixel.numpy() == pytest.approx(np.full(5, RELU_GAIN**2), rel=1e-6)


def test_standardised_convolutions_keep_unit_variance_after_a_relu() -> None:
    maps = torch.randn(4, 64, 40, 40).relu()
    layer = Convolution(64, 256, (3, 3), standardised=True)
    with torch.no_grad():
        out = layer(maps)
    # over many filters, each its own draw: mean 0 and variance 1
    assert out.var((0, 2, 3)).mean().item() == pytest.approx(1, abs=0.1)
    assert out.mean((0, 2, 3)).square().mean().item() < 0.1


def test_folding_leaves_the_same_function_and_no_gain() -> None:
    layers = nn.Sequential(
        Convolution(2, 6, (3, 3), standardised=True),
        UpConvolution(6, 4, (2, 2), standardised=True),
        Convolution(4, 3, (1, 1), standardised=False),
    ).double()
    with torch.no_grad():
        for name, parameter in layers.named_parameters():
            if "gain" in name or "bias" in name:
                parameter.uniform_(0.5, 2)
    image = torch.randn(1, 2, 9, 8, dtype=torch.float64)
    before = layers(image)
    assert fold(layers) is layers
    assert sorted(layers.state_dict()) == [f"{i}.{n}" for i in range(3) for n in ("bias", "weight")]
    assert (layers(image) - before).abs().max().item() < 1e-12
    assert (fold(layers)(image) - before).abs().max().item() < 1e-12  # twice is once


@pytest.mark.parametrize("n_axes", [2, 3])
def test_a_crops_gradient_lies_as_the_maps_do(n_axes: int) -> None:
    layout = torch.channels_last if n_axes == 2 else torch.channels_last_3d
    maps = torch.randn(2, 3, *[9, 8, 7][-n_axes:]).contiguous(memory_format=layout)
    maps.requires_grad_()
    inner = torch.Size([5, 4, 3][-n_axes:])
    seen = []
    doubled = maps * 2
    doubled.register_hook(seen.append)
    weights = torch.randn(2, 3, *inner)
    (crop(doubled, inner) * weights).sum().backward()
    expected = torch.zeros_like(maps)
    expected[(..., *[slice(2, -2)] * n_axes)] = weights
    assert torch.equal(seen[0], expected)
    assert seen[0].is_contiguous(memory_format=layout)
