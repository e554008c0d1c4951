"""A trained model makes labels by other settings than its own."""

import csv
import json
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

import biounet
from biounet.config import ObjectSettings, PredictionSettings
from biounet.errors import InputError
from biounet.images.reading import read_image
from biounet.images.writing import write_image
from biounet.model import read_model, with_objects
from biounet.network_settings import UNetSettings
from biounet.prediction.instances import label_objects
from biounet.prediction.jobs.files import predict_files
from biounet.prediction.jobs.options import parse_save
from biounet.prediction.jobs.recipe import read_recipe
from biounet.prediction.predictor import make_predictor, predict_plane

WHOLE = PredictionSettings(engine="torch", precision="float32", tile=76)
IN_BLOCKS = WHOLE.model_copy(update={"memory_bytes": 0, "block_px": 32})
OTHER = {"threshold": 0.5, "grow_px": 7, "grow_threshold": 0.35}


@pytest.fixture
def image(tmp_path, blobs):
    write_image(tmp_path / "a.tif", blobs(0, 150, 110), "YX")
    return tmp_path / "a.tif"


def pixels(path):
    return np.asarray(read_image(path).data)


def labels_by(model_path, image, objects):
    """By the settings given, and by the model's own, from the whole image."""
    model = read_model(model_path)
    predictor = make_predictor(model, "cpu", "float32", 76, "none")
    probabilities = predict_plane(predictor, pixels(image)[None])
    own = model.settings.objects
    changed = ObjectSettings(**{**own.model_dump(), **objects})
    return label_objects(probabilities, changed), label_objects(probabilities, own)


def command(*words):
    words = [sys.executable, "-W", "ignore", "-m", "biounet", *map(str, words)]
    return subprocess.run(words, capture_output=True, text=True, timeout=120)


@pytest.mark.parametrize("options", [WHOLE, IN_BLOCKS], ids=["whole", "blocks"])
@pytest.mark.parametrize("objects", [OTHER, {"method": "classes"}, {"minimum_size_px": 60}])
def test_files_get_the_labels_of_other_settings(tmp_path, model_path, image, options, objects):
    expected, own = labels_by(model_path, image, objects)
    assert (expected != own).any()
    options = options.model_copy(update={"objects": objects})
    for n_before in (0, 1):
        outcome = predict_files(model_path, [image], tmp_path / "out", options)
        assert (outcome.skipped, outcome.failed) == (n_before, ())
    np.testing.assert_array_equal(pixels(tmp_path / "out" / "a_labels.tif"), expected)


@pytest.mark.parametrize("options", [WHOLE, IN_BLOCKS], ids=["whole", "blocks"])
def test_tables_are_of_the_grown_objects(tmp_path, model_path, image, options):
    expected, _ = labels_by(model_path, image, OTHER)
    table = options.model_copy(update={"objects": OTHER, "save": parse_save("table")})
    predict_files(model_path, [image], tmp_path / "out", table)
    with (tmp_path / "out" / "a_table.csv").open() as file:
        sizes = {int(row["label"]): int(row["size_px"]) for row in csv.DictReader(file)}
    assert sizes == dict(enumerate(np.bincount(expected.ravel())[1:].tolist(), 1))


def test_results_by_other_settings_are_never_mixed(tmp_path, model_path, image):
    out = tmp_path / "out"

    def predict(objects):
        options = WHOLE.model_copy(update={"objects": objects})
        return predict_files(model_path, [image], out, options)

    predict({"threshold": 0.5})
    assert read_recipe(out).objects.threshold == 0.5
    before = pixels(out / "a_labels.tif")
    with pytest.raises(InputError, match=r"objects\.threshold 0\.5 in .* wanted 0\.6, as asked"):
        predict({"threshold": 0.6})
    with pytest.raises(InputError, match=r"objects\.threshold 0\.5 in .* wanted 0\.3, as asked"):
        predict({})
    with pytest.raises(InputError, match=r"objects\.grow_px 3 in .* wanted 2, as asked"):
        predict({"threshold": 0.5, "grow_px": 2})
    assert predict({"threshold": 0.5, "grow_px": 3}).skipped == 1  # 3 is the model's own
    np.testing.assert_array_equal(pixels(out / "a_labels.tif"), before)


@pytest.mark.parametrize(
    ("objects", "told"),
    [
        ({"treshold": 0.9}, r"objects\.treshold = 0\.9; wanted a setting that exists"),
        ({"threshold": 9}, r"objects\.threshold = 9; wanted less than or equal to 1"),
        ({"threshold": None}, r"objects\.threshold = None; wanted a valid number"),
        ({"method": "magic"}, r"objects\.method = 'magic'; wanted 'components'"),
    ],
)
def test_wrong_settings_are_told_before_anything_is_written(
    tmp_path, model_path, image, objects, told
):
    options = WHOLE.model_copy(update={"objects": objects})
    with pytest.raises(InputError, match=told):
        predict_files(model_path, [image], tmp_path / "out", options)
    with pytest.raises(InputError, match=told):
        biounet.load(model_path, objects=objects)
    assert not (tmp_path / "out").exists()


def test_a_map_of_several_classes_has_no_single_objects(small_model):
    model = small_model(objects=ObjectSettings(method="classes"))
    assert with_objects(model, {"method": "components"}).settings.objects.method == "components"
    network = UNetSettings(classes=3)
    three = replace(model, settings=model.settings.model_copy(update={"network": network}))
    with pytest.raises(
        InputError, match=r"'components' for a model of 3 classes; wanted 'classes'"
    ):
        with_objects(three, {"method": "components"})
    assert with_objects(three, {"method": "classes"}) == three


def test_the_command(tmp_path, model_path, image):
    out = tmp_path / "out"
    words = ("predict", model_path, image, "--out", out, "--engine", "torch", "--tile", "76")
    changes = [w for name, value in OTHER.items() for w in ("--set", f"objects.{name}={value}")]
    first = command(*words, "--precision", "float32", *changes)
    assert (first.returncode, first.stderr) == (0, "")
    np.testing.assert_array_equal(
        pixels(out / "a_labels.tif"), labels_by(model_path, image, OTHER)[0]
    )
    again = command(*words, *changes)
    assert again.stdout == f"1 of 1 images in {out} (1 were there before)\n"
    refused = command(*words, *changes[:-1], "objects.grow_threshold=0.4")
    assert (refused.returncode, refused.stderr.count("\n")) == (2, 1)
    assert "results with objects.grow_threshold 0.35" in refused.stderr


def test_a_loaded_model_keeps_other_settings_when_it_is_saved(tmp_path, model_path, image):
    precise = {"engine": "torch", "precision": "float32", "tile": 76}
    model = biounet.load(model_path, **precise, objects=OTHER)
    expected, _ = labels_by(model_path, image, OTHER)
    np.testing.assert_array_equal(model.segment(image), expected)
    model.save(tmp_path / "other.safetensors")
    again = biounet.load(tmp_path / "other.safetensors", **precise)
    np.testing.assert_array_equal(again.segment(image), expected)


def test_damaged_settings_of_results_are_told_in_one_line(tmp_path, model_path, image):
    predict_files(model_path, [image], tmp_path / "out", WHOLE)
    path = tmp_path / "out" / "prediction.json"
    tree = json.loads(path.read_text())
    path.write_text(json.dumps({**tree, "objects": {"threshold": 7, "size": 3}}))
    with pytest.raises(InputError, match="cannot be read") as caught:
        read_recipe(tmp_path / "out")
    assert "\n" not in str(caught.value)
