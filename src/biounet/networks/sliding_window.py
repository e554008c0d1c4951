"""The sliding-window network (Ciresan, Giusti, Gambardella, Schmidhuber 2012, NIPS 25, 2843-2851).

A classifier of single pixels: from the window around a pixel to the classes of that pixel. Table 1
of the paper, network N4, window 95 px::

    input             1 map of 95²
    convolution 4²   48 maps of 92²     max pooling 2²   48 maps of 46²
    convolution 5²   48 maps of 42²     max pooling 2²   48 maps of 21²
    convolution 4²   48 maps of 18²     max pooling 2²   48 maps of  9²
    convolution 4²   48 maps of  6²     max pooling 2²   48 maps of  3²
    fully connected  200 neurons, then one per class

Legal windows are those whose every pooling meets an even size: for 4 stages 63, 79, 95, 111, … px,
for 3 stages 31, 39, …, for 2 stages 15, 19, …, for 1 stage 5, 7, … All of them are odd, so every
window has a central pixel.

The same weights run in two ways. Patch by patch, as in the paper, each window goes through the
table alone. Densely, each pooling takes maxima without skipping pixels, and what follows it reads
every second pixel of its input, so the pixels of a tile share everything that their windows share
(Giusti et al. 2013, arXiv:1302.1700, to the same end). Both give the same numbers.

Nonlinearity: 1.7159 tanh(2/3 x) with weights of standard deviation 1/sqrt(N) (LeCun et al. 1998,
"Efficient BackProp"), the authors' choice in their networks of these years. It follows the
pooling here: tanh grows, so it commutes with the maximum, and there are 4 times fewer values.
"""

from math import prod, sqrt

import torch
from torch import Tensor, nn
from torch.nn import functional

from biounet.errors import InputError
from biounet.network_settings import SlidingWindowSettings
from biounet.networks.convolution import Convolution, max_pool

WINDOWS_AT_ONCE = 32
"""Windows that run together patch by patch: bounds the memory, changes no number."""


class SlidingWindow(nn.Module):
    """Stages of convolution and max pooling, one fully connected layer, one neuron per class.

    Input (N, C, Y, X) or (N, C, Z, Y, X) float, output (N, classes, …) logits for every pixel that
    has a whole window around it.
    """

    def __init__(self, settings: SlidingWindowSettings) -> None:
        super().__init__()
        self.window_px, self.field_px = settings.window_px, settings.footprint.smallest[0]
        axes = range(settings.dimensions)
        self.stages = nn.ModuleList(
            Convolution(c_in, settings.width, tuple(k for _ in axes), standardised=False)
            for c_in, k in zip(
                [settings.channels] + [settings.width] * settings.stages,
                settings.kernels,
                strict=False,
            )
        )
        self.connect = Convolution(
            settings.width, settings.neurons, tuple(settings.final_px for _ in axes), False
        )
        self.classify = Convolution(
            settings.neurons, settings.classes, tuple(1 for _ in axes), False
        )
        for layer in (*self.stages, self.connect, self.classify):
            nn.init.normal_(layer.weight, std=1 / sqrt(prod(layer.weight.shape[1:])))
        self.fovea = (
            Fovea(settings)
            if settings.foveation_px or settings.field_px is not None
            else nn.Identity()
        )

    def forward(self, image: Tensor) -> Tensor:
        """Logits of every pixel: densely, or patch by patch where only that is possible.

        A single window has nothing to share, so it goes patch by patch too.
        """
        one_window = all(n == self.field_px for n in image.shape[2:])
        if one_window or isinstance(self.fovea, Fovea):
            return self.classify_pixels(image)
        return self.dense(image)

    def dense(self, image: Tensor) -> Tensor:
        """Logits (N, classes, Y - window + 1, X - window + 1) of a whole tile at once.

        Raises:
            InputError: where windows are foveated or sampled nonuniformly. A pixel then looks
                different in each window that it lies in, and there is nothing to share.
        """
        if isinstance(self.fovea, Fovea):
            raise InputError(
                "a network with foveation or nonuniform sampling, to be run densely",
                "windows that are used as they are",
                "run it patch by patch, or train it with foveation_px = 0 and no field_px",
            )
        maps = image
        for stage, convolve in enumerate(self.stages):
            dilation = 2**stage
            maps = activate(dense_max_pool(convolve(maps, dilation), dilation))
        maps = activate(self.connect(maps, 2 ** len(self.stages)))
        logits: Tensor = self.classify(maps)
        return logits

    def classify_windows(self, windows: Tensor) -> Tensor:
        """Logits (N, classes) of the central pixels of windows (N, C, field, field).

        The field is the window, or with nonuniform sampling the area that the window samples.
        """
        maps = self.fovea(windows)  # (1, 95²)
        for convolve in self.stages:
            maps = convolve(maps)  # (48, 92²) (48, 42²) (48, 18²) (48, 6²)
            maps = activate(max_pool(maps, (2,) * (maps.ndim - 2)))  # 46² 21² 9² 3²
        maps = activate(self.connect(maps))  # (200, 1²)
        logits: Tensor = self.classify(maps)  # (2, 1²)
        return logits.flatten(1)

    def classify_pixels(self, image: Tensor) -> Tensor:
        """Logits as `dense` gives them, patch by patch: slow, as in the paper."""
        windows = image
        for axis in range(2, image.ndim):
            windows = windows.unfold(axis, self.field_px, 1)  # a view: (N, C, Y, X, field, field)
        shape = windows.shape[2 : image.ndim]
        positions = torch.cartesian_prod(
            *(torch.arange(n, device=image.device) for n in (len(image), *shape))
        )
        logits = torch.cat(
            [
                self.classify_windows(windows[(at[:, 0], slice(None), *at[:, 1:].T)])
                for at in torch.split(positions, WINDOWS_AT_ONCE)
            ]
        )
        return logits.reshape(len(image), *shape, -1).movedim(-1, 1)


class Fovea(nn.Module):
    """What the network sees of a window: sharp in the centre, blurred or coarse towards the edge.

    Foveation: each pixel becomes the mean over a disk (cut at the window's edge) whose radius is
    0 in the central half of the window and grows linearly to `foveation_px` at its edge.
    Nonuniform sampling: the window's neurons read single pixels in its central half, and further
    out they spread, quadratically, over the whole field. The paper describes both in words only;
    these are the plainest forms of them. The distance from the centre is the largest of those
    along the axes.
    """

    blur: Tensor
    share: Tensor
    low: Tensor
    fraction: Tensor

    def __init__(self, settings: SlidingWindowSettings) -> None:
        super().__init__()
        self.dimensions, self.radius = settings.dimensions, settings.foveation_px
        field_px = settings.footprint.smallest[0]
        blur, share = foveation(field_px, self.radius, self.dimensions)
        low, fraction = nonuniform_positions(settings.window_px, field_px)
        # Not persistent: settings alone decide them, and a model file holds what was learned.
        self.register_buffer("blur", blur, persistent=False)
        self.register_buffer("share", share, persistent=False)
        self.register_buffer("low", low, persistent=False)
        self.register_buffer("fraction", fraction, persistent=False)

    def forward(self, fields: Tensor) -> Tensor:
        """Windows (N, C, window, window) from fields (N, C, field, field)."""
        convolve = functional.conv2d if self.dimensions == 2 else functional.conv3d
        single = fields.flatten(0, 1).unsqueeze(1)
        blurred = convolve(single, self.blur, padding=self.radius)
        seen = (blurred * self.share).sum(1).reshape(fields.shape)
        for axis in range(2, seen.ndim):
            fraction = self.fraction.view(-1, *(1,) * (seen.ndim - 1 - axis))
            below = seen.index_select(axis, self.low)
            above = seen.index_select(axis, (self.low + 1).clamp(max=seen.shape[axis] - 1))
            seen = below * (1 - fraction) + above * fraction
        return seen


def foveation(side: int, radius: int, dimensions: int) -> tuple[Tensor, Tensor]:
    """Disks of radius 0 to `radius`, and each one's share in each pixel of a window.

    Returns:
        disks (radius + 1, 1, …) of ones, and shares (radius + 1, side, side), already divided by
        the number of pixels of the window under the disk.
    """
    offsets = torch.arange(-radius, radius + 1)
    squared = torch.zeros((2 * radius + 1,) * dimensions)
    eccentricity = torch.zeros((side,) * dimensions)
    from_centre = (torch.arange(side) - side // 2).abs() / (side / 2)
    for axis in range(dimensions):
        shape = [-1 if a == axis else 1 for a in range(dimensions)]
        squared = squared + offsets.square().view(shape)
        eccentricity = torch.maximum(eccentricity, from_centre.view(shape))
    disks = torch.stack([(squared <= r * r).float() for r in range(radius + 1)]).unsqueeze(1)
    wanted = radius * ((eccentricity - 0.5) / 0.5).clamp(0, 1)
    shares = torch.stack([(1 - (wanted - r).abs()).clamp(min=0) for r in range(radius + 1)])
    convolve = functional.conv2d if dimensions == 2 else functional.conv3d
    n_under = convolve(torch.ones((1, 1, *(side,) * dimensions)), disks, padding=radius)
    return disks, shares / n_under[0]


def nonuniform_positions(window_px: int, field_px: int) -> tuple[Tensor, Tensor]:
    """Where along the field each neuron of a window reads: pixel below, and fraction above it."""
    half, extra = window_px // 2, (field_px - window_px) // 2
    offset = torch.arange(-half, half + 1, dtype=torch.float64)
    outside = ((offset.abs() - half / 2) / (half - half / 2)).clamp(min=0)
    position = field_px // 2 + offset + extra * outside.square() * offset.sign()
    low = position.floor().long().clamp(0, field_px - 1)
    return low, (position - low).float()


def activate(maps: Tensor) -> Tensor:
    """The scaled hyperbolic tangent: unit variance in, about unit variance out."""
    return 1.7159 * torch.tanh(maps * (2 / 3))


def dense_max_pool(maps: Tensor, dilation: int) -> Tensor:
    """Max pooling of 2 px along each axis for every pixel, of pixels `dilation` apart."""
    for axis in range(2, maps.ndim):
        n = maps.shape[axis] - dilation
        maps = torch.maximum(maps.narrow(axis, 0, n), maps.narrow(axis, dilation, n))
    return maps
