"""The plugin's work, without a window: manifest, segmenting, training, reading."""

import json
import threading
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import torch

import biounet
from biounet.config import ObjectSettings, Settings
from biounet.errors import InputError
from biounet.images.writing import write_image
from biounet.learning.gallery import PredictedView as Predicted
from biounet.learning.gallery import ValidationGallery, View, write_validation_gallery
from biounet.learning.run_folder import RunFolder
from biounet.model import Intensity, ModelFile, write_model
from biounet.napari.reader import get_reader
from biounet.napari.work import (
    Picked,
    Progress,
    in_steps,
    layer_axes,
    segment_layer,
    train_on_layers,
)
from biounet.network_settings import UNetSettings
from biounet.networks import build_network
from biounet.prediction import predictor
from biounet.simulate import simulate_cells


def model_file(path: Path, **network) -> Path:
    settings = UNetSettings(width=4, depth=1, **network)
    torch.manual_seed(0)
    weights = build_network(settings).state_dict()
    last = [name for name in weights if name.endswith("weight")][-1]
    weights[last] = weights[last] * 8
    channels = settings.channels
    write_model(
        ModelFile(
            Settings(network=settings, objects=ObjectSettings()),
            weights,
            ("background", "cell"),
            Intensity((0.0,) * channels, (1.0,) * channels),
        ),
        path,
    )
    return path


@pytest.fixture(autouse=True)
def timings(monkeypatch, tmp_path):
    monkeypatch.setattr(predictor, "timings_file", lambda: tmp_path / "engines.json")


def picked(*shape, rgb=False, scale=None) -> Picked:
    data = np.random.default_rng(0).integers(0, 255, shape).astype(np.uint8)
    return Picked("cells", data, rgb, scale or (0.5,) * (len(shape) - rgb))


def ignore(_) -> None:
    pass


def test_manifest():
    """What it names is there, and npe2 accepts it."""
    npe2 = pytest.importorskip("npe2", reason="needs the extra napari: npe2")
    manifest = npe2.PluginManifest.from_file(
        Path(biounet.__file__).parent / "napari" / "napari.yaml"
    )
    assert manifest.name == "biounet"
    commands = {command.id: command for command in manifest.contributions.commands}
    used = [c.command for c in manifest.contributions.widgets + manifest.contributions.readers]
    assert sorted(used) == sorted(commands)
    for command in commands.values():
        module, _, name = command.python_name.partition(":")
        source = Path(find_spec(module).origin).read_text()
        assert f"class {name}(" in source or f"def {name}(" in source


def test_the_plugin_is_found_by_its_entry_point_and_reads(tmp_path):
    npe2 = pytest.importorskip("npe2", reason="needs the extra napari: npe2")
    manager = npe2.PluginManager.instance()
    manager.discover()
    names = [manifest.name for manifest in manager.iter_manifests()]
    assert "biounet" in names, "install the package again: its entry points are not known"
    labels = np.arange(12, dtype=np.uint16).reshape(3, 4)
    path = tmp_path / "a_labels.tif"
    write_image(path, labels, "YX")
    for given in (path, tmp_path):
        ((data, attributes, kind),) = npe2.read([str(given)], stack=False, plugin_name="biounet")
        np.testing.assert_array_equal(data, labels)
        assert (attributes["name"], kind) == ("a_labels", "labels")


@pytest.mark.parametrize(
    ("shape", "rgb", "network", "axes"),
    [
        ((20, 30), False, {}, "YX"),
        ((5, 20, 30), False, {}, "ZYX"),
        ((5, 20, 30), False, {"dimensions": 3}, "ZYX"),
        ((4, 5, 20, 30), False, {"dimensions": 3}, "TZYX"),
        ((20, 30, 3), True, {"channels": 3}, "YXC"),
        ((7, 20, 30, 3), True, {"channels": 3}, "ZYXC"),
        ((2, 20, 30), False, {"channels": 2}, "CYX"),
        ((2, 5, 20, 30), False, {"channels": 2, "dimensions": 3}, "CZYX"),
        ((2, 5, 20, 30), False, {"dimensions": 3}, "TZYX"),
    ],
)
def test_axes_of_layers(shape, rgb, network, axes):
    assert layer_axes(picked(*shape, rgb=rgb), UNetSettings(**network)) == axes


@pytest.mark.parametrize(
    ("shape", "rgb", "network", "result", "scale"),
    [
        ((60, 70), False, {}, (60, 70), (0.5, 0.5)),
        ((3, 60, 70), False, {}, (3, 60, 70), (0.5, 0.5, 0.5)),
        ((60, 70, 3), True, {"channels": 3}, (60, 70), (0.5, 0.5)),
        ((2, 60, 70), False, {"channels": 2}, (60, 70), (0.5, 0.5)),
        ((12, 30, 40), False, {"dimensions": 3}, (12, 30, 40), (0.5, 0.5, 0.5)),
    ],
)
def test_segment_gives_what_the_api_gives(shape, rgb, network, result, scale, tmp_path):
    path = model_file(tmp_path / "model.safetensors", **network)
    image = picked(*shape, rgb=rgb)
    told: list[Progress] = []
    stop = threading.Event()
    layers = segment_layer(image, path, "none", 1.0, True, stop, told.append)
    assert [(kind, attributes["name"]) for _, attributes, kind in layers] == [
        ("image", "cells background"),
        ("image", "cells cell"),
        ("labels", "cells objects"),
    ]
    assert [data.shape for data, _, _ in layers] == [result] * 3
    assert [attributes["scale"] for _, attributes, _ in layers] == [scale] * 3
    model = biounet.load(path)
    axes = layer_axes(image, model.file.settings.network)
    np.testing.assert_array_equal(layers[2][0], model.segment(image.data, axes=axes))
    np.testing.assert_allclose(layers[0][0] + layers[1][0], 1, atol=1e-5)
    shares = [progress.share for progress in told]
    assert shares == sorted(shares)
    assert shares[-1] == 1.0
    assert len(segment_layer(image, path, "none", 1.0, False, stop, ignore)) == 1
    half = biounet.load(path, scale=0.5).segment(image.data, axes=axes)
    np.testing.assert_array_equal(
        segment_layer(image, path, "none", 0.5, False, stop, told.append)[0][0], half
    )
    assert told[-1].share == 1.0
    stop.set()
    assert segment_layer(image, path, "none", 1.0, True, stop, ignore) == []


def test_an_image_that_does_not_fit_is_told(tmp_path):
    path = model_file(tmp_path / "model.safetensors", channels=3)
    with pytest.raises(InputError, match="3, as the model was trained on"):
        segment_layer(picked(30, 40), path, "none", 1.0, False, threading.Event(), ignore)
    with pytest.raises(InputError, match="no file"):
        missing = tmp_path / "none.safetensors"
        segment_layer(picked(30, 40), missing, "none", 1.0, False, threading.Event(), ignore)


def test_in_steps_yields_returns_and_raises():
    def work(report):
        report(Progress(0.5, "half"))
        report(Progress(1.0, "all"))
        return threading.current_thread().name

    steps = in_steps(work)
    assert [next(steps).text, next(steps).text] == ["half", "all"]
    with pytest.raises(StopIteration) as end:
        next(steps)
    assert end.value.value.startswith("biounet")

    def failing(_):
        raise InputError("a", "b", "c")

    with pytest.raises(InputError):
        list(in_steps(failing))


def test_train_and_stop(tmp_path):
    image, labels = simulate_cells("touching-cells", (160, 160), np.random.default_rng(0))
    stop, told = threading.Event(), []

    def report(progress: Progress) -> None:
        told.append(progress)
        if "loss" in progress.text and len(told) > 4:
            stop.set()

    out = tmp_path / "run"
    layer = Picked("cells", image, False, (1.0, 1.0))
    best = train_on_layers(layer, labels, False, None, 5.0, out, stop, report)
    assert best == out / "best.safetensors"
    assert told[-1].share < 0.5  # of five minutes
    assert len(segment_layer(layer, best, "none", 1.0, False, threading.Event(), ignore)) == 1
    with pytest.raises(InputError, match="which exists"):
        train_on_layers(layer, labels, False, None, 5.0, out, threading.Event(), ignore)


def test_read_results(tmp_path):
    labels = np.arange(12, dtype=np.uint16).reshape(3, 4)
    probabilities = np.stack([np.zeros((3, 4)), np.ones((3, 4))]).astype(np.float32)
    write_image(tmp_path / "a_labels.tif", labels, "YX", (0.25, 0.25))
    write_image(
        tmp_path / "a_probabilities.tif",
        probabilities,
        "CYX",
        (0.25, 0.25),
        ("background", "cell"),
    )
    write_image(tmp_path / "a.tif", labels, "YX")
    layers = get_reader(str(tmp_path))(str(tmp_path))
    assert [(attributes["name"], kind) for _, attributes, kind in layers] == [
        ("a_labels", "labels"),
        ("a_probabilities background", "image"),
        ("a_probabilities cell", "image"),
    ]
    np.testing.assert_array_equal(layers[0][0], labels)
    np.testing.assert_array_equal(layers[2][0], probabilities[1])
    for _, attributes, _ in layers:
        assert attributes["scale"] == pytest.approx((0.25, 0.25), rel=1e-4)
    paths = [str(tmp_path / "a_labels.tif")]
    assert len(get_reader(paths)(paths)) == 1
    assert get_reader(str(tmp_path / "a.tif")) is None
    (tmp_path / "empty").mkdir()
    assert get_reader(str(tmp_path / "empty")) is None


def test_read_a_run(tmp_path):
    run = RunFolder(tmp_path)
    run.settings.write_text("preset: fast\n")
    run.log.write_text(json.dumps({"kind": "start"}) + "\n")
    grey = np.arange(20, dtype=np.uint8).reshape(4, 5)
    labels = (grey > 10).astype(np.int32)
    view = View("img1", grey, labels, np.ones((4, 5), bool), True)
    views = (Predicted(view, labels * 2),)
    sizes = np.array([9])
    write_validation_gallery(ValidationGallery("instances", 2, (), sizes, sizes, views), run)
    layers = get_reader(str(tmp_path))(str(tmp_path))
    assert [(attributes["name"], kind) for _, attributes, kind in layers] == [
        ("img1", "image"),
        ("img1 truth", "labels"),
        ("img1 predicted", "labels"),
    ]
    np.testing.assert_array_equal(layers[2][0], labels * 2)
