"""Training when little of an image, or nothing, is annotated."""

import time
from pathlib import Path

import numpy as np
import pytest
import torch

from biounet.api import train_dataset
from biounet.errors import InputError
from biounet.images import dataset_from_arrays
from biounet.learning.run_folder import RunFolder, read_records
from biounet.learning.sampling import TrainingImage, draw_centre
from biounet.learning.setup import Request


def test_a_patch_finds_the_one_stroke_of_a_large_image() -> None:
    weights = torch.zeros(600, 600)
    weights[37:40, 501:504] = 1
    source = TrainingImage("a", torch.zeros(1, 600, 600), torch.stack([weights] * 3))
    rng = np.random.default_rng(0)
    for _ in range(20):  # 64 tries find one of these 9 pixels of 360,000 once in 600 patches
        y, x = np.round(draw_centre(source, False, rng))
        assert 37 <= y <= 39
        assert 501 <= x <= 503


def train(folder: Path, n_annotated: int) -> None:
    """Of four images, held out by turns, the last ones have only the ignore value."""
    labels = [np.full((40, 40), 255, np.uint8) for _ in range(4)]
    for one in labels[:n_annotated]:
        one[:] = np.kron(np.eye(10), np.ones((4, 4)))
    dataset = dataset_from_arrays(np.zeros((4, 40, 40), np.uint8), np.stack(labels), "mask", 255)
    said = {
        "network": {"width": 2, "depth": 1},
        "training": {"steps": 2, "patch_px": 16, "validation_fraction": 0.5},
    }
    request = Request("fast", said, "cpu", None, time.monotonic(), "")
    train_dataset(dataset, request, folder, False, lambda _: None)


def test_images_without_an_annotated_pixel_are_left_out(tmp_path: Path) -> None:
    train(tmp_path / "run", 2)  # the last two would be held out, and have no score
    (start,) = (r for r in read_records(RunFolder(tmp_path / "run")) if r["kind"] == "start")
    assert (start["training"], start["validation"]) == (["0"], ["1"])
    assert start["notes"][-1] == "2 of 4 images have no annotated pixel: left out"


def test_nothing_annotated_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="nothing but the ignore value"):
        train(tmp_path / "run", 0)
    assert not (tmp_path / "run").exists()
