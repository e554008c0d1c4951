"""Augmentation: each part against an oracle, seeds, and what must stay the same."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from biounet.config import AugmentationSettings
from biounet.learning.augmentation import (
    Change,
    change_grey,
    cubic_weights,
    draw_change,
    in_pixels,
    sample_image,
    sample_rng,
    sampling_grid,
)
from biounet.learning.sampling import TrainingImage, draw_batch, draw_centre

STILL = AugmentationSettings(
    mirror=False,
    rotation="none",
    scale=0,
    elastic_std_px=0,
    brightness=0,
    contrast=0,
    gamma=0,
    noise=0,
)


def image_of(shape: tuple[int, ...], seed: int = 0) -> TrainingImage:
    rng = np.random.default_rng(seed)
    class_map = rng.integers(0, 2, shape)
    truth = np.stack([class_map, rng.uniform(0.1, 5, shape), class_map])
    return TrainingImage(
        "image",
        torch.from_numpy(rng.normal(size=(1, *shape)).astype(np.float32)),
        torch.from_numpy(truth.astype(np.float32)),
    )


def still(dimensions: int) -> Change:
    return draw_change(STILL, dimensions, np.random.default_rng(0))


@pytest.mark.parametrize("shape", [(9, 12), (5, 6, 7)])
def test_no_change_gives_the_image_itself(shape: tuple[int, ...]) -> None:
    image = image_of(shape)
    centre = (np.array(shape) - 1) / 2
    grid = sampling_grid(still(len(shape)), centre, shape, image.image)
    torch.testing.assert_close(sample_image(image.image, grid, "bilinear"), image.image)
    torch.testing.assert_close(sample_image(image.truth, grid, "nearest"), image.truth)


def test_outside_the_image_is_mirrored() -> None:
    image = image_of((8, 10))
    grid = sampling_grid(still(2), np.array([3.5, 4.5]), (22, 24), image.image)
    got = sample_image(image.image, grid, "bilinear")[0].numpy()
    expected = np.pad(image.image[0].numpy(), 7, mode="reflect")
    np.testing.assert_allclose(got, expected, atol=2e-5)


def test_a_quarter_turn_is_exact() -> None:
    image = image_of((7, 7))
    change = replace(still(2), matrix=np.array([[0.0, -1.0], [1.0, 0.0]]))
    grid = sampling_grid(change, np.array([3.0, 3.0]), (7, 7), image.image)
    got = sample_image(image.image, grid, "bilinear")
    np.testing.assert_allclose(got[0], np.rot90(image.image[0].numpy(), -1), atol=1e-5)


@given(st.integers(0, 10_000))
@settings(max_examples=20)
def test_one_interpolation_equals_scipy(seed: int) -> None:
    """Rotation, mirror and elastic deformation together, against scipy at the same points."""
    image = image_of((40, 50), seed)
    rng = np.random.default_rng(seed)
    change = draw_change(AugmentationSettings(scale=0.2), 2, rng)
    grid = sampling_grid(change, np.array([20.0, 22.0]), (16, 18), image.image)
    got = sample_image(image.image, grid, "bilinear")[0].numpy()
    expected = ndimage.map_coordinates(
        image.image[0].numpy().astype(float),
        in_pixels(grid, image.image).numpy().astype(float),
        order=1,
        mode="mirror",
    )
    np.testing.assert_allclose(got, expected, atol=2e-3)


@pytest.mark.parametrize("shape", [(41, 61), (5, 21, 11)])
def test_every_pixel_lies_where_the_formula_says(shape: tuple[int, ...]) -> None:
    """A loop in float64 over matrix, centre and displacement, and the same in one product."""
    rng = np.random.default_rng(0)
    dimensions = len(shape)
    image = torch.zeros(1, *[50, 1, 70][:dimensions])
    change = replace(
        still(dimensions),
        matrix=rng.normal(size=(dimensions, dimensions)),
        displacement=rng.normal(0, 10, (dimensions, *[3] * dimensions)),
    )
    centre = rng.uniform(0, 50, dimensions)
    grid = in_pixels(sampling_grid(change, centre, shape, image), image).numpy()
    for pixel in rng.integers(0, shape, (20, dimensions)):
        expected = centre + change.matrix @ (pixel - (np.array(shape) - 1) / 2)
        displaced = change.displacement
        for size, index in zip(shape, pixel, strict=True):
            displaced = np.tensordot(displaced, cubic_weights(3, size)[index], (1, 0))
        np.testing.assert_allclose(grid[(..., *pixel)], expected + displaced, atol=1e-4)


def test_bicubic_weights_pass_through_the_coarse_values_and_lines() -> None:
    np.testing.assert_allclose(cubic_weights(3, 41)[::20], np.eye(3), atol=1e-12)
    weights = cubic_weights(5, 33)
    np.testing.assert_allclose(weights.sum(1), 1, atol=1e-12)
    inner = weights[8:25] @ np.arange(5.0)  # a straight line, away from the ends
    np.testing.assert_allclose(inner, np.linspace(0, 4, 33)[8:25], atol=1e-12)


def test_elastic_displacements_have_the_asked_spread() -> None:
    changes = [
        draw_change(AugmentationSettings(), 2, sample_rng(0, n)).displacement for n in range(400)
    ]
    assert np.std(changes) == pytest.approx(10, rel=0.05)
    assert changes[0].shape == (2, 3, 3)


def test_same_number_same_patch_whatever_was_drawn_before() -> None:
    images = [image_of((60, 70), 1), image_of((40, 90), 2)]
    settings_ = AugmentationSettings(noise=0.2, gamma=0.1)

    def batch(numbers: list[int]) -> torch.Tensor:
        return draw_batch(images, numbers, (44, 44), (4, 4), settings_, True, 7).image

    together = batch([3, 4, 5])
    assert torch.equal(together[1], batch([4])[0])
    assert not torch.equal(together[0], together[1])
    other = draw_batch(images, [4], (44, 44), (4, 4), settings_, True, 8).image
    assert not torch.equal(other[0], together[1])


def test_labels_and_weights_follow_the_image() -> None:
    """An image that is its own class map must stay so under every change but the grey ones."""
    rng = np.random.default_rng(0)
    blobs = (ndimage.gaussian_filter(rng.normal(size=(120, 120)), 6) > 0).astype(np.float32)
    truth = torch.from_numpy(np.stack([blobs, blobs + 1, 7 * blobs]))
    source = TrainingImage("blobs", torch.from_numpy(blobs)[None], truth)
    bare = AugmentationSettings(brightness=0, contrast=0, scale=0.2)
    batch = draw_batch([source], range(20), (60, 60), (20, 20), bare, False, 0)
    inner = batch.image[:, 0, 20:40, 20:40].numpy()
    agree = (inner > 0.5) == batch.class_map.numpy().astype(bool)
    assert agree[(inner < 0.01) | (inner > 0.99)].all()
    assert torch.equal(batch.weights, batch.class_map + 1.0)
    assert torch.equal(batch.objects, batch.class_map * 7)


def test_centres_fall_on_annotated_pixels() -> None:
    truth = torch.zeros(3, 30, 30)
    truth[1, 10:20, 10:20] = 1.0
    source = TrainingImage("one", torch.zeros(1, 30, 30), truth)
    rng = np.random.default_rng(0)
    centres = np.array([draw_centre(source, False, rng) for _ in range(50)])
    assert (centres >= 9.5).all()
    assert (centres <= 19.5).all()


def test_balanced_centres_fall_on_every_class_equally_often() -> None:
    truth = torch.ones(3, 30, 30)
    truth[0] = 0
    truth[0, :10, :10] = 1.0  # a ninth of the image
    source = TrainingImage("one", torch.zeros(1, 30, 30), truth)
    rng = np.random.default_rng(0)
    inside = [(draw_centre(source, True, rng) < 9.5).all() for _ in range(400)]
    assert np.mean(inside) == pytest.approx(0.5, abs=0.08)


def test_right_angles_are_exact() -> None:
    asked = STILL.model_copy(update={"rotation": "right-angles"})
    drawn = {
        tuple(np.round(draw_change(asked, 2, sample_rng(0, n)).matrix, 9).ravel().tolist())
        for n in range(60)
    }
    assert len(drawn) == 4
    assert all(abs(v) in (0, 1) for matrix in drawn for v in matrix)


def test_grey_changes() -> None:
    image = torch.tensor([[-4.0, 0.0, 4.0]])
    change = replace(still(2).grey, contrast=2.0, brightness=1.0, gamma=0.5)
    torch.testing.assert_close(change_grey(image, change), torch.tensor([[-3.0, 1.0, 5.0]]))
    noisy = replace(still(2).grey, noise=0.5, noise_seed=3)
    assert torch.equal(change_grey(image, noisy), change_grey(image, noisy))
    assert not torch.equal(change_grey(image, noisy), image)
