"""The U-Net (Ronneberger, Fischer, Brox 2015, doi:10.1007/978-3-319-24574-4_28), Fig. 1.

Reads top to bottom like the figure. Convolutions are valid, always: a pixel of the output depends
on the pixels of the input within `margin`, and on nothing else.

Shapes in the comments are the paper's: one channel, width 64, depth 4, a 572 px tile.
"""

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

from biounet.geometry import Shape
from biounet.network_settings import UNetSettings
from biounet.networks.convolution import Convolution, UpConvolution, crop, max_pool


class UNet(nn.Module):
    """Contracting path, expansive path, one map per class.

    Input (N, C, Y, X) or (N, C, Z, Y, X) float, output (N, classes, …) logits, smaller by the
    footprint's margin on every side.
    """

    def __init__(self, settings: UNetSettings) -> None:
        super().__init__()
        widths = [settings.width * 2**level for level in range(settings.depth + 1)]
        kernels, standardised = settings.kernels, settings.normalisation != "none"
        one = (1,) * settings.dimensions
        strides = [settings.strides, *[one] * settings.depth]
        self.pooling = settings.pooling_factors
        self.dropout = settings.dropout
        self.contracting = nn.ModuleList(
            ConvolutionPair(c_in, c_out, kernel, standardised, stride)
            for c_in, c_out, kernel, stride in zip(
                [settings.channels, *widths], widths, kernels, strides, strict=False
            )
        )
        self.up = nn.ModuleList(
            UpConvolution(below, here, factor, standardised)
            for (here, below), factor in zip(pairwise(widths), self.pooling, strict=True)
        )
        self.expansive = nn.ModuleList(
            ConvolutionPair(2 * here, here, kernel, standardised, one)
            for here, kernel in zip(widths[:-1], kernels, strict=False)
        )
        self.classify = (
            Convolution(widths[0], settings.classes, one, standardised=False)
            if settings.strides == one
            else UpConvolution(widths[0], settings.classes, settings.strides, standardised=False)
        )
        if standardised:  # without a normalised last layer the first steps would be wild
            nn.init.zeros_(self.classify.weight)

    def forward(self, image: Tensor) -> Tensor:
        """Logits of an image of legal size."""
        logits: Tensor = self.classify(self.features(image))  # (2, 388²)
        return logits

    def features(self, image: Tensor) -> Tensor:
        """The maps (N, width, …) that pixels are classified by, one value a block of strides."""
        skips = []
        maps = image  # (1, 572, 572)
        depth = len(self.pooling)
        for level, convolve in enumerate(self.contracting):
            maps = convolve(maps)  # (64, 568²) (128, 280²) (256, 136²) (512, 64²) (1024, 28²)
            if level >= depth - 1 and self.dropout:  # the authors' release: the last two levels
                maps = functional.dropout(maps, self.dropout, self.training)
            if level < depth:
                skips.append(maps)
                maps = max_pool(maps, self.pooling[level])
        for level in reversed(range(depth)):
            maps = self.up[level](maps)  # (512, 56²) (256, 104²) (128, 200²) (64, 392²)
            maps = functional.relu(maps)  # not in place: what it changes is a view
            maps = torch.cat([crop(skips.pop(), maps.shape[2:]), maps], dim=1)
            maps = self.expansive[level](maps)  # (512, 52²) (256, 100²) (128, 196²) (64, 388²)
        return maps


class ConvolutionPair(nn.Module):
    """Two valid convolutions, each followed by a ReLU.

    Where the first has a stride, its kernel is as many times larger: the same convolution, on
    blocks of pixels in place of pixels.
    """

    def __init__(
        self, c_in: int, c_out: int, kernel: Shape, standardised: bool, stride: Shape
    ) -> None:
        super().__init__()
        blocks = tuple(k * s for k, s in zip(kernel, stride, strict=True))
        self.first = Convolution(c_in, c_out, blocks, standardised, stride)
        self.second = Convolution(c_out, c_out, kernel, standardised)

    def forward(self, maps: Tensor) -> Tensor:
        """Feature maps, smaller by 2 px a side for kernels of 3."""
        maps = functional.relu(self.first(maps), inplace=True)
        return functional.relu(self.second(maps), inplace=True)
