"""Valid convolutions, plain or with scaled weight standardisation; 2-D and 3-D are one code.

Initialisation (paper, section 3; He et al. 2015, doi:10.1109/ICCV.2015.123): Gaussian with
standard deviation sqrt(2 / N), N the number of incoming nodes of one neuron: kernel size times
input channels for a convolution; input channels alone for an up-convolution of stride equal to
its kernel, where each output pixel sees one input pixel.

Scaled weight standardisation (Qiao et al. 2019, arXiv:1903.10520; Brock et al. 2021,
arXiv:2101.08692): each filter is centred and scaled so that its output has unit variance after
the ReLU before it, times one learned gain a channel. It is the paper's wish, unit variance in
every feature map, kept true during training, with no statistics of any image: so nothing depends
on the tiling, and `fold` turns it into plain convolutions for prediction.
"""

from math import prod, sqrt
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from biounet.geometry import Shape

RELU_GAIN = sqrt(2 / (1 - 1 / torch.pi))
"""Restores unit variance after the ReLU of a standard normal variable."""


STANDARDISED_STD = 0.1
"""Of the stored weights of a standardised filter. It does not change the filter, but sets how far
one step of the optimiser turns it: the same in every layer, however many inputs it has."""


class Convolution(nn.Module):
    """A valid convolution with bias."""

    def __init__(
        self,
        c_in: int,
        c_out: int,
        kernel: Shape,
        standardised: bool,
        stride: Shape | None = None,
    ) -> None:
        super().__init__()
        self.stride = stride or (1,) * len(kernel)
        std = STANDARDISED_STD if standardised else sqrt(2 / (c_in * prod(kernel)))
        self.weight = nn.Parameter(_gaussian((c_out, c_in, *kernel), std))
        self.bias = nn.Parameter(torch.zeros(c_out))
        self.gain = nn.Parameter(torch.ones(c_out)) if standardised else None

    def plain_weight(self) -> Tensor:
        """The filters that are applied, (c_out, c_in, *kernel)."""
        if self.gain is None:
            return self.weight
        return standardise(self.weight, self.gain, filter_axis=0)

    def forward(self, maps: Tensor, dilation: int = 1) -> Tensor:
        """Convolve (N, C, …); with a dilation, as if on every `dilation`-th pixel alone."""
        convolve = functional.conv2d if maps.ndim == 4 else functional.conv3d
        return convolve(maps, self.plain_weight(), self.bias, self.stride, dilation=dilation)


class UpConvolution(nn.Module):
    """A transposed convolution of stride equal to its kernel: the paper's "up-convolution".

    A ReLU follows it in the authors' release.
    """

    def __init__(self, c_in: int, c_out: int, factor: Shape, standardised: bool) -> None:
        super().__init__()
        self.factor = factor
        std = STANDARDISED_STD if standardised else sqrt(2 / c_in)
        self.weight = nn.Parameter(_gaussian((c_in, c_out, *factor), std))
        self.bias = nn.Parameter(torch.zeros(c_out))
        self.gain = nn.Parameter(torch.ones(c_out)) if standardised else None

    def plain_weight(self) -> Tensor:
        """The filters that are applied, (c_in, c_out, *factor)."""
        if self.gain is None:
            return self.weight
        return standardise(self.weight, self.gain * sqrt(prod(self.factor)), filter_axis=1)

    def forward(self, maps: Tensor) -> Tensor:
        """Enlarge (N, C, …) by the factor along each axis."""
        if maps.requires_grad:
            return enlarge(maps, self.plain_weight(), self.bias)
        convolve = functional.conv_transpose2d if maps.ndim == 4 else functional.conv_transpose3d
        return convolve(maps, self.plain_weight(), self.bias, stride=self.factor)


def enlarge(maps: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """A transposed convolution of stride equal to its kernel, as a matrix product.

    Each pixel becomes a block of pixels that depends on no other. PyTorch's own is as fast, but
    its gradients take twice as long.

    Args:
        maps: (N, c_in, …).
        weight: (c_in, c_out, *factor).
        bias: (c_out,).
    """
    (_, c_out, *factor), (n, _, *size) = weight.shape, maps.shape
    matrix = weight.movedim(1, -1).flatten(1)
    blocks = functional.linear(maps.movedim(1, -1), matrix.t(), bias.repeat(prod(factor)))
    blocks = blocks.view(n, *size, *factor, c_out)
    interleaved = [axis for a in range(1, len(size) + 1) for axis in (a, a + len(size))]
    blocks = blocks.permute(0, *interleaved, -1)  # (N, Y, 2, X, 2, C)
    enlarged = blocks.reshape(n, *(s * f for s, f in zip(size, factor, strict=True)), c_out)
    return enlarged.movedim(-1, 1)


def _gaussian(shape: Shape, std: float) -> Tensor:
    """Random weights; on the meta device none, since only asking loads PyTorch's compiler (1 s)."""
    weight = torch.empty(shape)
    return weight if weight.is_meta else weight.normal_() * std


def standardise(weight: Tensor, gain: Tensor, filter_axis: int) -> Tensor:
    """Centre and scale each filter: mean 0, sum of squares `RELU_GAIN`², times its gain.

    Batch normalisation's arithmetic, whose gradient takes few passes; the weights take its maps'
    place. As they lie in training, channels last, nothing is copied.
    """
    n_incoming = weight.numel() // weight.shape[filter_axis]
    channels_last = weight.movedim(1, -1)
    filters = channels_last.flatten(1)[None] if filter_axis == 0 else channels_last.flatten(0, -2)
    scale = gain * (RELU_GAIN / sqrt(n_incoming))
    standardised = functional.batch_norm(
        filters, None, None, scale, training=True, eps=1e-8 / n_incoming
    )
    return standardised.view(channels_last.shape).movedim(-1, 1)


def fold(network: nn.Module) -> nn.Module:
    """Write the standardised filters into the weights, in place: the same function, plain."""
    for module in network.modules():
        if isinstance(module, Convolution | UpConvolution) and module.gain is not None:
            module.weight = nn.Parameter(module.plain_weight().detach(), requires_grad=False)
            module.gain = None
    return network


def max_pool(maps: Tensor, factor: Shape) -> Tensor:
    """Non-overlapping max pooling.

    In training, strips of maps are pooled as if they were maps of their own: PyTorch's gradient
    uses one thread for each.
    """
    pool = functional.max_pool2d if maps.ndim == 4 else functional.max_pool3d
    if not maps.requires_grad or maps.shape[2] % factor[0]:
        return pool(maps, factor)
    n, c, _, *others = maps.shape
    strips = maps.movedim(1, -1).reshape(-1, factor[0], *others, c).movedim(-1, 1)
    pooled = pool(strips, factor)
    return pooled.movedim(1, -1).reshape(n, -1, *pooled.shape[3:], c).movedim(-1, 1)


def crop(maps: Tensor, shape: torch.Size) -> Tensor:
    """The centre of feature maps (N, C, …), of the given spatial shape."""
    if maps.requires_grad:
        cropped: Tensor = Crop.apply(maps, shape)  # type: ignore[no-untyped-call]
        return cropped
    return centre(maps, shape)


def centre(maps: Tensor, shape: torch.Size) -> Tensor:
    """A view of the centre."""
    for axis, size in enumerate(shape, start=2):
        maps = maps.narrow(axis, (maps.shape[axis] - size) // 2, size)
    return maps


class Crop(torch.autograd.Function):
    """A crop whose gradient has the memory layout of the maps.

    PyTorch's own lays it out channels first, and every operation on it and on maps that lie
    channels last then takes three to ten times as long, up to the next convolution.
    """

    @staticmethod
    def forward(ctx: Any, maps: Tensor, shape: torch.Size) -> Tensor:
        """The centre, a view."""
        ctx.whole = torch.empty_like(maps, device="meta")
        return centre(maps, shape)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        """The gradient in the centre, and zeros around it."""
        (gradient,) = gradients
        whole = torch.zeros_like(ctx.whole, device=gradient.device, dtype=gradient.dtype)
        centre(whole, gradient.shape[2:]).copy_(gradient)
        return whole, None
