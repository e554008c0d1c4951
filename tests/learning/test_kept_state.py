"""Which of the states of a run is kept, and on what the settings of its labels are found."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from biounet.api import train_dataset
from biounet.images import LabelKind, dataset_from_arrays
from biounet.learning import finish, training
from biounet.learning.run_folder import Record
from biounet.learning.setup import Request
from biounet.learning.validation import Score, tune_objects
from biounet.model import ModelFile, read_model


@pytest.mark.parametrize(
    ("scores", "kept"),
    [
        ((0.80, 0.78, 0.76), 3),  # alike: the last
        ((0.80, 0.70, 0.60), 1),  # it gets clearly worse
        ((0.50, 0.80, 0.74), 2),
        ((0.80, 0.76, 0.72), 2),  # held against the best, not against the one before
    ],
)
def test_the_last_state_unless_an_earlier_one_was_clearly_better(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, scores: tuple[float, ...], kept: int
) -> None:
    given = iter(scores)
    monkeypatch.setattr(training, "validate", lambda *_: Score("AP", next(given), {}))
    assert trained(tmp_path / "run", 2, "instances", 1).provenance["steps"] == kept


@pytest.mark.parametrize(
    ("labels_are", "n_images", "n_held_out", "found_on"),
    [
        ("instances", 6, 2, 6),  # those held out and those learned from
        ("mask", 6, 2, 6),
        ("instances", 2, 0, 2),  # none held out
        ("classes", 6, 2, 2),  # nothing to be found: no training image is predicted for it
    ],
)
def test_the_settings_of_labels_are_found_on_held_out_and_on_training_images(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    labels_are: LabelKind,
    n_images: int,
    n_held_out: int,
    found_on: int,
) -> None:
    calls = []

    def seen(probabilities: Any, items: Any, *rest: Any) -> Any:
        assert len(probabilities) == len(items)
        calls.append(tuple(item.name for item in items))
        return tune_objects(probabilities, items, *rest)

    monkeypatch.setattr(finish, "tune_objects", seen)
    trained(tmp_path / "run", n_images, labels_are, n_held_out)
    assert [len(set(names)) for names in calls] == [found_on]


def test_a_run_that_was_stopped_and_scores_nothing_ends_with_its_last_weights(
    tmp_path: Path,
) -> None:
    def stop(record: Record) -> None:
        if record["kind"] == "step":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        trained(tmp_path / "run", 2, "mask", 0, stop)
    assert read_model(tmp_path / "run" / "best.safetensors").provenance["steps"] == 1
    best = trained(tmp_path / "run", 2, "mask", 0)
    assert best.provenance["steps"] == 3
    whole = trained(tmp_path / "whole", 2, "mask", 0)
    assert all(torch.equal(best.weights[name], whole.weights[name]) for name in whole.weights)


def test_a_validation_that_was_stopped_is_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object) -> Score:
        raise KeyboardInterrupt

    monkeypatch.setattr(training, "validate", interrupted)
    with pytest.raises(KeyboardInterrupt):
        trained(tmp_path / "run", 2, "instances", 1)
    given = iter((0.80, 0.70, 0.60))
    monkeypatch.setattr(training, "validate", lambda *_: Score("AP", next(given), {}))
    assert trained(tmp_path / "run", 2, "instances", 1).provenance["steps"] == 1


def trained(
    folder: Path,
    n_images: int,
    labels_are: LabelKind,
    n_held_out: int,
    on_record: Callable[[Record], None] = lambda _: None,
) -> ModelFile:
    """Three steps of a tiny network; goes on where the folder's run was stopped."""
    rng = np.random.default_rng(0)
    images = [rng.integers(0, 200, (40, 40), np.uint8) for _ in range(n_images)]
    n_values = {"instances": 100, "mask": 2, "classes": 3}[labels_are]
    squares = np.kron(np.arange(100).reshape(10, 10) % n_values, np.ones((4, 4), int))
    said = {
        "network": {"width": 2, "depth": 1},
        "training": {
            "steps": 3,
            "patch_px": 16,
            "validations": 3,
            "validation_fraction": n_held_out / n_images,
        },
    }
    model = train_dataset(
        dataset_from_arrays(images, [squares] * n_images, labels_are),
        Request("fast", said, "cpu", None, time.monotonic(), ""),
        folder,
        True,
        on_record,
    )
    return model.file
