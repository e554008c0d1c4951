"""How simulated cells look: fluorescence, phase contrast, electron microscopy."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from biounet.simulate.noise import Floats, smooth_noise, white_noise
from biounet.simulate.truth import Population, Sites, Truth

_SENSOR = 99
_FIELD_PX = 220.0  # scale of uneven illumination


@dataclass(frozen=True)
class View:
    """A region to be rendered: the truth, and noise that belongs to its place."""

    truth: Truth
    sites: Sites
    seed: int
    start: Sequence[int]
    stop: Sequence[int]
    spacing: Sequence[float]

    def texture(self, stream: int, scale_px: float) -> Floats:
        """Smooth noise of unit variance."""
        return smooth_noise(self.seed, stream, self.start, self.stop, scale_px, self.spacing)

    def blur(self, image: NDArray[np.floating[Any]], sigma_px: float) -> Floats:
        """Gaussian blur; exact at pixels farther than `BLUR_PX` from the region's edges."""
        sigma = [sigma_px / s for s in self.spacing]
        blurred: Floats = ndimage.gaussian_filter(image, sigma, mode="nearest", truncate=3.0)
        return blurred

    def brightness(self, spread: float) -> Floats:
        """Of each pixel's cell, log-normal; 0 where there is no cell."""
        return np.append(0.0, np.exp(spread * self.sites.brightness))[self.truth.owner]

    def illumination(self, unevenness: float) -> Floats:
        """Uneven light, 1 on average."""
        return np.clip(1 + unevenness * self.texture(101, _FIELD_PX), 0.35, 1.65)

    def sensor(self, signal: Floats, photons: float, read_noise: float) -> NDArray[np.uint16]:
        """Counts of a camera: `photons` for a signal of 1, shot and read noise, an offset.

        Shot noise is the normal approximation of the Poisson distribution, good above some ten
        photons, because normal noise can be had at any place of the endless image.
        """
        expected = photons * np.maximum(signal, 0)
        noise = white_noise(self.seed, _SENSOR, self.start, self.stop)
        counts = 100 + expected + np.sqrt(expected + read_noise**2) * noise
        return np.clip(np.rint(counts), 0, 65535).astype(np.uint16)


@dataclass(frozen=True)
class Appearance:
    """A kind of image: its cells, its truth, its look."""

    population: Population
    brightness_spread: float
    is_cell: Callable[[View], NDArray[np.bool_]]
    """The pixels that are labelled, of those that have an owner."""
    render: Callable[[View], NDArray[np.uint16]]


BLUR_PX = 22
"""The widest blur, 3 sigma, rounded up."""


def _debris(view: View) -> Floats:
    """Few bright specks: the rare peaks of noise that is just coarser than pixels."""
    return np.clip(view.texture(110, 2.5) - 2.9, 0, 0.6) / 0.3


def _touching_cells(view: View) -> NDArray[np.uint16]:
    """Stained cytoplasm: bright, grainy cells in colonies, thinner and dimmer at their rims."""
    truth = view.truth
    rim = 0.05 + 0.95 * (1 - np.exp(-truth.depth / 3.5))
    nucleus = 1 - 0.22 / (1 + np.exp((truth.radial - 0.42) * 18))
    grain = 1 + 0.10 * view.texture(111, 1.6) + 0.10 * view.texture(112, 4.0)
    cells = view.brightness(0.35) * rim * nucleus * np.maximum(grain, 0.1) * (truth.owner > 0)
    haze = (
        0.18
        + 0.25 * view.blur((truth.owner > 0).astype(float), 7.0)
        + 0.03 * view.texture(113, 30.0)
    )
    signal = view.blur(cells + 1.5 * _debris(view), 1.0) + haze
    return view.sensor(signal * view.illumination(0.25), photons=220, read_noise=6)


def _nuclei(view: View) -> NDArray[np.uint16]:
    """Stained nuclei: smooth, of very different brightness, lying over one another."""
    chromatin = 1 + 0.10 * view.texture(111, 2.0) + 0.12 * view.texture(112, 4.5)
    nuclei = view.truth.light * np.maximum(chromatin, 0.1)
    haze = 0.05 + 0.12 * view.blur(view.truth.light, 7.0)
    signal = view.blur(nuclei + 0.8 * _debris(view), 1.3) + haze
    return view.sensor(signal * view.illumination(0.15), photons=300, read_noise=5)


def _phase_contrast(view: View) -> NDArray[np.uint16]:
    """Dark bodies with bright halos; organelles as grains."""
    truth = view.truth
    inside = (truth.owner > 0) * 1.0
    body = inside * (1 - np.exp(-truth.depth / 3.0)) * np.minimum(view.brightness(0.25), 1.6)
    halo = view.blur(inside, 5.5) - 0.75 * inside
    rim = inside * np.exp(-(((truth.depth - 1.0) / 1.2) ** 2))
    grains = np.clip(view.texture(111, 1.7) - 1.0, 0, 2) - np.clip(view.texture(112, 2.2) - 1, 0, 2)
    organelles = body * (0.14 * grains + 0.06 * view.texture(114, 5.0))
    specks = 0.12 * np.clip(np.abs(view.texture(115, 2.2)) - 2.6, 0, 1)
    signal = 1 + 0.45 * halo - 0.28 * body + 0.22 * rim + organelles + specks
    signal = view.blur(signal, 0.9) + 0.02 * view.texture(113, 10.0)
    return view.sensor(signal * view.illumination(0.12), photons=2500, read_noise=10)


def _membrane_free(view: View) -> NDArray[np.bool_]:
    """Interiors of cells: all but the membranes, 3 to 5 px across between two cells."""
    half_width = np.clip(2.0 + 0.25 * view.texture(120, 25.0), 1.5, 2.5)
    return view.truth.depth > half_width


def _membranes(view: View) -> NDArray[np.uint16]:
    """A stained section: dark membranes; mitochondria and vesicles that have membranes too."""
    interior = _membrane_free(view)
    outside = view.truth.owner == 0
    cytoplasm = 0.72 + 0.05 * np.log(np.maximum(view.brightness(1.0), 1e-9)) * ~outside
    cytoplasm = np.clip(cytoplasm, 0.55, 0.85) + 0.05 * view.texture(111, 1.2)
    cytoplasm += 0.035 * view.texture(112, 5.0)

    deep = 1 / (1 + np.exp(6.0 - view.truth.depth))
    bodies = view.texture(121, 9.0) - 1.5
    mitochondria = deep / (1 + np.exp(-14 * bodies))
    envelope = deep * np.exp(-((bodies / 0.16) ** 2))
    vesicles = deep * np.clip(view.texture(122, 2.0) - 1.7, 0, 1)
    signal = cytoplasm - 0.20 * mitochondria - 0.22 * envelope - 0.30 * vesicles
    dark = 0.22 + 0.05 * view.texture(123, 3.0)
    signal = np.where(interior, signal, np.where(outside, 0.85, dark))
    signal = view.blur(signal, 0.9) * view.illumination(0.06)
    return view.sensor(signal, photons=260, read_noise=9)


def _all(view: View) -> NDArray[np.bool_]:
    return view.truth.owner > 0


APPEARANCES = {
    "touching-cells": Appearance(
        Population(26, 15, 0.14, 1.4, 0.0, 0.74, 1.4, 8), 0.35, _all, _touching_cells
    ),
    "membranes": Appearance(
        Population(28, 15, 0.28, 1.8, 0.0, 0.75, 3.0, 9, outline=2.4),
        0.0,
        _membrane_free,
        _membranes,
    ),
    "phase-contrast": Appearance(
        Population(34, 14, 0.20, 2.6, 0.1, 0.9, 4.0, 11), 0.0, _all, _phase_contrast
    ),
    "nuclei": Appearance(Population(26, 11, 0.22, 1.6, -0.2, 0.75, 1.0, 8), 0.6, _all, _nuclei),
}
