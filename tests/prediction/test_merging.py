"""Labels merged from blocks equal those of the whole image, however it was cut."""

from itertools import pairwise

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from biounet.config import ObjectSettings
from biounet.prediction.instances import core_labels, label_objects
from biounet.prediction.jobs.merging import find_parts, merge_parts


def cuts(draw, size):
    inner = draw(st.sets(st.integers(1, max(1, size - 1)), max_size=3)) if size > 1 else set()
    edges = [0, *sorted(inner), size]
    return list(pairwise(edges))


@st.composite
def cut_images(draw):
    n_axes = draw(st.integers(1, 3))
    shape = tuple(draw(st.integers(1, 12 if n_axes < 3 else 6)) for _ in range(n_axes))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    foreground = rng.random(shape)
    if draw(st.booleans()):
        foreground = np.clip(ndimage.gaussian_filter(foreground, 0.7) * 1.2, 0, 1)
    blocks = [cuts(draw, n) for n in shape]
    chosen = ObjectSettings(
        threshold=draw(st.sampled_from([0.3, 0.5, 0.6])),
        fill_holes=draw(st.booleans()),
        minimum_size_px=draw(st.integers(0, 8)),
    )
    return foreground.astype(np.float32), blocks, chosen, draw(st.randoms(use_true_random=False))


def merged_labels(foreground, blocks, chosen, order):
    grid = np.ndindex(*(len(b) for b in blocks))
    positions = list(grid)
    order.shuffle(positions)
    parts, notes = {}, {}
    mask = (1 - (1 - foreground)) > chosen.threshold
    for position in positions:
        box = tuple(slice(*b[k]) for b, k in zip(blocks, position, strict=True))
        local = ndimage.label(mask[box])[0].astype(np.int32)
        parts[position], notes[position] = find_parts(
            local, tuple(s.start for s in box), foreground.shape
        )
    merged = merge_parts(notes, chosen)
    labels = np.full(foreground.shape, -1)
    for position in positions:
        box = tuple(slice(*b[k]) for b, k in zip(blocks, position, strict=True))
        labels[box] = merged.labels[position][parts[position]]
    return labels, merged


@given(cut_images())
@settings(max_examples=400, deadline=None)
def test_any_blocking_in_any_order_gives_the_labels_of_the_whole(case):
    foreground, blocks, chosen, order = case
    labels, merged = merged_labels(foreground, blocks, chosen, order)
    whole = label_objects(np.stack([1 - foreground, foreground]), chosen)
    np.testing.assert_array_equal(labels, whole)
    assert merged.n_objects == whole.max(initial=0)
    for k, box in enumerate(ndimage.find_objects(whole)):
        assert [s.start for s in box] == merged.low[k].tolist()
        assert [s.stop for s in box] == merged.high[k].tolist()


def test_a_ring_around_an_object_that_is_too_small_is_no_hole():
    foreground = np.zeros((11, 11), np.float32)
    foreground[1:10, 1:10] = 0.9
    foreground[2:9, 2:9] = 0
    foreground[5, 5] = 0.9
    probabilities = np.stack([1 - foreground, foreground])
    objects = ObjectSettings(minimum_size_px=4)
    numbers, parts = find_parts(core_labels(probabilities, objects), (0, 0), (11, 11))
    labels = merge_parts({(0, 0): parts}, objects).labels[0, 0][numbers]
    assert labels[3, 3] == 0
    np.testing.assert_array_equal(labels, label_objects(probabilities, objects))


def test_a_ring_around_the_corner_of_four_blocks_is_filled():
    ring = np.zeros((12, 12), np.float32)
    ring[3:9, 3:9] = 1
    ring[5:7, 5:7] = 0
    blocks = [[(0, 6), (6, 12)]] * 2
    import random

    chosen = ObjectSettings(fill_holes=True, minimum_size_px=36)
    labels, _ = merged_labels(ring, blocks, chosen, random.Random(0))
    assert (labels == 1).sum() == 36
    smaller = ObjectSettings(fill_holes=True, minimum_size_px=37)
    assert merged_labels(ring, blocks, smaller, random.Random(0))[0].max() == 0
