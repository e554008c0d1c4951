"""What the tests of every network share: prediction as a whole and by tiles, flipped networks."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from biounet.geometry import Footprint, Shape, plan_tiles

Predict = Callable[[nn.Module, Footprint, Tensor], Tensor]
PredictTiled = Callable[[nn.Module, Footprint, Tensor, Shape], Tensor]


def mirrored(image: Tensor, start: Shape, stop: Shape) -> Tensor:
    """The region of an image (C, …), mirrored where it lies outside."""
    pixels = image.numpy()
    for axis, (a, b, n) in enumerate(zip(start, stop, image.shape[1:], strict=True), start=1):
        indices = np.pad(np.arange(n), (max(0, -a), max(0, b - n)), mode="reflect")
        pixels = pixels.take(indices[max(0, a) :][: b - a], axis)
    return torch.from_numpy(pixels)


@torch.no_grad()
def whole(network: nn.Module, footprint: Footprint, image: Tensor) -> Tensor:
    """Logits (classes, …) of every pixel of an image (C, …), in one pass."""
    shape = image.shape[1:]
    start = tuple(-m for m in footprint.margin)
    stop = tuple(a + n for a, n in zip(start, footprint.input_for(shape), strict=True))
    logits: Tensor = network(mirrored(image, start, stop)[None])[0]
    return logits[(slice(None), *(slice(n) for n in shape))]


@torch.no_grad()
def tiled(network: nn.Module, footprint: Footprint, image: Tensor, tile_shape: Shape) -> Tensor:
    """The same, tile by tile."""
    shape = tuple(image.shape[1:])
    logits = torch.full((2, *shape), torch.nan, dtype=image.dtype)
    for tile in plan_tiles(shape, footprint, tile_shape):
        out = network(mirrored(image, tile.read_start, tile.read_stop)[None])[0]
        ends = list(zip(tile.write_start, tile.write_stop, strict=True))
        inside = (slice(None), *(slice(0, b - a) for a, b in ends))
        logits[(slice(None), *(slice(a, b) for a, b in ends))] = out[inside]
    return logits


@pytest.fixture(scope="session")
def predict_whole() -> Predict:
    return whole


@pytest.fixture(scope="session")
def predict_tiled() -> PredictTiled:
    return tiled


@pytest.fixture(scope="session")
def awake() -> Callable[[nn.Module], nn.Module]:
    """A network in float64 whose every weight counts, those that begin at zero too."""

    def awaken(network: nn.Module) -> nn.Module:
        for parameter in network.parameters():
            if not parameter.detach().any():
                nn.init.normal_(parameter, std=0.1)
        return network.double().eval()

    return awaken


@pytest.fixture(scope="session")
def flipped_weights() -> Callable[[nn.Module, int], None]:
    """Flip every kernel of a network, in place, along a spatial axis counted from the last."""

    def flip(network: nn.Module, axis: int) -> None:
        with torch.no_grad():
            for parameter in network.parameters():
                if parameter.ndim > 1:
                    parameter.copy_(parameter.flip(axis))

    return flip
