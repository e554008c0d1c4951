"""Simulated microscopy: exact truth, the same from the same seed, and however it is cut."""

import dataclasses
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage
from skimage.filters import gaussian, threshold_otsu

from biounet.errors import InputError
from biounet.metrics.matching import instance_scores, match_objects
from biounet.simulate import KINDS, simulate_cells, simulated_region
from biounet.simulate.appearance import APPEARANCES
from biounet.simulate.noise import smooth_noise, white_noise
from biounet.simulate.truth import Population, Sites, _without_connection, paint, place_sites

kinds = st.sampled_from(KINDS)
seeds = st.integers(0, 2**32 - 1)


def check_truth(image, labels, shape):
    assert image.dtype == np.uint16
    assert labels.dtype == np.int32
    assert image.shape == labels.shape == tuple(shape)
    ids = np.unique(labels)
    assert ids[ids > 0].tolist() == list(range(1, labels.max() + 1))
    for i, box in enumerate(ndimage.find_objects(labels), 1):
        assert ndimage.label(labels[box] == i)[1] == 1  # connected face to face
        assert np.count_nonzero(labels[box] == i) >= 10  # no slivers


@settings(max_examples=60, deadline=None)
@given(kinds, st.tuples(st.integers(1, 90), st.integers(1, 90)), seeds)
def test_truth_in_two_dimensions(kind, shape, seed):
    check_truth(*simulate_cells(kind, shape, np.random.default_rng(seed)), shape)


@settings(max_examples=15, deadline=None)
@given(
    st.sampled_from(["touching-cells", "nuclei"]),
    st.tuples(st.integers(1, 20), st.integers(1, 40), st.integers(1, 40)),
    seeds,
    st.sampled_from([None, (4.0, 1.0, 1.0), (2.5, 0.5, 1.0)]),
)
def test_truth_in_three_dimensions(kind, shape, seed, spacing):
    image, labels = simulate_cells(kind, shape, np.random.default_rng(seed), spacing=spacing)
    check_truth(image, labels, shape)


@pytest.mark.parametrize("kind", KINDS)
def test_same_seed_same_image(kind):
    def make(seed):
        return simulate_cells(kind, (60, 80), np.random.default_rng(seed))

    one, again, other = make(4), make(4), make(5)
    assert np.array_equal(one[0], again[0])
    assert np.array_equal(one[1], again[1])
    assert not np.array_equal(one[0], other[0])
    assert not np.array_equal(one[1], other[1])


def test_one_generator_gives_a_new_image_each_time():
    rng = np.random.default_rng(0)
    first, second = (simulate_cells("nuclei", (40, 40), rng)[0] for _ in range(2))
    assert not np.array_equal(first, second)


@settings(max_examples=30, deadline=None)
@given(kinds, seeds, st.data())
def test_regions_do_not_depend_on_how_they_are_cut(kind, seed, data):
    start = data.draw(st.tuples(*[st.integers(-3000, 3000)] * 2))
    stop = [a + data.draw(st.integers(2, 120)) for a in start]
    low = [data.draw(st.integers(a, b - 1)) for a, b in zip(start, stop, strict=True)]
    high = [data.draw(st.integers(a + 1, b)) for a, b in zip(low, stop, strict=True)]
    window = tuple(slice(a - s, b - s) for a, b, s in zip(low, high, start, strict=True))
    image, labels = simulated_region(kind, seed, start, stop)
    part, part_labels = simulated_region(kind, seed, low, high)
    assert np.array_equal(part, image[window])
    assert np.array_equal(part_labels, labels[window])


def test_regions_of_an_anisotropic_volume_do_not_depend_on_how_they_are_cut():
    spacing = (5, 1, 1)
    image, labels = simulated_region("nuclei", 1, (-2, 0, 0), (4, 40, 60), spacing)
    part, part_labels = simulated_region("nuclei", 1, (0, 13, 50), (3, 14, 60), spacing)
    assert labels.any()
    assert np.array_equal(part, image[2:5, 13:14, 50:])
    assert np.array_equal(part_labels, labels[2:5, 13:14, 50:])


def test_regions_far_away_are_different_and_have_other_ids():
    here, labels_here = simulated_region("touching-cells", 0, (0, 0), (128, 128))
    there, labels_there = simulated_region("touching-cells", 0, (10**6, 0), (10**6 + 128, 128))
    assert not np.array_equal(here, there)
    assert labels_here.dtype == np.int64
    assert not np.intersect1d(labels_here[labels_here > 0], labels_there[labels_there > 0]).size
    assert not np.array_equal(here, simulated_region("touching-cells", 1, (0, 0), (128, 128))[0])


@pytest.mark.parametrize("kind", ["touching-cells", "nuclei", "phase-contrast"])
def test_number_of_cells(kind):
    for n_cells in (0, 1, 7):
        _, labels = simulate_cells(kind, (200, 240), np.random.default_rng(2), n_cells=n_cells)
        assert labels.max() == n_cells
    middle = simulate_cells(kind, (200, 240), np.random.default_rng(2), n_cells=1)[1]
    assert np.abs(np.argwhere(middle).mean(0) - (100, 120)).max() < 40


def pooled_ap50(predictions, truths):
    pairs = zip(predictions, truths, strict=True)
    return instance_scores([match_objects(p, t) for p, t in pairs]).pooled[0].ap


def test_a_threshold_finds_touching_cells_but_merges_them():
    rng = np.random.default_rng(0)
    images, truths = zip(
        *[simulate_cells("touching-cells", (256, 256), rng) for _ in range(3)], strict=True
    )
    smooth = [gaussian(image.astype(float), 1) for image in images]
    masks = [ndimage.binary_fill_holes(s > threshold_otsu(s)) for s in smooth]
    foreground = np.concatenate([t.ravel() for t in truths]) > 0
    found = np.concatenate([m.ravel() for m in masks])
    iou = (foreground & found).sum() / (foreground | found).sum()
    assert iou > 0.6
    labels = [ndimage.label(m)[0].astype(np.int32) for m in masks]
    assert pooled_ap50(labels, truths) < 0.45
    assert pooled_ap50(truths, truths) == 1


def test_seams_between_touching_cells_are_dimmer_than_their_insides():
    image, labels = simulate_cells("touching-cells", (256, 256), np.random.default_rng(1))
    largest = ndimage.maximum_filter(labels, 3)
    smallest = ndimage.minimum_filter(np.where(labels > 0, labels, labels.max() + 1), 3)
    all_cell = ndimage.minimum_filter(labels, 5) > 0
    seam = all_cell & (largest != smallest)
    inside = ndimage.minimum_filter(labels, 9) == ndimage.maximum_filter(labels, 9)
    assert seam.sum() > 200
    signal = image.astype(float) - 100
    assert signal[seam].mean() < 0.8 * signal[inside & (labels > 0)].mean()


def test_membranes_are_dark_and_three_to_five_px_wide():
    image, labels = simulate_cells("membranes", (256, 256), np.random.default_rng(0))
    assert 0.7 < (labels > 0).mean() < 0.92
    assert image[labels == 0].mean() < 0.75 * image[labels > 0].mean()
    # The middle line of the membranes lies 1.5 to 2.5 px and a pixel's half from the nearest cell.
    gap = ndimage.distance_transform_edt(labels == 0)
    ridge = (gap == ndimage.maximum_filter(gap, 5)) & (labels == 0)
    assert 1.4 < np.median(gap[ridge]) < 3.2


def test_phase_contrast_has_dark_bodies_and_bright_halos():
    image, labels = simulate_cells("phase-contrast", (256, 256), np.random.default_rng(0))
    away = ndimage.distance_transform_edt(labels == 0)
    background = np.median(image[away > 20])
    assert image[ndimage.minimum_filter(labels, 7) > 0].mean() < 0.95 * background
    assert image[(away > 0.5) & (away < 3)].mean() > 1.05 * background


def test_nuclei_differ_in_brightness():
    image, labels = simulate_cells("nuclei", (256, 256), np.random.default_rng(0))
    means = ndimage.mean(image.astype(float) - 100, labels, np.arange(1, labels.max() + 1))
    assert np.percentile(means, 90) > 2.5 * np.percentile(means, 10)


def test_noise_of_the_camera_is_that_of_photons():
    """Without cells the picture is smooth, so what a median filter takes away is noise."""
    for kind, read_noise in (("phase-contrast", 10), ("nuclei", 5)):
        image, labels = simulate_cells(kind, (256, 256), np.random.default_rng(0), n_cells=0)
        assert not labels.any()
        rough = image - ndimage.median_filter(image.astype(float), 7)
        photons = np.median(image) - 100.0
        spread = 1.4826 * np.median(np.abs(rough))
        assert spread == pytest.approx(math.sqrt(photons + read_noise**2), rel=0.1)


def test_white_noise_is_standard_normal_and_streams_are_independent():
    one = white_noise(0, 1, (-100, -100), (100, 100))
    other = white_noise(0, 2, (-100, -100), (100, 100))
    assert abs(one.mean()) < 0.03
    assert one.std() == pytest.approx(1, abs=0.02)
    assert abs(np.corrcoef(one.ravel(), other.ravel())[0, 1]) < 0.03
    # Blocks either side of 0 are not copies of each other.
    assert abs(np.corrcoef(one[:64, :64].ravel(), one[100:164, 100:164].ravel())[0, 1]) < 0.07
    assert len(np.unique(one)) == one.size


@pytest.mark.parametrize("spacing", [(1.0, 1.0), (3.0, 1.0)])
def test_smooth_noise_has_unit_variance_and_is_smooth(spacing):
    noise = smooth_noise(0, 5, (0, 0), (600, 600), 6.0, spacing)
    assert noise.std() == pytest.approx(1, abs=0.05)
    assert abs(noise.mean()) < 0.1
    assert np.abs(np.diff(noise, axis=1)).mean() < 0.25
    faster = np.abs(np.diff(noise, axis=0)).mean() / np.abs(np.diff(noise, axis=1)).mean()
    assert faster == pytest.approx(spacing[0], rel=0.25)


def test_smooth_noise_hand_worked():
    """On a lattice point a cubic B-spline weighs it and its neighbours 1/6, 4/6, 1/6."""
    knots = white_noise(3, 7, (4, 9), (7, 12))
    weights = np.array([1, 4, 1]) / 6
    expected = weights @ knots @ weights / (151 / 315)
    found = smooth_noise(3, 7, (10, 20), (11, 21), 2.0, (1.0, 1.0))
    assert found[0, 0] == pytest.approx(expected)


@pytest.mark.parametrize("kind", KINDS)
def test_sites_keep_their_distance_in_every_region(kind):
    population = APPEARANCES[kind].population
    sites = place_sites(population, 3, (-100, -100), (500, 500), all_used=True)
    one, other = np.triu_indices(len(sites.number), 1)
    distance = np.linalg.norm(sites.centre[one] - sites.centre[other], axis=1)
    nearest_allowed = population.closest * (sites.radius[one] + sites.radius[other])
    assert (distance >= nearest_allowed).all()
    assert len(np.unique(sites.number)) == len(sites.number) > 100
    for low in range(0, 300, 37):
        part = place_sites(population, 3, (low, low), (low + 50, low + 50), all_used=True)
        within = sites.take(sites.within((low, low), (low + 50, low + 50)))
        for field in dataclasses.fields(sites):
            assert np.array_equal(getattr(part, field.name), getattr(within, field.name))


ROUND = Population(26, 10, 0, 1, 0, 0.7, warp=0, warp_scale=8)


def sites_at(*centres, radius, stretch=None):
    n, n_axes = len(centres), len(centres[0])
    return Sites(
        number=np.arange(1, n + 1),
        centre=np.array(centres, float),
        axis=np.eye(n_axes)[[-1] * n],
        radius=np.array(radius, float),
        stretch=np.array(stretch or [1] * n, float),
        brightness=np.zeros(n),
    )


def test_a_painted_cell_is_a_ball_in_the_unit_of_the_spacing():
    truth = paint(
        ROUND, sites_at((20, 20, 20), radius=[10]), 0, (0,) * 3, (10, 40, 40), (4, 1, 1), 0
    )
    z, y, x = np.indices((10, 40, 40)) - np.array([5, 20, 20]).reshape(3, 1, 1, 1)
    distance = np.sqrt((4 * z) ** 2 + y**2 + x**2)
    assert np.array_equal(truth.owner > 0, distance < 10)
    assert truth.radial[5, 20, 27] == pytest.approx(0.7)
    assert truth.light[5, 20, 26] == pytest.approx(0.8)
    # One plane (4 px) up, pixels from 5 px on lie beside the end (6 px) of the plane above: a rim.
    assert truth.depth[5, 20, 20] == pytest.approx(1 + math.hypot(4, 5))
    assert truth.depth[5, 20, 29] == 1
    assert truth.depth[5, 20, 31] == 0


def test_a_pixel_belongs_to_the_cell_in_which_it_lies_deepest():
    truth = paint(
        ROUND, sites_at((10, 10), (10, 25), radius=[10, 5]), 0, (0, 0), (21, 40), (1, 1), 0
    )
    # Both end at x = 20, one from 10 px to the left, the other from 5 px to the right.
    assert truth.owner[10, 18:23].tolist() == [1, 1, 0, 2, 2]
    near = paint(
        ROUND, sites_at((10, 10), (10, 22), radius=[10, 5]), 0, (0, 0), (21, 40), (1, 1), 0
    )
    # (x - 10) / 10 = (22 - x) / 5 at x = 18, which the first one keeps.
    assert near.owner[10, 16:21].tolist() == [1, 1, 1, 2, 2]


def test_connected_parts():
    owner = np.array([[1, 1, 0, 1], [2, 0, 2, 2], [0, 2, 3, 3]], np.int32)
    stray = [[0, 0, 0, 1], [1, 0, 0, 0], [0, 1, 0, 0]]
    assert _without_connection(owner).astype(int).tolist() == stray
    assert not _without_connection(np.zeros((3, 3), np.int32)).any()


def test_what_another_cell_cuts_off_belongs_to_none():
    """A long cell passes under a small one that is deeper there; the far end is the lesser."""
    sites = sites_at((15, 30), (15, 42), radius=[5, 6], stretch=[5, 1])
    truth = paint(ROUND, sites, 0, (0, 0), (31, 70), (1, 1), 0)
    # Along the row, (x - 30) / 25 against |x - 42| / 6: the small one from 39.7 to 45.8.
    assert truth.owner[15, [10, 39, 40, 45, 46, 50]].tolist() == [1, 1, 2, 2, 0, 0]
    assert truth.radial[15, 50] == ROUND.outline
    assert truth.depth[15, 50] == 0


def test_mistakes_are_told():
    rng = np.random.default_rng(0)
    with pytest.raises(InputError, match="kind 'cats'; wanted one of touching-cells"):
        simulate_cells("cats", (10, 10), rng)
    for shape, spacing in (((10,), None), ((0, 4), None), ((2, 2, 2, 2), None), ((9, 9), (1, 0))):
        with pytest.raises(InputError, match="sizes of 1 or more"):
            simulate_cells("nuclei", shape, rng, spacing=spacing)
    with pytest.raises(InputError, match="sizes of 1 or more"):
        simulated_region("nuclei", 0, (5, 5), (5, 9))
