"""Random samples from annotated images: every change is one sampling grid, interpolated once.

Section 3.1 of the paper: shift, rotation, mirror, elastic deformation (displacement vectors on a
coarse 3 x 3 grid, Gaussian with 10 px, bicubic in between) and grey-value variation. 2-D and 3-D
are one code; the arithmetic runs on the device of the images.

A sample is decided by its number: `sample_rng(seed, number)` gives the same random changes in
any process, on any worker, after any interruption.
"""

from dataclasses import dataclass
from functools import lru_cache

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


def sampling_grid(
    change: Change, centre: NDArray[np.float64], shape: Shape, image: Tensor
) -> Tensor:
    """Where in an image (C, …) every pixel of a patch lies: (d, *shape) float32, on its device.

    As `grid_sample` wants it: X before Y, and -1 and 1 are the centres of the image's end pixels;
    `in_pixels` gives px. Along the last axis a coordinate is a sum of the cubic weights, a
    constant and the position, each times a number of its line: one matrix product makes the grid.

    Args:
        centre: image coordinates of the patch's centre, in px, Y before X.
        shape: the patch's shape.
    """
    *leading, last = shape
    n_coarse = change.displacement.shape[-1]
    elastic = change.displacement
    for axis, size in enumerate(leading, start=1):
        weights = cubic_weights(n_coarse, size)
        elastic = np.moveaxis(np.tensordot(weights, elastic, (1, axis)), 0, axis)
    position = np.stack(np.meshgrid(*map(_from_centre, leading), indexing="ij"))
    each = (-1, *[1] * len(leading))  # one number for each coordinate
    constant = np.tensordot(change.matrix[:, :-1], position, 1) + centre.reshape(each)
    slope = np.broadcast_to(change.matrix[:, -1].reshape(each), constant.shape)
    lines = np.concatenate([elastic, np.stack([constant, slope], -1)], -1)
    lines *= np.array([2 / n for n in _ends(image)]).reshape(*each, 1)
    lines[..., -2] -= 1
    along = np.vstack([cubic_weights(n_coarse, last).T, np.ones(last), _from_centre(last)])
    product = _as_tensor(lines[::-1].reshape(-1, len(along)), image) @ _as_tensor(along, image)
    return product.view(len(shape), *shape)


def in_pixels(grid: Tensor, image: Tensor) -> Tensor:
    """A sampling grid's image coordinates in px, Y before X."""
    ends = torch.tensor(_ends(image), device=grid.device).view(-1, *[1] * (grid.ndim - 1))
    return (grid.flip(0) + 1) / 2 * ends


def _ends(image: Tensor) -> list[int]:
    """The last pixel along each axis; 1 where there is but one."""
    return [max(size - 1, 1) for size in image.shape[1:]]


def _from_centre(n: int) -> NDArray[np.float64]:
    return np.arange(n, dtype=np.float64) - (n - 1) / 2


def _as_tensor(array: NDArray[np.float64], like: Tensor) -> Tensor:
    return torch.from_numpy(array.astype(np.float32)).to(like.device)


@lru_cache
def cubic_weights(n_coarse: int, n_fine: int) -> NDArray[np.float64]:
    """Cubic convolution (Keys 1981, doi:10.1109/TASSP.1981.1163711; a = -1/2) as a matrix.

    (n_fine, n_coarse): coarse points span the fine ones end to end; beyond the ends the outermost
    coarse value goes on.
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
    weights = np.zeros((n_fine, n_coarse))
    rows = np.arange(n_fine)
    for offset, tap in enumerate(taps, start=-1):
        np.add.at(weights, (rows, np.clip(first + offset, 0, n_coarse - 1)), tap)
    weights.setflags(write=False)  # kept for the next call
    return weights


def sample_image(image: Tensor, grid: Tensor, mode: str) -> Tensor:
    """Values of an image (C, …) on a sampling grid; outside it is mirrored.

    Args:
        mode: "bilinear" for grey values, "nearest" for labels and weights.
    """
    places = grid.movedim(0, -1)[None]
    return functional.grid_sample(
        image[None], places, mode, padding_mode="reflection", align_corners=True
    )[0]


def change_grey(image: Tensor, change: GreyChange) -> Tensor:
    """Vary the grey values of a normalised patch (C, …)."""
    if change.gamma != 1:
        image = image.abs().pow_(change.gamma).copysign_(image)
    image = image.mul(change.contrast).add_(change.brightness)
    if change.noise:
        rng = torch.Generator(image.device).manual_seed(change.noise_seed)
        noise = torch.randn(image.shape, generator=rng, device=image.device)
        image.add_(noise, alpha=change.noise)
    return image
