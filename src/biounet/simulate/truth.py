"""Where the simulated cells are: sites on a jittered lattice, each pixel owned by one of them."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial import cKDTree
from scipy.special import ndtr
from skimage.measure import label
from skimage.segmentation import find_boundaries

from biounet.simulate.noise import smooth_noise, white_noise

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

# Streams of noise; textures (see appearance.py) take those from 100.
_JITTER, _AXIS, _RADIUS, _STRETCH, _BRIGHTNESS, _PRIORITY, _CROWD, _WARP = range(0, 80, 10)
_MOST_SPREAD = 2.0  # standard deviations of radius and outline that are let through


@dataclass(frozen=True)
class Population:
    """What kind of cells there are; lengths in px."""

    pitch: float
    """Distance of lattice sites, one cell each at most."""
    radius: float
    """Mean semi-axis across the cell."""
    radius_spread: float
    """Standard deviation of the logarithm of the radius."""
    stretch: float
    """Largest elongation."""
    crowd: float
    """Sites are used where smooth noise of unit variance exceeds this: colonies and gaps."""
    closest: float
    """Of two sites closer than this share of the sum of their radii, one is not used."""
    warp: float
    """Standard deviation of the irregularity of outlines."""
    warp_scale: float
    outline: float = 1.0
    """Cells end here, in radii; large where only neighbours limit them."""

    @property
    def largest_radius(self) -> float:
        """Of any cell, before it is stretched."""
        return self.radius * math.exp(_MOST_SPREAD * self.radius_spread)

    @property
    def reach(self) -> float:
        """No pixel is farther from the site of its cell."""
        return self.largest_radius * self.stretch * self.outline + _MOST_SPREAD * self.warp


@dataclass(frozen=True)
class Sites:
    """One entry per cell, in the order of the lattice; n cells, d axes."""

    number: Ints
    """(n,) positive, the same in every region."""
    centre: Floats
    """(n, d) px."""
    axis: Floats
    """(n, d) unit vector of the elongation."""
    radius: Floats
    """(n,) px."""
    stretch: Floats
    """(n,) 1 or more."""
    brightness: Floats
    """(n,) standard normal."""

    def take(self, which: NDArray[np.bool_] | NDArray[np.intp]) -> "Sites":
        """The sites of a mask or of indices."""
        return replace(self, **{f.name: getattr(self, f.name)[which] for f in fields(self)})

    def within(self, low: Sequence[float], high: Sequence[float]) -> NDArray[np.bool_]:
        """(n,) whether the centre lies in the box from `low` up to `high`, px."""
        inside: NDArray[np.bool_] = np.logical_and.reduce(
            (self.centre >= low) & (self.centre < high), axis=1
        )
        return inside


def place_sites(
    population: Population,
    seed: int,
    low: Sequence[float],
    high: Sequence[float],
    *,
    all_used: bool,
) -> Sites:
    """All cells whose centre lies from `low` up to `high` (px, any region of the endless plane).

    With `all_used`, colonies leave no gaps.
    """
    pitch, n_axes = population.pitch, len(low)
    # Beyond the region too: a neighbour outside may be why a site inside is not used.
    margin = math.ceil(2 * population.closest * population.largest_radius / pitch) + 1
    start = [math.floor(a / pitch) - margin for a in low]
    stop = [math.ceil(b / pitch) + margin for b in high]
    lattice = np.indices([b - a for a, b in zip(start, stop, strict=True)]).reshape(n_axes, -1).T
    lattice += start

    def normal(stream: int) -> Floats:
        return white_noise(seed, stream, start, stop).ravel()

    jitter = np.stack([ndtr(normal(_JITTER + i)) for i in range(n_axes)], axis=1)
    axis = np.stack([normal(_AXIS + i) for i in range(n_axes)], axis=1)
    spread = np.clip(normal(_RADIUS), -_MOST_SPREAD, _MOST_SPREAD)
    sites = Sites(
        # Unique within 2^20 sites along each axis of a 3-D image.
        number=1 + np.sum((lattice % 2**20) << (20 * np.arange(n_axes)[::-1]), axis=1),
        centre=(lattice + jitter) * pitch,
        axis=axis / np.linalg.norm(axis, axis=1, keepdims=True),
        radius=population.radius * np.exp(population.radius_spread * spread),
        stretch=1 + (population.stretch - 1) * ndtr(normal(_STRETCH)),
        brightness=normal(_BRIGHTNESS),
    )
    priority = normal(_PRIORITY)
    if not all_used:
        crowd = smooth_noise(seed, _CROWD, start, stop, 3.0, (1.0,) * n_axes).ravel()
        used = crowd > population.crowd
        sites, priority = sites.take(used), priority[used]
    farthest = 2 * population.closest * population.largest_radius
    one, other = cKDTree(sites.centre).query_pairs(farthest, output_type="ndarray").T
    distance = np.linalg.norm(sites.centre[one] - sites.centre[other], axis=1)
    crowded = distance < population.closest * (sites.radius[one] + sites.radius[other])
    loser = np.where(priority[one] < priority[other], one, other)[crowded]
    inside = sites.within(low, high)
    inside[loser] = False
    return sites.take(inside)


@dataclass(frozen=True)
class Truth:
    """Which cell owns each pixel of a region, and how deep inside it the pixel lies."""

    owner: NDArray[np.int32]
    """Index into the sites plus 1; 0 where there is no cell."""
    radial: Floats
    """0 at the site of the pixel's cell, 1 one radius away; `outline` where there is no cell."""
    light: Floats
    """Thickness of the cells as seen through all that overlap: each from 0 at its rim to
    exp(`brightness_spread` x its own brightness) in its middle."""
    depth: Floats
    """Distance to the rim plus 1, px: 1 at the outermost pixels of a cell; 0 outside cells."""

    def crop(self, window: Sequence[slice]) -> "Truth":
        """The part of the region in a window."""
        w = tuple(window)
        return Truth(self.owner[w], self.radial[w], self.light[w], self.depth[w])


def paint(
    population: Population,
    sites: Sites,
    seed: int,
    start: Sequence[int],
    stop: Sequence[int],
    spacing: Sequence[float],
    brightness_spread: float,
) -> Truth:
    """Give each pixel to the cell in which it lies deepest, in radii.

    Exact at pixels farther than twice `population.reach` from the region's edges; a cell's parts
    without connection to its largest one belong to no cell.
    """
    shape = tuple(b - a for a, b in zip(start, stop, strict=True))
    n_axes = len(shape)
    position = []
    for i, (a, b, s) in enumerate(zip(start, stop, spacing, strict=True)):
        warp = smooth_noise(seed, _WARP + i, start, stop, population.warp_scale, spacing)
        warp = population.warp * np.clip(warp, -_MOST_SPREAD, _MOST_SPREAD)
        along = [-1 if j == i else 1 for j in range(n_axes)]
        position.append(warp + (np.arange(a, b) * s).reshape(along))

    owner = np.zeros(shape, np.int32)
    radial = np.full(shape, population.outline)
    light = np.zeros(shape)
    warp_reach = _MOST_SPREAD * population.warp
    for index, (centre, axis, radius, stretch) in enumerate(
        zip(sites.centre, sites.axis, sites.radius, sites.stretch, strict=True), 1
    ):
        reach = radius * stretch * population.outline + warp_reach
        box = tuple(
            slice(
                max(0, math.ceil((c - reach) / s) - a), max(0, math.floor((c + reach) / s) + 1 - a)
            )
            for c, s, a in zip(centre, spacing, start, strict=True)
        )
        if owner[box].size == 0:
            continue
        offset = [p[box] - c for p, c in zip(position, centre, strict=True)]
        along_axis = _dot(offset, axis)
        square = _dot(offset, offset) - (1 - stretch**-2) * along_axis**2
        own_radial = np.sqrt(np.maximum(square, 0)) / radius
        deepest = own_radial < radial[box]
        owner[box][deepest] = index
        radial[box][deepest] = own_radial[deepest]
        bright = math.exp(brightness_spread * sites.brightness[index - 1])
        light[box] += bright * np.sqrt(np.maximum(1 - own_radial**2, 0))

    stray = _without_connection(owner)
    owner[stray] = 0
    radial[stray] = population.outline
    rim = find_boundaries(owner, connectivity=n_axes, mode="inner")
    depth = ndimage.distance_transform_edt(~rim & (owner > 0), sampling=spacing)
    return Truth(owner, radial, light, np.where(owner > 0, depth + 1, 0))


def _dot(one: Sequence[Floats], other: Sequence[Floats]) -> Floats:
    """Scalar product at each pixel, of one array or number per axis."""
    total = one[0] * other[0]
    for a, b in zip(one[1:], other[1:], strict=True):
        total = total + a * b
    return total


def _without_connection(owner: NDArray[np.int32]) -> NDArray[np.bool_]:
    """Pixels that are not connected, face to face, with the largest part of their cell."""
    parts: NDArray[np.int64] = label(owner, connectivity=1)
    n_pixels = np.bincount(parts.ravel())
    cell = np.zeros(len(n_pixels), np.int64)
    cell[parts.ravel()] = owner.ravel()
    by_size = np.argsort(n_pixels, kind="stable")
    largest = np.zeros(int(cell.max(initial=0)) + 1, np.int64)
    largest[cell[by_size]] = by_size  # the last one written stays
    stray: NDArray[np.bool_] = (owner > 0) & (largest[owner] != parts)
    return stray
