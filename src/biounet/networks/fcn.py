"""The fully convolutional network (Long, Shelhamer, Darrell 2015, doi:10.1109/CVPR.2015.7298965).

A classifier (VGG-16 in the paper: levels of convolutions and max pooling, then "fully connected"
layers, which are convolutions of the coarsest maps) whose coarse scores are brought back to full
resolution. FCN-32s enlarges the scores at once; 16s and 8s add the scores of finer maps on the
way ("skip sums"). In place of transposed convolutions, unpooling can put each value back where the
pooling found its maximum (Noh et al. 2015, doi:10.1109/ICCV.2015.178). At depth 0 it is the plain
stack of convolutions at full resolution.

Unlike the paper's, every convolution is valid, and of a transposed convolution only the pixels
that all their neighbours contributed to are kept: a pixel of the output depends on the pixels of
the input within `margin`, and on nothing else. (Unpooling follows the larger of two values: where
two are equal but for rounding, it can follow either.)

Shapes in the comments: depth 5, width 32, 8s, a 468 px tile.
"""

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

from biounet.geometry import Shape
from biounet.network_settings import FCNSettings
from biounet.networks.convolution import Convolution, crop, max_pool


class FCN(nn.Module):
    """Contracting network, "fully connected" layers, scores, up-sampling.

    Input (N, C, Y, X) or (N, C, Z, Y, X) float, output (N, classes, …) logits, smaller by the
    footprint's margin on every side.
    """

    def __init__(self, settings: FCNSettings) -> None:
        super().__init__()
        widths = level_widths(settings)
        standardised = settings.normalisation != "none"
        self.pooling = settings.pooling_factors
        self.dropout = settings.dropout
        self.contracting = nn.ModuleList(
            Convolutions([c_in, *[c_out] * n_convolutions], kernel, standardised)
            for c_in, c_out, kernel, n_convolutions in zip(
                [settings.channels, *widths[:-1]],
                widths,
                settings.kernels,
                settings.n_convolutions,
                strict=True,
            )
        )
        self.head = nn.ModuleList()
        if self.pooling:
            first = (settings.head_px,) * settings.dimensions
            point = (1,) * settings.dimensions
            self.head.append(Convolution(widths[-1], settings.head_width, first, standardised))
            self.head.append(
                Convolution(settings.head_width, settings.head_width, point, standardised)
            )
        self.expansive = (
            Unpooling(settings) if settings.upsampling == "unpooling" else SkipSums(settings)
        )

    def forward(self, image: Tensor) -> Tensor:
        """Logits of an image of legal size."""
        pooled: list[Tensor] = []
        maxima: list[Tensor] = []
        maps = image  # (1, 468²)
        for level, convolutions in enumerate(self.contracting):
            maps = convolutions(maps)
            if level < len(self.pooling):  # (32, 464²) (64, 228²) (128, 108²) (256, 48²) (256, 18²)
                if isinstance(self.expansive, Unpooling):
                    maxima.append(mark_maxima(maps, self.pooling[level]))
                maps = max_pool(maps, self.pooling[level])
                pooled.append(maps)  # (32, 232²) (64, 114²) (128, 54²) (256, 24²) (256, 9²)
        for convolve in self.head:
            maps = functional.relu(convolve(maps))  # (512, 3²) (512, 3²)
            if self.dropout:
                maps = functional.dropout(maps, self.dropout, self.training)
        logits: Tensor = self.expansive(maps, pooled, maxima)  # (2, 40²)
        return logits


class Convolutions(nn.Module):
    """Valid convolutions between these numbers of channels, each followed by a ReLU."""

    def __init__(self, channels: list[int], kernel: Shape, standardised: bool) -> None:
        super().__init__()
        self.layers = nn.ModuleList(
            Convolution(c_in, c_out, kernel, standardised) for c_in, c_out in pairwise(channels)
        )

    def forward(self, maps: Tensor) -> Tensor:
        """Feature maps (N, C, …), smaller by what each kernel takes."""
        for convolve in self.layers:
            maps = functional.relu(convolve(maps))
        return maps


class SkipSums(nn.Module):
    """Scores, enlarged by transposed convolutions; those of finer maps are added on the way."""

    def __init__(self, settings: FCNSettings) -> None:
        super().__init__()
        widths = level_widths(settings)
        self.levels = settings.upsampled_levels
        self.score = zero_convolution(entering_width(settings), settings.classes, settings)
        self.skips = nn.ModuleList(
            zero_convolution(widths[level - 1], settings.classes, settings)
            for level in self.levels[:-1]
        )
        self.up = nn.ModuleList(
            BilinearUp(settings.classes, settings.factor_between(fine, coarse), learned=fine > 0)
            for coarse, fine in pairwise((settings.depth, *self.levels))
        )

    def forward(self, maps: Tensor, pooled: list[Tensor], _maxima: list[Tensor]) -> Tensor:
        """Logits at full resolution, from the last maps and those after each pooling."""
        scores: Tensor = self.score(maps)  # (2, 3²)
        for step, (level, up) in enumerate(zip(self.levels, self.up, strict=True)):
            scores = up(scores)  # (2, 4²) (2, 6²) (2, 40²)
            if level > 0:
                skip = self.skips[step](pooled[level - 1])  # (2, 24²) (2, 54²)
                scores = scores + crop(skip, scores.shape[2:])
        return scores


class Unpooling(nn.Module):
    """Maps, enlarged by putting values back where the pooling found maxima, and a convolution.

    The maps have as many channels as those that were pooled, at every level, so that each has its
    own maxima; skip sums add maps, and the last layer scores them.
    """

    def __init__(self, settings: FCNSettings) -> None:
        super().__init__()
        widths = level_widths(settings)
        standardised = settings.normalisation != "none"
        self.pooling = settings.pooling_factors
        self.levels = settings.upsampled_levels
        self.enter = nn.ModuleList()
        if self.pooling:
            point = (1,) * settings.dimensions
            self.enter.append(Convolution(settings.head_width, widths[-1], point, standardised))
        self.after = nn.ModuleList(
            Convolution(
                widths[level], widths[max(level - 1, 0)], settings.kernels[level], standardised
            )
            for level in self.levels
        )
        self.skips = nn.ModuleList(
            zero_convolution(widths[level - 1], widths[level - 1], settings)
            for level in self.levels
            if level >= settings.finest_scored
        )
        self.score = zero_convolution(widths[0], settings.classes, settings)

    def forward(self, maps: Tensor, pooled: list[Tensor], maxima: list[Tensor]) -> Tensor:
        """Logits at full resolution, from the last maps, the pooled ones, and their maxima."""
        for convolve in self.enter:
            maps = functional.relu(convolve(maps))
        for step, (level, convolve) in enumerate(zip(self.levels, self.after, strict=True)):
            for axis, factor in enumerate(self.pooling[level], start=2):
                maps = maps.repeat_interleave(factor, axis)
            maps = maps * crop(maxima[level], maps.shape[2:])
            maps = functional.relu(convolve(maps))
            if step < len(self.skips):
                skip = self.skips[step](crop(pooled[level - 1], maps.shape[2:]))
                maps = maps + skip
        scores: Tensor = self.score(maps)
        return scores


class BilinearUp(nn.Module):
    """A transposed convolution that begins as bilinear interpolation, class by class.

    The pixels whose neighbours are not all there are cut off: n become n * f - (f - f mod 2).
    The last of the paper's is fixed, the others are learned.
    """

    def __init__(self, classes: int, factor: Shape, learned: bool) -> None:
        super().__init__()
        self.factor = factor
        self.cut = tuple(f - f % 2 for f in factor)
        kernel = torch.ones(())
        for f in factor:
            side = 2 * f - f % 2
            from_centre = (torch.arange(side) - (side - 1) / 2).abs()
            kernel = kernel[..., None] * (1 - from_centre / f)
        weight = torch.einsum("io,...->io...", torch.eye(classes), kernel)
        self.weight = nn.Parameter(weight, requires_grad=learned)

    def forward(self, scores: Tensor) -> Tensor:
        """Enlarge (N, classes, …) by the factor along each axis."""
        convolve = functional.conv_transpose2d if scores.ndim == 4 else functional.conv_transpose3d
        return convolve(scores, self.weight, stride=self.factor, padding=self.cut)


def level_widths(settings: FCNSettings) -> list[int]:
    """Feature channels of each level: doubled up to 8 times the first, as in VGG-16."""
    return [settings.width * min(2**level, 8) for level in range(len(settings.kernels))]


def entering_width(settings: FCNSettings) -> int:
    """Channels of the maps that are scored: the head's, or those of the plain stack."""
    return settings.head_width if settings.depth else settings.width


def zero_convolution(c_in: int, c_out: int, settings: FCNSettings) -> Convolution:
    """A convolution of single pixels that is zero at first, as the paper's scoring layers."""
    layer = Convolution(c_in, c_out, (1,) * settings.dimensions, standardised=False)
    nn.init.zeros_(layer.weight)
    return layer


def mark_maxima(maps: Tensor, factor: Shape) -> Tensor:
    """1 where a max pooling finds its maximum (the first of equal ones), 0 elsewhere."""
    pool = functional.max_pool2d if maps.ndim == 4 else functional.max_pool3d
    unpool = functional.max_unpool2d if maps.ndim == 4 else functional.max_unpool3d
    values, indices = pool(maps, factor, return_indices=True)
    return unpool(torch.ones_like(values), indices, factor, output_size=maps.shape[2:])
