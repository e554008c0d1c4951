"""Which images are held out for validation, and what their scores can tell."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from biounet.config import FAST
from biounet.geometry import Footprint
from biounet.images.dataset import Annotated
from biounet.learning.preparation import Split, split_items
from biounet.learning.validation import SCORE_NOISE, score_noise

FOOTPRINT: Footprint = FAST.network.footprint


def annotated(name: str, side: int, n_objects: int = 16) -> Annotated:
    across = int(np.sqrt(n_objects))
    labels = np.zeros((side, side), np.int32)
    step = side // across
    for k, (y, x) in enumerate(np.ndindex(across, across), start=1):
        labels[y * step : y * step + 9, x * step : x * step + 9] = k
    return Annotated(name, np.zeros((1, side, side), np.uint8), labels, None, None)


def split(names: list[str], side: int, fraction: float = 0.15) -> Split:
    return split_items([annotated(name, side) for name in names], fraction, 16, FOOTPRINT, seed=3)


def n_pixels(items: tuple[Annotated, ...]) -> int:
    return sum(item.labels.size for item in items)


@given(st.integers(1, 30), st.sampled_from([0.0, 0.1, 0.15, 0.5]), st.booleans())
def test_every_pixel_is_learned_from_or_scored(n: int, fraction: float, series: bool) -> None:
    names = [f"t{k:03d}" if series else f"{k}-{'ab'[k % 2]}" for k in range(n)]
    found = split(names, 400, fraction)
    assert n_pixels(found.training) + n_pixels(found.validation) == n * 400**2
    assert found.training
    assert bool(found.validation) == (fraction > 0)
    assert n_pixels(found.validation) <= max(1.5 * fraction * n, 0.25) * 400**2


@pytest.mark.parametrize("n", [1, 2, 6])
def test_of_few_images_a_part_of_one_is_held_out(n: int) -> None:
    found = split([f"t{k}" for k in range(n)], 400)
    assert [item.name for item in found.validation] == [f"t{n - 1}[300:400]"]
    assert len(found.training) == n
    assert found.why == f"the part of t{n - 1} from X = 300 px on"


def test_of_more_images_whole_ones_are_held_out() -> None:
    assert [item.name for item in split([f"t{k}" for k in range(7)], 400).validation] == ["t6"]
    drawn = split(["a", "b c", "d", "ee", "f", "g", "hh"], 400)
    assert len(drawn.validation) == 1
    assert drawn.why == "1 of 7, drawn at random"


def test_where_an_image_is_too_small_to_be_cut_a_whole_one_is_held_out() -> None:
    found = split(["t0", "t1"], 64)
    assert [item.name for item in found.training] == ["t0"]
    assert [item.name for item in found.validation] == ["t1"]
    assert split(["t0"], 64).validation == ()


def test_the_fewer_objects_the_less_a_score_tells() -> None:
    few, many = [annotated("a", 400)], [annotated("a", 400, 400)] * 2
    assert score_noise(few, "instances") == 0.5 / 4
    assert score_noise(many, "instances") == SCORE_NOISE
    assert score_noise(few, "mask") == SCORE_NOISE
    assert score_noise([], "instances") == 0.5
