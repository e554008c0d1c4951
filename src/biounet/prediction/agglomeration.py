"""Regions between thin walls, such as neurons between membranes: basins, merged.

A threshold joins two cells wherever the wall between them has a gap of one pixel. Here a gap counts
for no more than its share of the wall: the basins of the smoothed probability of background are
merged in the order of the mean probability of background along their common boundary, as long as
that is low. (Merging by the strength of boundaries: Arbelaez et al. 2011,
doi:10.1109/TPAMI.2010.161; average linkage for neurons: Bailoni et al. 2022, arXiv:1906.11713.)
"""

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from skimage.graph import RAG, merge_hierarchical, rag_boundary
from skimage.morphology import h_minima
from skimage.segmentation import watershed

SMOOTHING_PX = 2.0
"""Standard deviation of the Gaussian, for the basins alone."""

LEAST_DEPTH = 0.05
"""Of a basin, below its lowest pass to another one, in probability."""


def agglomerate(background: NDArray[np.float32], merge_threshold: float) -> NDArray[np.int32]:
    """Divide an image into regions, 1 and up; every pixel belongs to one.

    Args:
        background: P(background) of each pixel, 0..1.
        merge_threshold: the mean of `background` along a boundary below which it is none.
    """
    smooth = ndimage.gaussian_filter(background, SMOOTHING_PX)
    seeds = ndimage.label(h_minima(smooth, LEAST_DEPTH))[0]
    basins = watershed(smooth, seeds)
    if basins.max() < 2:  # none has that depth in an even image
        return np.ones(basins.shape, np.int32)
    merged = merge_hierarchical(
        basins,
        rag_boundary(basins, background),
        thresh=merge_threshold,
        rag_copy=False,
        in_place_merge=True,
        merge_func=_nothing_else,
        weight_func=_boundary_of_both,
    )
    return np.asarray(merged + 1, np.int32)


def _nothing_else(_graph: RAG, _one: int, _other: int) -> None:
    """Of two regions that are merged nothing is kept but their boundaries."""


def _boundary_of_both(graph: RAG, one: int, other: int, third: int) -> dict[str, float]:
    """The boundary of two merged regions with a third: its pixels and their mean."""
    parts = [graph[region][third] for region in (one, other) if third in graph[region]]
    n = sum(part["count"] for part in parts)
    return {"count": n, "weight": sum(part["count"] * part["weight"] for part in parts) / n}
