"""The loss, eq. (1), against a float64 transcript and by hand."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from biounet.config import Settings, WeightSettings
from biounet.learning.loss import dice_loss, segmentation_loss, weighted_log_likelihood
from biounet.learning.processes import ALONE
from biounet.learning.sampling import Batch
from biounet.learning.step import make_learner, train_step
from biounet.networks.convolution import Convolution


def transcript(logits: np.ndarray, class_map: np.ndarray, weights: np.ndarray) -> tuple[float, int]:
    """Eq. (1) pixel by pixel: the sum of w(x) * -log p_l(x)(x), and the annotated pixels."""
    total, n_annotated = 0.0, 0
    for pixel in np.ndindex(*class_map.shape):
        activations = [float(logits[(pixel[0], k, *pixel[1:])]) for k in range(logits.shape[1])]
        denominator = sum(math.exp(a) for a in activations)
        p = math.exp(activations[class_map[pixel]]) / denominator
        total += float(weights[pixel]) * -math.log(p)
        n_annotated += weights[pixel] > 0
    return total, n_annotated


@given(st.integers(0, 2**32 - 1), st.integers(2, 4), st.sampled_from([(3, 4), (2, 3, 2)]))
def test_equals_the_transcript(seed: int, n_classes: int, space: tuple[int, ...]) -> None:
    rng = np.random.default_rng(seed)
    logits = rng.normal(0, 3, (2, n_classes, *space))
    class_map = rng.integers(0, n_classes, (2, *space))
    weights = rng.uniform(0, 11, (2, *space)) * (rng.random((2, *space)) < 0.7)
    expected, n_annotated = transcript(logits, class_map, weights)
    got = segmentation_loss(
        torch.from_numpy(logits), torch.from_numpy(class_map), torch.from_numpy(weights)
    )
    assert float(got) == pytest.approx(expected / max(n_annotated, 1), rel=1e-5, abs=1e-6)


def test_by_hand() -> None:
    """Two pixels: p = 1/2 with weight 3, and p = 3/4 with weight 1; a third is not annotated."""
    logits = torch.tensor([[[0.0, math.log(3), 9.0], [0.0, 0.0, 0.0]]])
    class_map = torch.tensor([[1, 0, 1]])
    weights = torch.tensor([[3.0, 1.0, 0.0]])
    expected = (3 * math.log(2) + math.log(4 / 3)) / 2
    assert float(segmentation_loss(logits, class_map, weights)) == pytest.approx(expected)
    total = weighted_log_likelihood(logits, class_map, weights)
    assert float(total) == pytest.approx(2 * expected)


def test_ignored_pixels_count_nothing() -> None:
    logits = torch.randn(1, 2, 8, requires_grad=True)
    weights = torch.ones(1, 8)
    weights[0, 4:] = 0
    class_map = torch.zeros(1, 8, dtype=torch.long)
    segmentation_loss(logits, class_map, weights).backward()
    assert logits.grad is not None
    assert (logits.grad[..., 4:] == 0).all()
    assert (logits.grad[..., :4] != 0).all()


def test_nothing_annotated_is_zero_with_zero_gradient() -> None:
    logits = torch.randn(1, 2, 8, requires_grad=True)
    loss = segmentation_loss(logits, torch.zeros(1, 8, dtype=torch.long), torch.zeros(1, 8))
    loss.backward()
    assert float(loss.detach()) == 0
    assert logits.grad is not None
    assert (logits.grad == 0).all()


def test_huge_activations_stay_finite() -> None:
    logits = torch.tensor([[[1e4], [-1e4]]], dtype=torch.bfloat16)
    loss = segmentation_loss(logits, torch.ones(1, 1, dtype=torch.long), torch.ones(1, 1))
    assert math.isfinite(float(loss))


@given(st.integers(0, 2**32 - 1), st.integers(2, 4), st.sampled_from([(3, 4), (2, 3, 2)]))
def test_dice_equals_the_transcript(seed: int, n_classes: int, space: tuple[int, ...]) -> None:
    rng = np.random.default_rng(seed)
    logits = rng.normal(0, 3, (2, n_classes, *space))
    class_map = rng.integers(0, n_classes, (2, *space))
    weights = rng.uniform(0, 11, (2, *space)) * (rng.random((2, *space)) < 0.7)
    losses, counts = [], []
    for activations, classes, weight in zip(logits, class_map, weights, strict=True):
        p = np.exp(activations) / np.exp(activations).sum(0)
        there = weight > 0
        overlaps = []
        for k in range(1, n_classes):
            found, true = p[k][there], (classes == k)[there]
            overlaps.append((2 * found[true].sum() + 1) / (found.sum() + true.sum() + 1))
        losses.append(1 - np.mean(overlaps))
        counts.append(there.sum())
    expected = np.average(losses, weights=counts) if any(counts) else 0.0
    found = dice_loss(*map(torch.from_numpy, (logits, class_map, weights)))
    assert float(found) == pytest.approx(expected, abs=1e-6)


def test_dice_of_a_perfect_and_of_a_wrong_answer() -> None:
    class_map = torch.tensor([[0, 0, 1, 1]])
    logits = 40.0 * torch.stack([1.0 - class_map, 1.0 * class_map], 1)
    assert float(dice_loss(logits, class_map, torch.ones(1, 4))) == pytest.approx(0)
    assert float(dice_loss(-logits, class_map, torch.ones(1, 4))) == pytest.approx(4 / 5)


def test_a_step_adds_the_overlap_as_the_settings_say() -> None:
    image, class_map = torch.randn(1, 1, 4, 4), torch.arange(16).reshape(1, 4, 4) % 2
    batch = Batch(image, class_map, torch.ones(1, 4, 4), class_map)
    losses = []
    for dice in (0.0, 3.0):
        torch.manual_seed(0)
        network = Convolution(1, 2, (1, 1), standardised=False)
        overlap = float(dice_loss(network(image), class_map, batch.weights).detach())
        settings = Settings(weights=WeightSettings(dice=dice))
        learner = make_learner(network, settings.training, torch.device("cpu"), "float32")
        losses.append(train_step(learner, batch, 1e-3, 0, settings, ALONE))
    assert losses[1] - losses[0] == pytest.approx(3 * overlap, rel=1e-5)
