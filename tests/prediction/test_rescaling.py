"""Images of another magnification: views of another size, and predictions through them."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional

import biounet
from biounet.cli import main
from biounet.config import PredictionSettings
from biounet.errors import InputError
from biounet.images.reading import read_image
from biounet.images.writing import write_image
from biounet.inspection import describe
from biounet.metrics.matching import instance_scores, match_objects
from biounet.model import at_scale, write_model
from biounet.prediction.jobs.files import predict_files
from biounet.prediction.predictor import make_predictor, predict_region
from biounet.prediction.rescaling import Rescaled, back_from_network, shown_to_network
from biounet.simulate import simulate_cells

EVERYTHING = (slice(None),) * 3
PLAIN = {"engine": "torch", "precision": "float32"}


def view_of(image: np.ndarray, scale: tuple[float, ...]) -> np.ndarray:
    return np.asarray(shown_to_network(image, scale)[(slice(None),) * image.ndim])


@pytest.mark.parametrize(("n", "m"), [(48, 16), (48, 12), (24, 72), (40, 30), (30, 40), (7, 9)])
def test_a_view_is_what_pytorch_makes(n, m):
    """Away from the border, which PyTorch does not mirror."""
    image = np.random.default_rng(0).normal(size=(2, n, n)).astype(np.float32)
    ours = view_of(image, (m / n, m / n))
    theirs = functional.interpolate(
        torch.from_numpy(image)[None], (m, m), mode="bilinear", antialias=True
    )[0].numpy()
    assert ours.shape == theirs.shape
    inner = slice(2, -2)
    np.testing.assert_allclose(ours[:, inner, inner], theirs[:, inner, inner], atol=2e-5)


@given(
    scale=st.tuples(*[st.floats(0.1, 6)] * 2),
    low=st.tuples(*[st.integers(0, 20)] * 2),
    size=st.tuples(*[st.integers(1, 30)] * 2),
)
@settings(max_examples=60, deadline=None)
def test_any_box_has_the_bits_of_the_whole(scale, low, size):
    image = np.random.default_rng(1).integers(0, 60000, (1, 37, 41)).astype(np.uint16)
    view = shown_to_network(image, scale)
    whole = view[EVERYTHING]
    start = [min(a, n - 1) for a, n in zip(low, view.shape[1:], strict=True)]
    box = tuple(
        slice(a, min(a + b, n)) for a, b, n in zip(start, size, whole.shape[1:], strict=True)
    )
    np.testing.assert_array_equal(view[(slice(None), *box)], whole[(slice(None), *box)])


def test_large_boxes_are_made_in_parts(monkeypatch):
    image = np.random.default_rng(2).normal(size=(3, 50, 90))
    whole = view_of(image, (0.5, 1.7))
    monkeypatch.setattr("biounet.prediction.rescaling.MOST_PX", 100)
    np.testing.assert_array_equal(view_of(image, (0.5, 1.7)), whole)


def test_numbers_that_float32_would_round():
    image = 2**30 + np.arange(64, dtype=np.int32).reshape(1, 8, 8)
    np.testing.assert_allclose(view_of(image, (0.5, 0.5))[0, 1, 1], image[0, 2:4, 2:4].mean())


def test_there_and_back_shifts_nothing():
    """A smooth hill stays where it is, whatever the scale, only lower."""
    grid = np.mgrid[:30, :40, :50]
    top = np.array([14, 17, 30])
    hill = np.exp(-((grid - top[:, None, None, None]) ** 2).sum(axis=0) / 18)[None]
    for scale in [(0.5, 0.5, 0.5), (1, 0.4, 0.6), (2, 2, 2), (1.0, 1.3, 0.7)]:
        seen = np.asarray(shown_to_network(hill, scale)[(slice(None),) * 4])
        again = back_from_network(seen, scale, hill.shape[1:])[(slice(None),) * 4]
        assert again.shape == hill.shape
        centre = (grid * again).sum(axis=(1, 2, 3)) / again.sum()
        np.testing.assert_allclose(centre, top, atol=0.02)
        assert 0.6 < again.max() <= hill.max()


def test_the_same_scale_is_the_image_itself():
    image = np.zeros((1, 5, 6), np.uint8)
    assert shown_to_network(image, (1.0, 1.0)) is image
    same = Rescaled(image + 7, (1.0, 1.0), (5, 6))
    assert (same[EVERYTHING] == 7).all()


@pytest.mark.parametrize("average", ["none", "d4", "rotations:3"])
@pytest.mark.parametrize("scale", [(0.5,), (1.6, 0.7)])
def test_no_tile_and_no_box_changes_a_prediction(small_model, blobs, scale, average):
    image = blobs(0, 150, 130)[None]
    small, large = (
        make_predictor(small_model(), "cpu", "float32", tile, average, scale=scale)
        for tile in (28, 300)
    )
    intensity = small_model().intensity
    whole = predict_region(large, image, intensity, (0, 0), (150, 130))
    assert whole.shape == (2, 150, 130)
    np.testing.assert_allclose(whole.sum(axis=0), 1, atol=1e-5)
    part = predict_region(small, image, intensity, (31, 50), (97, 121))
    np.testing.assert_allclose(part, whole[:, 31:97, 50:121], atol=2e-5)


@pytest.mark.parametrize(("scale", "workers"), [((0.4,), 2), ((2.0, 1.5), 1)])
def test_blocks_of_another_scale_give_the_labels_of_the_whole(
    tmp_path, model_path, blobs, scale, workers
):
    write_image(tmp_path / "a.tif", blobs(4, 210, 170), "YX")
    whole = PredictionSettings(
        save=("labels", "probabilities", "table"), tile=76, scale=scale, **PLAIN
    )
    in_blocks = whole.model_copy(update={"memory_bytes": 0, "block_px": 40, "workers": workers})
    for name, options in (("whole", whole), ("blocks", in_blocks)):
        assert not predict_files(model_path, [tmp_path / "a.tif"], tmp_path / name, options).failed
    for name in ("a_labels.tif", "a_probabilities.tif"):
        one, other = (np.asarray(read_image(tmp_path / f / name).data) for f in ("whole", "blocks"))
        np.testing.assert_allclose(one, other, atol=0 if "labels" in name else 2e-5)
        assert one.max() > 0
    tables = [(tmp_path / f / "a_table.csv").read_text() for f in ("whole", "blocks")]
    assert sorted(tables[0].splitlines()) == sorted(tables[1].splitlines())


def test_a_volume_is_rescaled_along_one_axis(small_model, blobs):
    model = small_model(dimensions=3)
    image = blobs(5, 24, 30, 32)
    predictor = make_predictor(model, "cpu", "float32", None, "none", scale=(2, 1, 1))
    got = predict_region(predictor, image[None], model.intensity, (0, 0, 0), image.shape)
    by_hand = make_predictor(model, "cpu", "float32", None, "none")
    seen = shown_to_network(image[None], (2, 1, 1))[(slice(None),) * 4]
    assert seen.shape == (1, 48, 30, 32)
    probabilities = predict_region(by_hand, seen, model.intensity, (0, 0, 0), seen.shape[1:])
    expected = back_from_network(probabilities, (2, 1, 1), image.shape)[(slice(None),) * 4]
    np.testing.assert_allclose(got, expected, atol=1e-5)


def test_settings_in_px_are_of_the_image(small_model):
    objects = at_scale(small_model(), (0.5, 0.5)).settings.objects
    assert (objects.grow_px, objects.minimum_size_px) == (6, 16)
    objects = at_scale(small_model(), (4.0, 4.0)).settings.objects
    assert (objects.grow_px, objects.minimum_size_px) == (1, 0)
    assert at_scale(small_model(), (1.0, 1.0)).settings.objects == small_model().settings.objects


def test_a_loaded_model_is_saved_as_it_was(tmp_path, model_path):
    biounet.load(model_path, scale=0.5, **PLAIN).save(tmp_path / "again.safetensors")
    assert (
        biounet.load(tmp_path / "again.safetensors").file.settings
        == biounet.load(model_path).file.settings
    )


def test_what_was_said_of_labels_is_not_rescaled(model_path):
    model = biounet.load(model_path, scale=0.5, objects={"grow_px": 7}, **PLAIN)
    assert model.predictor.model.settings.objects.grow_px == 7


def test_results_of_two_scales_are_not_mixed(tmp_path, model_path, blobs):
    write_image(tmp_path / "a.tif", blobs(6, 60, 60), "YX")
    predict_files(
        model_path, [tmp_path / "a.tif"], tmp_path / "out", PredictionSettings(scale=(0.5,))
    )
    again = predict_files(
        model_path, [tmp_path / "a.tif"], tmp_path / "out", PredictionSettings(scale=(0.5, 0.5))
    )
    assert again.skipped == 1
    with pytest.raises(InputError, match=r"results with scale 0\.5 x 0\.5"):
        predict_files(model_path, [tmp_path / "a.tif"], tmp_path / "out", PredictionSettings())


@pytest.mark.parametrize("scale", [(0.0,), (-1.0,), (1.0, 2.0, 3.0), (float("nan"),), ()])
def test_what_is_no_scale_is_refused(model_path, scale):
    with pytest.raises(InputError, match="a scale of"):
        biounet.load(model_path, scale=scale)


@pytest.mark.parametrize(
    ("size_um", "asked", "told"),
    [
        (0.1, (1.0,), "--scale 0.2 "),
        (0.1, (0.2,), None),
        (0.6, (1.0,), None),
        (1.0, (1.0,), "--scale 2 "),
        (None, (1.0,), None),
    ],
)
def test_pixels_of_another_size_are_told(tmp_path, small_model, blobs, size_um, asked, told):
    learned = replace(small_model(), provenance={"pixel_size_um": [0.5, 0.5]})
    write_model(learned, tmp_path / "m.safetensors")
    size = None if size_um is None else (size_um, size_um)
    write_image(tmp_path / "a.tif", blobs(6, 60, 60), "YX", size)
    outcome = predict_files(
        tmp_path / "m.safetensors",
        [tmp_path / "a.tif"],
        tmp_path / "out",
        PredictionSettings(scale=asked),
    )
    assert (told is None) == (outcome.notes == ())
    assert told is None or (told in outcome.notes[0] and outcome.notes[0].startswith("a.tif has"))


def test_nuclei_at_four_times_the_magnification():
    """The network that comes along finds them again, where it is told of the scale."""
    image, truth = simulate_cells(
        "nuclei", (768, 768), np.random.default_rng(0), spacing=(0.25, 0.25)
    )
    found = {}
    for scale in (1.0, 0.25):
        labels = biounet.load("nuclei", scale=scale, **PLAIN).segment(image)
        found[scale] = instance_scores([match_objects(labels, truth)]).pooled[0].f1
    assert found[0.25] > 0.9 > 0.7 > found[1.0]


def test_a_model_tells_what_size_it_learned(tmp_path):
    image, labels = simulate_cells("nuclei", (96, 96), np.random.default_rng(0))
    size = {"network": {"width": 3, "depth": 1}, "training": {"patch_px": 24}}
    model = biounet.train([image], [labels], steps=2, settings=size, out=tmp_path / "run")
    diameter = 2 * np.sqrt(np.median(np.bincount(labels.ravel())[1:]) / np.pi)
    assert model.file.provenance["object_px"] == pytest.approx(diameter, abs=0.06)
    assert f"objects {model.file.provenance['object_px']:g} px across" in describe(
        [tmp_path / "run"]
    )


@pytest.mark.parametrize(
    ("scale", "code"), [("0.5", 0), ("2,1.5", 0), ("half", 2), ("0", 2), ("1,1,1", 2), ("", 2)]
)
def test_the_command_line_takes_a_scale(
    tmp_path, model_path, blobs, capsys, monkeypatch, scale, code
):
    write_image(tmp_path / "a.tif", blobs(6, 60, 60), "YX")
    words = ["predict", str(model_path), str(tmp_path / "a.tif"), "--out", str(tmp_path / "out")]
    monkeypatch.setattr("sys.argv", ["biounet", *words, "--scale", scale])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == code
    told = capsys.readouterr().err
    assert (tmp_path / "out").exists() == (code == 0)
    assert code == 0 or ("scale" in told and "Traceback" not in told)
