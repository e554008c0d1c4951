"""A trained model tells what bfloat16 changes on images of its data set."""

import numpy as np
import pytest

import biounet
from biounet.learning import finish
from biounet.prediction.engines.agreement import Agreement
from biounet.prediction.engines.rounding import recorded_rounding


@pytest.mark.parametrize("fraction", [0.3, 0.0])
def test_what_bfloat16_changes_is_measured_on_images_of_the_data_set(
    fraction: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(finish, "choose_precision", lambda *_: "bfloat16")
    seen: list[np.ndarray] = []

    def measured(_model: object, _device: object, precision: str, tiles: list[np.ndarray]):
        assert precision == "bfloat16"
        seen.extend(tiles)
        return Agreement(0.25, 0.0125)

    monkeypatch.setattr(finish, "measure_rounding", measured)
    rng = np.random.default_rng(3)
    truth = [rng.random((96, 96)) > 0.5 for _ in range(3)]
    images = [100 + 50 * mask.astype(np.float32) for mask in truth]
    settings = {
        "network": {"width": 4, "depth": 1},
        "training": {"patch_px": 32, "validation_fraction": fraction},
    }
    model = biounet.train(images, [m.astype(int) for m in truth], steps=1, settings=settings)
    assert recorded_rounding(model.file, "bfloat16") == Agreement(0.25, 0.0125)
    assert recorded_rounding(model.file, "float16") is None
    assert len(seen) == (1 if fraction else 3)
    for tile in seen:  # the two grey values, normalised: no noise, and not the raw image
        assert len(np.unique(tile)) == 2
        assert abs(float(tile.mean())) < 0.1
        assert abs(float(tile.std()) - 1) < 0.1
