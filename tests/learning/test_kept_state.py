"""Which of the states of a run is kept."""

import time
from pathlib import Path

import numpy as np
import pytest

from biounet.api import train_dataset
from biounet.images import dataset_from_arrays
from biounet.learning import training
from biounet.learning.setup import Request
from biounet.learning.validation import Score


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
    rng = np.random.default_rng(0)
    images = [rng.integers(0, 200, (40, 40), np.uint8) for _ in range(2)]
    labels = [np.kron(np.arange(4).reshape(2, 2), np.ones((20, 20), int)) for _ in images]
    said = {
        "network": {"width": 2, "depth": 1},
        "training": {"steps": 3, "patch_px": 16, "validations": 3},
    }
    model = train_dataset(
        dataset_from_arrays(images, labels, "instances"),
        Request("fast", said, "cpu", None, time.monotonic(), ""),
        tmp_path / "run",
        False,
        lambda _: None,
    )
    assert model.file.provenance["steps"] == kept
