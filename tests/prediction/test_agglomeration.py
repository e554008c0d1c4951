"""Regions between thin walls, merged where the wall between them is none on average."""

import tracemalloc
from itertools import combinations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage
from skimage.graph import rag_boundary
from skimage.morphology import h_minima
from skimage.segmentation import watershed

from biounet.config import ObjectSettings, PredictionSettings
from biounet.images.reading import read_image
from biounet.images.writing import write_image
from biounet.model import write_model
from biounet.prediction.agglomeration import LEAST_DEPTH, SMOOTHING_PX, agglomerate
from biounet.prediction.instances import label_objects
from biounet.prediction.jobs.files import predict_files

AGGLOMERATION = ObjectSettings(method="agglomeration")
WHOLE = PredictionSettings(engine="torch", precision="float32", tile=76)


def two_rooms(wall: float, gap_px: int = 0) -> np.ndarray:
    """P(background) of two rooms with a wall of 3 px between them, which has a gap."""
    background = np.full((40, 80), 0.05, np.float32)
    background[:, 39:42] = wall
    background[20 : 20 + gap_px, 39:42] = 0.05
    return background


def cells(seed: int, *shape: int) -> np.ndarray:
    """P(background) of a random landscape with many basins."""
    smooth = ndimage.gaussian_filter(np.random.default_rng(seed).random(shape), 4)
    return ((smooth - smooth.min()) / np.ptp(smooth)).astype(np.float32)


def test_a_gap_in_a_wall_joins_components_but_no_regions() -> None:
    background = two_rooms(0.95, gap_px=4)
    probabilities = np.stack([background, 1 - background])
    assert label_objects(probabilities, ObjectSettings()).max() == 1
    labels = label_objects(probabilities, AGGLOMERATION)
    assert labels.max() == 2
    assert (labels[:, :36] == 1).all()
    assert (labels[:, 45:] == 2).all()
    assert (labels[:18, 39:42] == 0).all()  # the wall itself is below the threshold
    everywhere = AGGLOMERATION.model_copy(update={"threshold": 0.0})
    assert (label_objects(probabilities, everywhere) > 0).all()


def test_a_wall_that_is_none_on_average_parts_nothing() -> None:
    assert agglomerate(two_rooms(0.5), 0.6).max() == 1
    assert agglomerate(two_rooms(0.5), 0.2).max() == 2
    assert agglomerate(np.full((8, 9), 0.3, np.float32), 0.6).tolist() == [[1] * 9] * 8


def naive_merging(basins: np.ndarray, background: np.ndarray, threshold: float) -> np.ndarray:
    """Merge the two groups with the lowest mean boundary, found anew each time."""
    edges = rag_boundary(basins, background).edges(data=True)
    groups = [{int(basin)} for basin in np.unique(basins)]

    def mean(one: set[int], other: set[int]) -> float:
        between = [d for a, b, d in edges if {a, b} & one and {a, b} & other]
        n = sum(d["count"] for d in between)
        return sum(d["count"] * d["weight"] for d in between) / n if n else np.inf

    while len(groups) > 1:
        one, other = min(combinations(groups, 2), key=lambda pair: mean(*pair))
        if mean(one, other) >= threshold:
            break
        groups = [g for g in groups if g not in (one, other)] + [one | other]
    number = {basin: k for k, group in enumerate(groups, 1) for basin in group}
    return np.vectorize(number.get)(basins)


@given(st.integers(0, 2**32 - 1), st.floats(0.2, 0.8))
@settings(max_examples=25, deadline=None)
def test_regions_are_those_of_naive_merging(seed: int, threshold: float) -> None:
    background = cells(seed, 48, 56)
    smooth = ndimage.gaussian_filter(background, SMOOTHING_PX)
    basins = watershed(smooth, ndimage.label(h_minima(smooth, LEAST_DEPTH))[0])
    got, wanted = agglomerate(background, threshold), naive_merging(basins, background, threshold)
    pairs = np.unique(np.stack([got.ravel(), wanted.ravel()]), axis=1)
    assert pairs.shape[1] == got.max() == wanted.max()  # the same division, other numbers
    assert got.min() == 1


def test_a_volume() -> None:
    background = np.repeat(two_rooms(0.95, gap_px=4)[None], 6, axis=0)
    labels = label_objects(np.stack([background, 1 - background]), AGGLOMERATION)
    assert labels.max() == 2


def test_it_takes_the_memory_that_is_counted_for_it() -> None:
    background = cells(0, 1000, 1000)
    tracemalloc.start()
    assert agglomerate(background, 0.6).max() > 5
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 96 * background.size


def test_planes_in_one_piece_and_larger_ones_refused(tmp_path, small_model, blobs) -> None:
    write_model(small_model(objects=AGGLOMERATION), tmp_path / "m.safetensors")
    write_image(tmp_path / "a.tif", blobs(0, 150, 110), "YX")
    write_image(tmp_path / "b.tif", blobs(1, 3, 50, 50), "TYX")
    inputs = [tmp_path / "a.tif", tmp_path / "b.tif"]
    predict_files(tmp_path / "m.safetensors", inputs, tmp_path / "whole", WHOLE)
    little = WHOLE.model_copy(update={"memory_bytes": 50 * 50 * 7 * 4, "block_px": 32})
    outcome = predict_files(tmp_path / "m.safetensors", inputs, tmp_path / "out", little)
    ((path, error),) = outcome.failed
    assert path.name == "a.tif"
    assert "labels by agglomeration of" in error
    assert "--set objects.method=components" in error
    stack = (np.asarray(read_image(tmp_path / o / "b_labels.tif").data) for o in ("whole", "out"))
    np.testing.assert_array_equal(*stack)
