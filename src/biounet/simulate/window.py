"""Windows on an endless simulated image: whole images of a given size, regions of a huge one."""

import math
from collections.abc import Sequence
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray
from skimage.measure import label

from biounet.errors import InputError
from biounet.simulate.appearance import APPEARANCES, BLUR_PX, View
from biounet.simulate.truth import paint, place_sites

Kind = Literal["touching-cells", "membranes", "phase-contrast", "nuclei"]
KINDS: tuple[Kind, ...] = get_args(Kind)

_SLIVER_PX = 10


def simulate_cells(
    kind: Kind,
    shape: Sequence[int],
    rng: np.random.Generator,
    n_cells: int | None = None,
    spacing: Sequence[float] | None = None,
) -> tuple[NDArray[np.uint16], NDArray[np.int32]]:
    """A simulated microscope image and its exact instances.

    Kinds: "touching-cells" (stained cytoplasm, colonies of cells side by side), "nuclei" (of very
    different brightness, some over one another), "phase-contrast" (dark bodies, bright halos),
    "membranes" (electron microscopy; cells fill the image between membranes of 3 to 5 px).

    Args:
        kind: one of `KINDS`.
        shape: (Y, X) or (Z, Y, X), any size from 1 px.
        rng: the same generator state gives the same image.
        n_cells: at most so many cells, in one colony in the middle; None: colonies and gaps.
        spacing: size of a pixel along each axis, e.g. (4, 1, 1); lengths in the picture (cells of
            about 30, blur, grain) are in the same unit. All 1 if not given.

    Returns:
        image, uint16, camera counts from 0 up (offset 100); labels, int32, 0 = background, ids 1
        to n, each one connected part face to face. Where cells overlap, a pixel belongs to the one
        in which it lies deeper. What the image's edge leaves of a cell, if under 10 px, is
        background.

    Raises:
        InputError: unknown kind, or not 2 or 3 sizes of 1 or more.
    """
    seed = int(rng.integers(2**63))
    image, numbers = _window(kind, seed, (0,) * len(shape), shape, spacing, n_cells, beyond=False)
    parts = label(numbers, connectivity=1)
    n_pixels = np.bincount(parts.ravel())
    kept = n_pixels >= _SLIVER_PX
    kept[0] = False
    ids = np.where(kept, np.cumsum(kept), 0).astype(np.int32)
    return image, ids[parts]


def simulated_region(
    kind: Kind,
    seed: int,
    start: Sequence[int],
    stop: Sequence[int],
    spacing: Sequence[float] | None = None,
) -> tuple[NDArray[np.uint16], NDArray[np.int64]]:
    """The region from `start` up to `stop` of an endless simulated image, made on the spot.

    A pixel has the same value and the same label in every region that holds it, so that an image
    of any size can be read piece by piece without being stored. Coordinates may be negative.

    Args:
        kind: one of `KINDS`, see `simulate_cells`.
        seed: 0 or more; one endless image each.
        start: first pixel, (Y, X) or (Z, Y, X).
        stop: one beyond the last pixel.
        spacing: see `simulate_cells`.

    Returns:
        image, uint16; labels, int64, 0 = background, the ids of the endless image (large, with
        gaps; the same id returns only after 2^20 cells along an axis).

    Raises:
        InputError: unknown kind, or not 2 or 3 sizes of 1 or more.
    """
    return _window(kind, seed, start, stop, spacing, None, beyond=True)


def _window(
    kind: Kind,
    seed: int,
    start: Sequence[int],
    stop: Sequence[int],
    spacing: Sequence[float] | None,
    n_cells: int | None,
    *,
    beyond: bool,
) -> tuple[NDArray[np.uint16], NDArray[np.int64]]:
    """A region; with `beyond`, all that surrounds it takes part, as if more had been asked for."""
    if kind not in KINDS:
        raise InputError(f"kind {kind!r}", f"one of {', '.join(KINDS)}", "choose one of them")
    shape = tuple(b - a for a, b in zip(start, stop, strict=True))
    size = spacing or (1.0,) * len(shape)
    if len(shape) not in (2, 3) or min(shape) < 1 or len(size) != len(shape) or min(size) <= 0:
        raise InputError(
            f"an image of {shape} px with pixels of {tuple(size)}",
            "(Y, X) or (Z, Y, X), sizes of 1 or more",
            "give one size and one pixel size per axis",
        )
    look = APPEARANCES[kind]
    reach = look.population.reach
    # What the blur brings into sight is rendered too; the cells in it are painted whole, with all
    # others that may take pixels from them.
    near, near_end = _widened(start, stop, size, BLUR_PX if beyond else 0)
    low, high = _widened(near, near_end, size, 2 * reach if beyond else 0)
    sites = place_sites(
        look.population,
        seed,
        [a * s - reach for a, s in zip(low, size, strict=True)],
        [b * s + reach for b, s in zip(high, size, strict=True)],
        all_used=n_cells is not None or kind == "membranes",
    )
    if n_cells is not None:
        first = [a * s for a, s in zip(start, size, strict=True)]
        end = [b * s for b, s in zip(stop, size, strict=True)]
        sites = sites.take(sites.within(first, end))
        from_middle = np.linalg.norm(sites.centre - np.add(first, end) / 2, axis=1)
        sites = sites.take(np.sort(np.argsort(from_middle)[:n_cells]))
    truth = paint(look.population, sites, seed, low, high, size, look.brightness_spread)

    truth = truth.crop([slice(a - c, b - c) for a, b, c in zip(near, near_end, low, strict=True)])
    view = View(truth, sites, seed, near, near_end, size)
    inner = tuple(slice(a - c, b - c) for a, b, c in zip(start, stop, near, strict=True))
    numbers = np.append(0, sites.number)[np.where(look.is_cell(view), truth.owner, 0)[inner]]
    return look.render(view)[inner], numbers


def _widened(
    start: Sequence[int], stop: Sequence[int], spacing: Sequence[float], margin_px: float
) -> tuple[list[int], list[int]]:
    """The region with a margin all round."""
    margins = [math.ceil(margin_px / s) for s in spacing]
    return (
        [a - m for a, m in zip(start, margins, strict=True)],
        [b + m for b, m in zip(stop, margins, strict=True)],
    )
