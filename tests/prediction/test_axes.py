"""Axes in any order, without names, or wrong: the same numbers, or one clear line."""

import sys

import numpy as np
import pytest
import zarr

from biounet.api import Model
from biounet.cli import main
from biounet.config import PredictionSettings
from biounet.images.reading import read_image
from biounet.images.writing import write_image
from biounet.prediction.jobs.files import predict_files
from biounet.prediction.predictor import make_predictor

WHOLE = PredictionSettings(engine="torch", precision="float32", tile=76)
IN_BLOCKS = WHOLE.model_copy(update={"memory_bytes": 0, "block_px": 32})


def write_plain(path, array):
    zarr.create_array(path, data=array)


def labels_of(out, stem):
    return np.asarray(read_image(out / f"{stem}_labels.ome.zarr").data)


@pytest.mark.parametrize("options", [WHOLE, IN_BLOCKS])
def test_the_order_of_axes_does_not_matter(tmp_path, model_path, blobs, options):
    stack = np.stack([blobs(k, 90, 70) for k in range(2)])
    write_plain(tmp_path / "tyx.zarr", stack)
    write_plain(tmp_path / "xyt.zarr", np.ascontiguousarray(stack.T))
    for stem in ("tyx", "xyt"):
        asked = options.model_copy(update={"axes": stem.upper()})
        inputs = [tmp_path / f"{stem}.zarr"]
        assert not predict_files(model_path, inputs, tmp_path / stem, asked).failed
    found, expected = (labels_of(tmp_path / stem, stem) for stem in ("xyt", "tyx"))
    assert expected.shape == (2, 90, 70)
    assert expected.max() > 10
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("dimensions", [2, 3])
def test_channels_of_an_array_lie_first_or_last(small_model, blobs, dimensions):
    model = small_model(dimensions, channels=2)
    model = Model(model, make_predictor(model, "cpu", "float32", None, "none"))
    image = np.stack([blobs(k, *(14, 30, 40)[-dimensions:]) for k in range(2)])
    expected = model.predict(image)
    assert expected.shape == (2, *image.shape[1:])
    np.testing.assert_array_equal(model.predict(np.moveaxis(image, 0, -1)), expected)


def test_axes_without_names_or_that_do_not_fit_are_told(
    tmp_path, model_path, blobs, monkeypatch, capsys
):
    """The rest is done: exit code 1; with nothing done: 2."""
    folder = tmp_path / "in"
    folder.mkdir()
    write_plain(folder / "four.zarr", np.zeros((2, 3, 40, 40), np.uint8))
    write_image(folder / "rgb.tif", np.zeros((3, 40, 40), np.uint8), "CYX")
    write_image(folder / "good.tif", blobs(0, 40, 40), "YX")

    def predict(*words):
        words = ("predict", model_path, *words, "--engine", "torch")
        monkeypatch.setattr(sys, "argv", ["biounet", *map(str, words)])
        with pytest.raises(SystemExit) as exit_:
            main()
        return exit_.value.code, capsys.readouterr().err

    code, errors = predict(folder, "--out", tmp_path / "out")
    assert code == 1
    assert "4 axes without names in" in errors
    assert "rgb.tif with 3 channels; wanted 1" in errors
    assert (tmp_path / "out" / "good_labels.tif").exists()
    code, errors = predict(folder / "good.tif", "--out", tmp_path / "none", "--axes", "ZYX")
    assert code == 2
    assert "which has 2 axes" in errors
    assert not (tmp_path / "none").exists()
    code, errors = predict(folder / "good.tif", "--out", tmp_path / "none", "--axes", "YY")
    assert (code, "letters of TCZYX, each once" in errors) == (2, True)
