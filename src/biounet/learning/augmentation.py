"""Random samples from annotated images: every change is one sampling grid, interpolated once.

Section 3.1 of the paper: shift, rotation, mirror, elastic deformation (displacement vectors on a
coarse 3 x 3 grid, Gaussian with 10 px, bicubic in between) and grey-value variation. 2-D and 3-D
are one code; the arithmetic runs on the device of the images.

A sample is decided by its number: `sample_rng(seed, number)` gives the same random changes in
any process, on any worker, after any interruption.
"""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from biounet.config import AugmentationSettings
from biounet.geometry import Shape


@dataclass(frozen=True)
class GreyChange:
    """Grey values become sign(v) |v|^gamma * contrast + brightness + noise."""

    contrast: float
    brightness: float
    gamma: float
    noise: float
    noise_seed: int


@dataclass(frozen=True)
class Change:
    """The random changes of one sample.

    Attributes:
        matrix: (d, d) linear map from patch to image coordinates (rotation, mirror, scale).
        displacement: (d, grid, …, grid) px on the coarse grid that spans the patch.
        grey: the change of grey values.
    """

    matrix: NDArray[np.float64]
    displacement: NDArray[np.float64]
    grey: GreyChange


def sample_rng(seed: int, number: int) -> np.random.Generator:
    """The random generator of sample `number` of a run: counted, so never stored."""
    return np.random.Generator(np.random.Philox(key=[seed, number]))


def draw_change(
    settings: AugmentationSettings, dimensions: int, rng: np.random.Generator
) -> Change:
    """Draw the changes of one sample."""
    matrix = np.eye(dimensions)
    turns = rng.uniform(0, 4)  # of 90 degrees
    turns = {"none": 0.0, "right-angles": float(int(turns)), "any": turns}[settings.rotation]
    cos, sin = np.cos(turns * np.pi / 2), np.sin(turns * np.pi / 2)
    matrix[-2:, -2:] = [[cos, -sin], [sin, cos]]
    matrix *= (1 + settings.scale) ** rng.uniform(-1, 1)
    signs = rng.integers(0, 2, dimensions) * 2 - 1 if settings.mirror else np.ones(dimensions)
    grid = (settings.elastic_grid,) * dimensions
    displacement = rng.normal(0, 1, (dimensions, *grid)) * settings.elastic_std_px
    grey = GreyChange(
        contrast=float(np.exp(rng.normal() * settings.contrast)),
        brightness=float(rng.normal() * settings.brightness),
        gamma=float(np.exp(rng.normal() * settings.gamma)),
        noise=float(rng.uniform() * settings.noise),
        noise_seed=int(rng.integers(2**62)),
    )
    return Change(matrix * signs, displacement, grey)


def sampling_grid(change: Change, centre: NDArray[np.float64], shape: Shape) -> Tensor:
    """Image coordinates of every pixel of a patch, (d, *shape) float32 in px, Y before X.

    Args:
        centre: image coordinates of the patch's centre, in px.
        shape: the patch's shape.
    """
    grid = elastic_displacement(change.displacement, shape)
    grid += torch.from_numpy(centre.astype(np.float32)).view(-1, *[1] * len(shape))
    matrix = torch.from_numpy(change.matrix.astype(np.float32))
    for axis, size in enumerate(shape):
        position = torch.arange(size, dtype=torch.float32) - (size - 1) / 2
        along = [-1 if a == axis else 1 for a in range(len(shape))]
        for component in range(len(shape)):
            grid[component] += (position * matrix[component, axis]).view(along)
    return grid


def elastic_displacement(displacement: NDArray[np.float64], shape: Shape) -> Tensor:
    """Displacements on a coarse grid, interpolated bicubically to every pixel: (d, *shape)."""
    field = torch.from_numpy(displacement.astype(np.float32))
    for axis, size in enumerate(shape, start=1):
        weights = cubic_weights(field.shape[axis], size)
        field = torch.movedim(torch.tensordot(weights, field, dims=([1], [axis])), 0, axis)
    return field.contiguous()


def cubic_weights(n_coarse: int, n_fine: int) -> Tensor:
    """Cubic convolution (Keys 1981, doi:10.1109/TASSP.1981.1163711; a = -1/2) as a matrix.

    (n_fine, n_coarse) float32: coarse points span the fine ones end to end; beyond the ends the
    outermost coarse value goes on.
    """
    position = np.linspace(0, n_coarse - 1, n_fine) if n_fine > 1 else np.array([n_coarse / 2])
    first = np.minimum(np.floor(position).astype(int), max(n_coarse - 2, 0))
    t = position - first
    taps = [
        ((-0.5 * t + 1.0) * t - 0.5) * t,
        (1.5 * t - 2.5) * t * t + 1.0,
        ((-1.5 * t + 2.0) * t + 0.5) * t,
        (0.5 * t - 0.5) * t * t,
    ]
    weights = np.zeros((n_fine, n_coarse), np.float32)
    rows = np.arange(n_fine)
    for offset, tap in enumerate(taps, start=-1):
        np.add.at(weights, (rows, np.clip(first + offset, 0, n_coarse - 1)), tap)
    return torch.from_numpy(weights)


def sample_image(image: Tensor, grid: Tensor, mode: str) -> Tensor:
    """Values of an image (C, …) at coordinates (d, …) in px; outside it is mirrored.

    Args:
        mode: "bilinear" for grey values, "nearest" for labels and weights.
    """
    unit = torch.empty((*grid.shape[1:], len(grid)), device=grid.device)
    for axis, size in enumerate(image.shape[1:]):  # -1 and 1 are the centres of the end pixels
        torch.mul(grid[axis], 2 / max(size - 1, 1), out=unit[..., -1 - axis])
    return functional.grid_sample(
        image[None], unit.sub_(1)[None], mode, padding_mode="reflection", align_corners=True
    )[0]


def change_grey(image: Tensor, change: GreyChange) -> Tensor:
    """Vary the grey values of a normalised patch (C, …)."""
    if change.gamma != 1:
        image = image.sign() * image.abs().pow(change.gamma)
    image = image * change.contrast + change.brightness
    if change.noise:
        rng = torch.Generator(image.device).manual_seed(change.noise_seed)
        noise = torch.randn(image.shape, generator=rng, device=image.device)
        image = image + change.noise * noise
    return image
