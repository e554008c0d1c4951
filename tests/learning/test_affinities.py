"""Pairs of pixels learned beside the classes: the loss against a slow oracle, and what is kept."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from biounet.config import FAST, PAPER, AffinitySettings, Settings, validated_settings
from biounet.learning.affinities import (
    Affinities,
    affinity_loss,
    connected_pieces,
    make_affinities,
    pair_offsets,
)
from biounet.network_settings import UNetSettings


def slow_loss(
    logits: NDArray[np.float64],
    pieces: NDArray[np.int64],
    objects: NDArray[np.int64],
    offsets: list[tuple[int, ...]],
) -> float:
    """Of one patch, pair by pair."""
    means = []
    for logit, offset in zip(logits, offsets, strict=True):
        losses = []
        for place in np.ndindex(pieces.shape):
            other = tuple(np.add(place, offset))
            inside = all(0 <= o < n for o, n in zip(other, pieces.shape, strict=True))
            if not inside or not pieces[place] or not pieces[other]:
                continue
            p = 1 / (1 + np.exp(-logit[place]))
            if objects[place] != objects[other]:
                losses.append(-np.log(1 - p))
            elif pieces[place] == pieces[other]:
                losses.append(-np.log(p))
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
    pieces, objects = rng.integers(0, 4, (2, *shape)), rng.integers(1, 3, (2, *shape))
    logits = rng.normal(0, 2, (2, len(offsets), *shape))
    n_annotated = np.array([5, 11])
    patches = zip(logits, pieces, objects, strict=True)
    losses = [slow_loss(*patch, list(offsets)) for patch in patches]
    expected = np.average(losses, weights=n_annotated)
    found = affinity_loss(
        *map(torch.from_numpy, (logits, pieces, objects)), offsets, torch.from_numpy(n_annotated)
    )
    assert float(found) == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize(("dimensions", "n"), [(2, 4), (3, 13)])
def test_every_pair_has_one_offset(dimensions: int, n: int) -> None:
    offsets = pair_offsets((2, 5), dimensions)
    both_ways = {*offsets, *(tuple(-o for o in offset) for offset in offsets)}
    assert len(offsets) == 2 * n
    assert len(both_ways) == 4 * n
    assert {max(map(abs, offset)) for offset in offsets} == {2, 5}


def test_pieces_are_what_is_connected_and_annotated_in_the_patch() -> None:
    objects = torch.tensor([[[9, 9, 0, 5], [0, 9, 0, 5], [9, 0, 5, 5]]])
    weights = torch.ones(1, 3, 4)
    weights[0, 1, 3] = 0  # parts the cell on the right in two
    expected = [[1, 1, 0, 2], [0, 1, 0, 0], [3, 0, 4, 4]]
    assert connected_pieces(objects, weights)[0].tolist() == expected


def test_blocks_are_told_by_the_pixel_in_their_middle() -> None:
    network = UNetSettings(width=4, depth=0, first_stride=(2, 4))
    beside = Affinities(network, AffinitySettings(distances=(1,), weight=3.0))
    objects = torch.zeros(1, 8, 8)
    objects[0, 1::2, 2] = torch.tensor([1.0, 2.0, 3.0, 3.0])  # a pixel in each block on the left
    weights = torch.ones(1, 8, 8)
    logits = torch.zeros(1, 4, 4, 2)
    # Of the pairs, only those straight down have two ends; of the last one nobody knows.
    logits[0, beside.offsets.index((1, 0)), :, 0] = torch.tensor([2.0, 5.0, 9.0, 9.0])
    mean = (np.log1p(np.exp(2.0)) + np.log1p(np.exp(5.0))) / 2
    assert float(beside.loss(logits, objects, weights)) == pytest.approx(3 * mean / 4)


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
    assert make_affinities(validated_settings({"network": {"kind": "fcn"}})) is None
