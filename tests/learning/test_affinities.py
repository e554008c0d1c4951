"""Pairs of pixels learned beside the classes: the loss against a slow oracle, and what is kept."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from biounet.config import FAST, PAPER, AffinitySettings, Settings, validated_settings
from biounet.errors import InputError
from biounet.learning.affinities import (
    Affinities,
    affinity_loss,
    connected_objects,
    make_affinities,
    pair_offsets,
)
from biounet.network_settings import UNetSettings


def slow_loss(
    logits: NDArray[np.float64], objects: NDArray[np.int64], offsets: list[tuple[int, ...]]
) -> float:
    """Of one patch, pair by pair."""
    means = []
    for logit, offset in zip(logits, offsets, strict=True):
        losses = []
        for place in np.ndindex(objects.shape):
            other = tuple(np.add(place, offset))
            inside = all(0 <= o < n for o, n in zip(other, objects.shape, strict=True))
            if inside and objects[place] and objects[other]:
                p = 1 / (1 + np.exp(-logit[place]))
                losses.append(-np.log(p if objects[place] == objects[other] else 1 - p))
        means.append(np.mean(losses) if losses else 0.0)
    return float(np.mean(means))


@settings(max_examples=30, deadline=None)
@given(
    shape=st.sampled_from([(7, 9), (4, 5, 6)]),
    distances=st.lists(st.integers(1, 9), min_size=1, max_size=3),
    seed=st.integers(0, 1000),
)
def test_the_loss_of_pairs_against_one_pair_after_another(
    shape: tuple[int, ...], distances: list[int], seed: int
) -> None:
    rng = np.random.default_rng(seed)
    offsets = pair_offsets(distances, len(shape))
    objects = rng.integers(0, 4, (2, *shape))
    logits = rng.normal(0, 2, (2, len(offsets), *shape))
    n_annotated = np.array([5, 11])
    expected = np.average(
        [slow_loss(*patch, list(offsets)) for patch in zip(logits, objects, strict=True)],
        weights=n_annotated,
    )
    found = affinity_loss(
        torch.from_numpy(logits), torch.from_numpy(objects), offsets, torch.from_numpy(n_annotated)
    )
    assert float(found) == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize(("dimensions", "n"), [(2, 4), (3, 13)])
def test_every_pair_has_one_offset(dimensions: int, n: int) -> None:
    offsets = pair_offsets((2, 5), dimensions)
    both_ways = {*offsets, *(tuple(-o for o in offset) for offset in offsets)}
    assert len(offsets) == 2 * n
    assert len(both_ways) == 4 * n
    assert {max(map(abs, offset)) for offset in offsets} == {2, 5}


def test_objects_are_what_is_connected_and_annotated_in_the_patch() -> None:
    class_map = torch.tensor([[[1, 1, 0, 1], [0, 1, 0, 1], [1, 0, 1, 1]]])
    weights = torch.ones(1, 3, 4)
    weights[0, 1, 3] = 0  # parts the cell on the right in two
    expected = [[1, 1, 0, 2], [0, 1, 0, 0], [3, 0, 4, 4]]
    assert connected_objects(class_map, weights)[0].tolist() == expected


def test_blocks_are_told_by_the_pixel_in_their_middle() -> None:
    network = UNetSettings(width=4, depth=0, first_stride=(2, 4))
    beside = Affinities(network, AffinitySettings(distances=(1,), weight=3.0))
    class_map = torch.zeros(1, 8, 8)
    class_map[0, 1::2, 2] = 1  # in every block of the left half, one pixel
    weights = torch.ones(1, 8, 8)
    logits = torch.zeros(1, 4, 4, 2)
    # No two blocks are connected: of the pairs, only those straight down have two ends.
    logits[0, beside.offsets.index((1, 0))] = 2.0
    of_one_pair = np.log1p(np.exp(2.0))
    assert float(beside.loss(logits, class_map, weights)) == pytest.approx(3 * of_one_pair / 4)


def test_nothing_annotated_is_no_loss() -> None:
    beside = make_affinities(FAST)
    assert beside is not None
    nothing = torch.zeros(1, 64, 64)
    logits = torch.randn(1, len(beside.offsets), 64, 64, requires_grad=True)
    loss = beside.loss(logits, nothing, nothing)
    loss.backward()
    assert float(loss.detach()) == 0
    assert logits.grad is not None
    assert not logits.grad.any()


def test_who_learns_pairs() -> None:
    assert make_affinities(PAPER) is None
    assert make_affinities(FAST) is not None
    assert make_affinities(Settings()) is None
    with pytest.raises(InputError, match="U-Net only"):
        validated_settings({"network": {"kind": "fcn"}, "affinities": {"distances": [3]}})
