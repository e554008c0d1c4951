"""Scores on held-out images, and the labels' settings found on them."""

import numpy as np
import pytest
from scipy import ndimage

from biounet.config import ObjectSettings
from biounet.images.dataset import Annotated
from biounet.learning.validation import best_score, score, tune_objects

PLAIN = ObjectSettings(minimum_size_px=0)


def two_cells() -> tuple[np.ndarray, Annotated]:
    """Two cells side by side, joined by a bridge of probability 0.6."""
    truth = np.zeros((20, 40), np.int32)
    truth[4:16, 4:18], truth[4:16, 22:36] = 1, 2
    p = np.where(truth > 0, 0.95, 0.05).astype(np.float32)
    p[8:12, 18:22] = 0.6
    image = np.zeros((1, 20, 40), np.uint8)
    return np.stack([1 - p, p]), Annotated("two", image, truth)


def test_joined_cells_are_parted_by_the_settings_found() -> None:
    probabilities, item = two_cells()
    assert score([probabilities], [item], "instances", PLAIN).details["AP50"] == 0
    found = tune_objects([probabilities], [item], "instances", PLAIN, frozenset(), lambda: False)
    assert score([probabilities], [item], "instances", found).value == 1


def test_what_the_user_fixed_stays_and_time_is_kept() -> None:
    probabilities, item = two_cells()
    every = frozenset(ObjectSettings.model_fields)
    for fixed, late in ((every, False), (frozenset(), True)):
        found = tune_objects(
            [probabilities], [item], "instances", PLAIN, fixed, lambda late=late: late
        )
        assert found == PLAIN


def test_masks_are_scored_by_iou_and_unannotated_pixels_do_not_count() -> None:
    probabilities, item = two_cells()
    mask = (item.labels > 0).astype(np.int32)
    plain = score([probabilities], [Annotated("m", item.image, mask)], "mask", PLAIN)
    assert 0.9 < plain.value < 1  # the bridge is wrong
    annotated = probabilities[1] != np.float32(0.6)
    without = score([probabilities], [Annotated("m", item.image, mask, annotated)], "mask", PLAIN)
    assert without.value == pytest.approx(1)


def test_a_state_is_scored_at_the_threshold_that_suits_it() -> None:
    probabilities, item = two_cells()
    fixed = score([probabilities], [item], "instances", PLAIN)
    suited = best_score([probabilities], [item], "instances", PLAIN)
    assert fixed.details["AP50"] < 1
    assert suited.details["AP50"] == 1


def test_the_thresholds_of_cores_and_of_growth_are_found_together() -> None:
    """A bridge is more certain than the rims: no single threshold parts and outlines the cells."""
    truth = np.zeros((40, 60), np.int32)
    truth[5:35, 5:29], truth[5:35, 31:55] = 1, 2
    p = np.where(truth > 0, 0.72, 0.05).astype(np.float32)
    p[15:25, 29:31] = 0.78
    p[8:32, 8:26] = p[8:32, 34:52] = 0.96
    probabilities, item = np.stack([1 - p, p]), Annotated("two", np.zeros((1, 40, 60)), truth)
    start = ObjectSettings(grow_px=8, grow_threshold=0.5)
    found = tune_objects([probabilities], [item], "instances", start, frozenset(), lambda: False)
    assert found.threshold > 0.78
    assert found.grow_threshold < 0.72
    assert found.grow_px >= 3
    assert score([probabilities], [item], "instances", found).value == 1
    kept = frozenset({"grow_px"})
    none = start.model_copy(update={"grow_px": 0})
    without = tune_objects([probabilities], [item], "instances", none, kept, lambda: False)
    assert without.grow_px == 0
    assert score([probabilities], [item], "instances", without).value < 0.5


@pytest.mark.parametrize(("n_cells", "strict"), [(900, False), (100, True)])
def test_of_nearly_equal_settings_the_least_strict_is_taken(n_cells: int, strict: bool) -> None:
    """Two cells are joined by a bridge of 0.87: of many cells, not worth a threshold of 0.9."""
    side = 8 * round(n_cells**0.5)
    truth, n = ndimage.label(np.kron(np.ones((side // 8, side // 8)), np.pad(np.ones((6, 6)), 1)))
    assert n == n_cells
    p = np.where(truth > 0, 0.99, 0.01).astype(np.float32)
    p[3:5, 6:10] = 0.87
    item = Annotated("cells", np.zeros((1, side, side), np.uint8), truth)
    found = tune_objects(
        [np.stack([1 - p, p])], [item], "instances", PLAIN, frozenset(), lambda: False
    )
    assert (found.threshold > 0.87) == strict
