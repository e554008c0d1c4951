"""The U-Net as one writes it in plain PyTorch: what biounet's speed is compared with.

Modules have the names of `biounet.networks.unet`, so that its weights can be loaded. Imports
nothing of biounet: it also runs in the other tools' environment.
"""

from itertools import pairwise
from math import pi, prod, sqrt

import torch
from torch import Tensor, nn
from torch.nn import functional


class PlainUNet(nn.Module):
    """Valid convolutions and cropped skips, as in the paper; or padded, as in other tools."""

    def __init__(
        self, width: int, padded: bool = False, standardised: bool = False, dropout: float = 0.0
    ) -> None:
        super().__init__()
        widths = [width * 2**level for level in range(5)]
        self.dropout = nn.Dropout(dropout)
        self.contracting = nn.ModuleList(
            Pair(a, b, padded, standardised) for a, b in pairwise([1, *widths])
        )
        up = StandardisedUp if standardised else nn.ConvTranspose2d
        self.up = nn.ModuleList(up(below, here, 2, 2) for here, below in pairwise(widths))
        self.expansive = nn.ModuleList(
            Pair(2 * here, here, padded, standardised) for here in widths[:-1]
        )
        self.classify = nn.Conv2d(width, 2, 1)

    def forward(self, maps: Tensor) -> Tensor:
        """Logits of two classes."""
        skips = []
        for level, convolve in enumerate(self.contracting):
            maps = convolve(functional.max_pool2d(maps, 2) if level else maps)
            if level >= 3:
                maps = self.dropout(maps)
            skips.append(maps)
        maps = skips.pop()
        for up, convolve in zip(reversed(self.up), reversed(self.expansive), strict=True):
            maps = torch.relu(up(maps))
            skip = skips.pop()
            cut = (skip.shape[2] - maps.shape[2]) // 2
            if cut:
                skip = skip[:, :, cut:-cut, cut:-cut]
            maps = convolve(torch.cat([skip, maps], 1))
        logits: Tensor = self.classify(maps)
        return logits


class Pair(nn.Module):
    """Two convolutions, each followed by a ReLU."""

    def __init__(self, n_in: int, n_out: int, padded: bool, standardised: bool) -> None:
        super().__init__()
        convolution = StandardisedConvolution if standardised else nn.Conv2d
        self.first = convolution(n_in, n_out, 3, padding=int(padded))
        self.second = convolution(n_out, n_out, 3, padding=int(padded))

    def forward(self, maps: Tensor) -> Tensor:
        """Feature maps."""
        return torch.relu(self.second(torch.relu(self.first(maps))))


class StandardisedConvolution(nn.Conv2d):
    """Filters of mean 0 and unit scale, times a gain."""

    def __init__(self, n_in: int, n_out: int, kernel: int, padding: int) -> None:
        super().__init__(n_in, n_out, kernel, padding=padding)
        self.gain = nn.Parameter(torch.ones(n_out))

    def forward(self, maps: Tensor) -> Tensor:
        """Feature maps."""
        weight = standardised_weight(self.weight, self.gain[:, None, None, None], (1, 2, 3))
        return functional.conv2d(maps, weight, self.bias, padding=self.padding)


class StandardisedUp(nn.ConvTranspose2d):
    """The same of an up-convolution."""

    def __init__(self, n_in: int, n_out: int, kernel: int, stride: int) -> None:
        super().__init__(n_in, n_out, kernel, stride)
        self.gain = nn.Parameter(torch.ones(n_out))

    def forward(self, maps: Tensor) -> Tensor:
        """Enlarged maps."""
        weight = standardised_weight(self.weight, self.gain[:, None, None], (0, 2, 3)) * 2
        return functional.conv_transpose2d(maps, weight, self.bias, self.stride)


def standardised_weight(weight: Tensor, gain: Tensor, axes: tuple[int, ...]) -> Tensor:
    """Centred and scaled filters."""
    variance, mean = torch.var_mean(weight, axes, correction=0, keepdim=True)
    n_incoming = prod(weight.shape[axis] for axis in axes)
    scale = sqrt(2 / (1 - 1 / pi)) * torch.rsqrt(variance * n_incoming + 1e-8)
    return (weight - mean) * (gain * scale)
