"""Labels of an image too large to be labelled at once, equal to those of `label_objects`.

Each block numbers its own connected parts, foreground and background, and notes how they touch
each other and the block's faces. From these notes alone, `merge_parts` joins parts across faces,
finds holes, drops small objects and numbers the rest, independent of how the image was cut and
in which order the blocks came. What it returns turns the numbers of each block into labels.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage, sparse
from scipy.sparse.csgraph import connected_components

from biounet.config import ObjectSettings
from biounet.geometry import Shape

Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Parts:
    """The connected parts of one block: the objects' first, then those of the background.

    Attributes:
        n_objects: how many parts are foreground.
        size: pixels of each part.
        first: index of each part's first pixel in the image, in storage order.
        on_edge: whether each part touches the edge of the image.
        low, high: (n_objects, axes) bounding boxes in the image, px.
        pairs: (m, 2) a background part and a foreground part that share a pixel's side.
        faces: along each axis the parts' numbers on the block's first and last layer.
    """

    n_objects: int
    size: Ints
    first: Ints
    on_edge: NDArray[np.bool_]
    low: Ints
    high: Ints
    pairs: Ints
    faces: tuple[tuple[NDArray[np.uint32], NDArray[np.uint32]], ...]


@dataclass(frozen=True)
class Merged:
    """What the parts of all blocks come to.

    Attributes:
        labels: for each block the label of each of its parts; 0 is background.
        low, high: (n, axes) bounding boxes of labels 1..n, px.
    """

    labels: dict[Shape, NDArray[np.uint32]]
    low: Ints
    high: Ints

    @property
    def n_objects(self) -> int:
        """The labels are 1..n_objects."""
        return len(self.low)


def find_parts(
    objects: NDArray[np.int32], start: Shape, image_shape: Shape
) -> tuple[NDArray[np.uint32], Parts]:
    """Number the parts of a block.

    Args:
        objects: the block, 0 where background, connected foreground parts numbered from 1.
        start: where the block begins in the image, px.
        image_shape: of the whole image (Y, X) or (Z, Y, X).

    Returns:
        The number of each pixel's part, from 0, and what is known of the parts.
    """
    n_objects = int(objects.max(initial=0))
    background, n_background = ndimage.label(objects == 0)
    parts = np.where(objects > 0, objects - 1, background + (n_objects - 1)).astype(np.uint32)
    n = n_objects + n_background
    size = np.bincount(parts.ravel(), minlength=n)
    first = np.empty(n, np.int64)
    first[parts.ravel()[::-1]] = np.arange(parts.size)[::-1]  # the last to be written stays
    where = np.unravel_index(first, parts.shape)
    in_image = tuple(w + s for w, s in zip(where, start, strict=True))
    boxes = ndimage.find_objects(objects)
    low = np.array([[s.start for s in box] for box in boxes], np.int64).reshape(-1, parts.ndim)
    high = np.array([[s.stop for s in box] for box in boxes], np.int64).reshape(-1, parts.ndim)
    faces = tuple((np.take(parts, 0, axis), np.take(parts, -1, axis)) for axis in range(parts.ndim))
    on_edge = np.zeros(n, np.bool_)
    for axis, (before, after) in enumerate(faces):
        if start[axis] == 0:
            on_edge[before] = True
        if start[axis] + parts.shape[axis] == image_shape[axis]:
            on_edge[after] = True
    return parts, Parts(
        n_objects=n_objects,
        size=size.astype(np.int64),
        first=np.ravel_multi_index(in_image, image_shape).astype(np.int64),
        on_edge=on_edge,
        low=low + np.array(start),
        high=high + np.array(start),
        pairs=_touching(parts, n_objects),
        faces=faces,
    )


def _touching(parts: NDArray[np.uint32], n_objects: int) -> Ints:
    """Pairs (background, foreground) of parts that share a pixel's side, each once."""
    found = []
    for axis in range(parts.ndim):
        a = np.moveaxis(parts, axis, 0)[:-1]
        b = np.moveaxis(parts, axis, 0)[1:]
        border = (a < n_objects) != (b < n_objects)
        found.append(np.stack([a[border], b[border]], axis=1))
    return _background_first(np.concatenate(found).astype(np.int64), n_objects)


def _background_first(pairs: Ints, n_objects: int) -> Ints:
    flipped = pairs[:, 0] < n_objects
    pairs[flipped] = pairs[flipped, ::-1]
    return np.unique(pairs, axis=0)


def merge_parts(blocks: Mapping[Shape, Parts], settings: ObjectSettings) -> Merged:
    """Join the parts of all blocks of an image, given by their positions in the grid of blocks."""
    positions = sorted(blocks)
    counts = np.array([len(blocks[p].size) for p in positions], np.int64)
    begin = dict(zip(positions, (np.cumsum(counts) - counts).tolist(), strict=True))
    n = int(counts.sum())
    is_object = np.concatenate([np.arange(len(b.size)) < b.n_objects for b in _each(blocks)])
    joined, pairs = _across_faces(blocks, begin, is_object)
    pairs = np.concatenate([pairs, *(blocks[p].pairs + begin[p] for p in positions)])
    links = sparse.coo_array((np.ones(len(joined), np.bool_), joined.T), shape=(n, n))
    n_roots, found = connected_components(links, directed=False)
    root = found.astype(np.int64)
    size = np.zeros(n_roots, np.int64)
    np.add.at(size, root, np.concatenate([b.size for b in _each(blocks)]))
    first = np.full(n_roots, np.iinfo(np.int64).max)
    np.minimum.at(first, root, np.concatenate([b.first for b in _each(blocks)]))
    root_is_object = np.zeros(n_roots, np.bool_)
    root_is_object[root] = is_object
    owner = np.where(root_is_object, np.arange(n_roots), -1)
    if settings.fill_holes:
        on_edge = np.zeros(n_roots, np.bool_)
        on_edge[root[np.concatenate([b.on_edge for b in _each(blocks)])]] = True
        holes, around = _holes(root[pairs], on_edge)
        owner[holes] = around
        np.add.at(size, around, size[holes])
    kept = np.flatnonzero(root_is_object & (size >= settings.minimum_size_px))
    kept = kept[np.argsort(first[kept])]
    label = np.zeros(n_roots + 1, np.uint32)
    label[kept] = np.arange(1, len(kept) + 1)
    final = label[owner[root]]  # owner -1: the last entry, background
    low, high = _boxes(blocks, begin, final, len(kept))
    labels = {p: final[begin[p] : begin[p] + len(blocks[p].size)] for p in positions}
    return Merged(labels, low, high)


def _each(blocks: Mapping[Shape, Parts]) -> list[Parts]:
    return [blocks[position] for position in sorted(blocks)]


def _across_faces(
    blocks: Mapping[Shape, Parts], begin: Mapping[Shape, int], is_object: NDArray[np.bool_]
) -> tuple[Ints, Ints]:
    """What meets where blocks touch: parts of one kind, and (background, foreground)."""
    same, other = [np.empty((0, 2), np.int64)], [np.empty((0, 2), np.int64)]
    for position, block in blocks.items():
        for axis, (_, last) in enumerate(block.faces):
            beyond = (*position[:axis], position[axis] + 1, *position[axis + 1 :])
            if beyond not in blocks:
                continue
            here = last.ravel().astype(np.int64) + begin[position]
            there = blocks[beyond].faces[axis][0].ravel().astype(np.int64) + begin[beyond]
            meeting = np.unique(np.stack([here, there], axis=1), axis=0)
            equal = is_object[meeting[:, 0]] == is_object[meeting[:, 1]]
            same.append(meeting[equal])
            mixed = meeting[~equal]
            flipped = is_object[mixed[:, 0]]
            mixed[flipped] = mixed[flipped, ::-1]
            other.append(mixed)
    return np.concatenate(same), np.concatenate(other)


def _holes(pairs: Ints, on_edge: NDArray[np.bool_]) -> tuple[Ints, Ints]:
    """Background that a single object encloses, and those objects."""
    n = len(on_edge)
    largest = np.full(n, -1, np.int64)
    smallest = np.full(n, n, np.int64)
    np.maximum.at(largest, pairs[:, 0], pairs[:, 1])
    np.minimum.at(smallest, pairs[:, 0], pairs[:, 1])
    holes = np.flatnonzero((largest == smallest) & ~on_edge)
    return holes, largest[holes]


def _boxes(
    blocks: Mapping[Shape, Parts], begin: Mapping[Shape, int], final: NDArray[Any], n_labels: int
) -> tuple[Ints, Ints]:
    """Bounding boxes of the labels 1..n_labels; filled holes lie inside them."""
    n_axes = len(next(iter(blocks)))
    low = np.full((n_labels + 1, n_axes), np.iinfo(np.int64).max)
    high = np.zeros((n_labels + 1, n_axes), np.int64)
    for position, block in blocks.items():
        label = final[begin[position] : begin[position] + block.n_objects]
        np.minimum.at(low, label, block.low)
        np.maximum.at(high, label, block.high)
    return low[1:], high[1:]
