"""Several models as one file: the mean of their probabilities, wherever a model goes."""

import zipfile
from dataclasses import replace

import numpy as np
import pytest
import torch

import biounet
from biounet.cli import main
from biounet.config import IntensitySettings, ObjectSettings
from biounet.errors import InputError
from biounet.export import credits_from, export_model
from biounet.inspection import describe
from biounet.model import Intensity, read_model, write_model
from biounet.network_settings import FCNSettings, SlidingWindowSettings, UNetSettings
from biounet.networks import build_network
from biounet.prediction.engines.choice import choose_engine
from biounet.prediction.ensemble import make_ensemble

PLAIN = {"engine": "torch", "precision": "float32", "device": "cpu"}


@pytest.fixture
def members(tmp_path, small_model):
    """The files of three models of other weights."""
    paths = [tmp_path / f"{seed}.safetensors" for seed in (1, 2, 3)]
    for seed, path in enumerate(paths, start=1):
        write_model(replace(small_model(seed=seed), provenance={"seed": seed}), path)
    return paths


@pytest.mark.parametrize("average", ["none", "d4"])
def test_the_mean_of_the_members(members, blobs, average):
    image = blobs(0, 90, 70)
    apart = [biounet.load(path, average=average, **PLAIN).predict(image) for path in members]
    together = biounet.load(members, average=average, **PLAIN).predict(image)
    np.testing.assert_allclose(together, np.mean(apart, axis=0), atol=1e-6)
    assert np.abs(together - apart[0]).max() > 0.05


def test_one_file_that_goes_wherever_a_model_goes(tmp_path, members, blobs, monkeypatch, capsys):
    out = tmp_path / "together.safetensors"
    words = ["biounet", "ensemble", *map(str, members), "--out", str(out)]
    monkeypatch.setattr("sys.argv", words)
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 0
    assert f"written: {out}" in capsys.readouterr().out
    image = blobs(1, 60, 80)
    one = biounet.load(out, **PLAIN)
    np.testing.assert_array_equal(one.predict(image), biounet.load(members, **PLAIN).predict(image))
    told = describe([out])
    assert told.startswith("the mean of 3 networks of kind unet, together ")
    assert all(f"seed {seed}," in told for seed in (1, 2, 3))
    assert [m["seed"] for m in read_model(out).provenance["members"]] == [1, 2, 3]


@pytest.mark.parametrize(
    ("engine", "precision"),
    [("openvino", "float32"), ("openvino", "bfloat16"), ("onnx", "float32")],
)
def test_every_engine_takes_it(tmp_path, small_model, engine, precision):
    pytest.importorskip("openvino" if engine == "openvino" else "onnxruntime")
    model = make_ensemble([small_model(seed=seed) for seed in (1, 2)])
    cpu = torch.device("cpu")
    chosen = choose_engine(model, cpu, engine, precision, tmp_path / "timings")
    assert (chosen.name, chosen.precision) == (engine, precision)
    tiles = np.random.default_rng(0).normal(size=(2, 1, 60, 44)).astype(np.float32)
    exact = choose_engine(model, cpu, "torch", "float32", tmp_path / "timings").engine(tiles)
    np.testing.assert_allclose(
        chosen.engine(tiles), exact, atol=1e-5 if precision == "float32" else 0.05
    )


def test_it_is_exported(tmp_path, small_model):
    ort = pytest.importorskip("onnxruntime")
    model = make_ensemble([small_model(seed=seed) for seed in (1, 2)])
    path = export_model(model, "onnx", tmp_path / "model.onnx", None)
    tiles = np.random.default_rng(0).normal(size=(1, 1, 44, 44)).astype(np.float32)
    (found,) = ort.InferenceSession(path).run(None, {"image": tiles})
    np.testing.assert_allclose(found.sum(axis=1), 1, atol=1e-5)


def test_a_package_tells_that_it_is_one(tmp_path, small_model):
    pytest.importorskip("bioimageio.spec")
    model = make_ensemble([replace(small_model(), provenance={"steps": n}) for n in (20, 30)])
    credits = credits_from("Cells", ["Ada Lovelace"], "MIT", [])  # noqa: A001
    path = export_model(model, "bioimageio", tmp_path / "model.zip", credits)
    with zipfile.ZipFile(path) as package:
        page, description = (package.read(n).decode() for n in ("README.md", "bioimageio.yaml"))
    assert "The mean of 2 networks of kind unet, 2-D" in page
    assert all(f"images, {n} steps." in page for n in (20, 30))
    assert "Ronneberger" in description


@pytest.mark.parametrize(
    "network",
    [
        UNetSettings(dimensions=3, width=2, depth=1, normalisation="weight-standardisation"),
        UNetSettings(width=2, depth=1, first_stride=(2, 2), channels=3, classes=4),
        SlidingWindowSettings(width=2, neurons=4, stages=2, window_px=23),
        FCNSettings(width=2, depth=2, head_width=4),
    ],
)
def test_any_network_can_be_a_member(network, small_model, tmp_path):
    def one(seed):
        model = small_model()
        torch.manual_seed(seed)
        weights = build_network(network).state_dict()
        grey = Intensity((0.0,) * network.channels, (1.0,) * network.channels)
        names = tuple(map(str, range(network.classes)))
        settings = model.settings.model_copy(update={"network": network})
        return replace(model, settings=settings, weights=weights, class_names=names, intensity=grey)

    both = [one(0), one(1)]
    write_model(make_ensemble(both), tmp_path / "m.safetensors")
    together = read_model(tmp_path / "m.safetensors")
    assert together.settings.network.footprint == network.footprint
    shape = network.footprint.input_for([s + 1 for s in network.footprint.step])
    tiles = np.random.default_rng(0).normal(size=(1, network.channels, *shape)).astype(np.float32)
    cpu, file = torch.device("cpu"), tmp_path / "timings"
    mean, *apart = (
        choose_engine(m, cpu, "torch", "float32", file).engine(tiles) for m in (together, *both)
    )
    np.testing.assert_allclose(mean, np.mean(apart, axis=0), atol=1e-6)


def test_certain_members_give_no_nan(small_model, blobs, tmp_path):
    """Where all members exclude a class, its probability is 0, not NaN."""
    model = small_model()
    last = [name for name in model.weights if name.endswith("weight")][-1]
    loud = replace(model, weights={**model.weights, last: model.weights[last] * 1e4})
    write_model(loud, tmp_path / "loud.safetensors")
    predicted = biounet.load([tmp_path / "loud.safetensors"] * 2, **PLAIN).predict(blobs(2, 50, 50))
    assert np.isfinite(predicted).all()
    assert (predicted.min(), predicted.max()) == (0, 1)


def test_settings_of_labels_are_medians(small_model):
    objects = [
        ObjectSettings(threshold=t, grow_px=g, fill_holes=f)
        for t, g, f in ((0.9, 4, True), (0.5, 10, False), (0.7, 5, False))
    ]
    found = make_ensemble([small_model(objects=o) for o in objects]).settings.objects
    assert (found.threshold, found.grow_px, found.fill_holes) == (0.7, 5, True)


def with_settings(model, **changes):
    return replace(model, settings=model.settings.model_copy(update=changes))


def test_what_does_not_belong_together_is_told(small_model):
    first = small_model()
    others = {
        "width: 4 and 5": with_settings(
            first, network=first.settings.network.model_copy(update={"width": 5})
        ),
        "classes: background, cell and a, b": replace(first, class_names=("a", "b")),
        "method: mean-std and percentiles": with_settings(
            first, intensity=IntensitySettings(method="percentiles")
        ),
        "objects.method: components and agglomeration": with_settings(
            first, objects=ObjectSettings(method="agglomeration")
        ),
    }
    for text, other in others.items():
        with pytest.raises(InputError, match=text):
            make_ensemble([first, other])
    by_set = with_settings(first, intensity=IntensitySettings(source="training-set"))
    make_ensemble([by_set, by_set])
    with pytest.raises(InputError, match="grey values"):
        make_ensemble([by_set, replace(by_set, intensity=Intensity((0.0,), (1.0,)))])
    with pytest.raises(InputError, match="less than two"):
        make_ensemble([first])
    with pytest.raises(InputError, match="an ensemble in an ensemble"):
        make_ensemble([make_ensemble([first, first]), first])
    with pytest.raises(InputError, match="kind: unet and ensemble"):
        make_ensemble([first, make_ensemble([first, first])])


def test_no_training_starts_from_it(tmp_path, members, blobs):
    image = blobs(3, 90, 90)
    write_model(make_ensemble([read_model(m) for m in members]), tmp_path / "e.safetensors")
    with pytest.raises(InputError, match="an ensemble to start from"):
        biounet.train([image], [image > 120], steps=1, start_from=tmp_path / "e.safetensors")
