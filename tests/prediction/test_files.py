"""Prediction on files: outputs, names, what is skipped, what is refused, what fails."""

import csv
import json
import os
import zipfile
from pathlib import Path

import numpy as np
import pytest
import zarr
from scipy import ndimage

from biounet.config import PredictionSettings
from biounet.errors import InputError
from biounet.images.reading import read_image
from biounet.images.writing import write_image
from biounet.model import write_model
from biounet.prediction.instances import label_objects
from biounet.prediction.jobs.files import predict_files
from biounet.prediction.jobs.options import parse_save
from biounet.prediction.predictor import make_predictor, predict_plane

PLAIN = PredictionSettings(engine="torch", precision="float32")


def segmented(small_model, image):
    model = small_model()
    predicted = predict_plane(make_predictor(model, "cpu", "float32", None, "none"), image[None])
    return predicted, label_objects(predicted, model.settings.objects)


def pixels(path):
    return np.asarray(read_image(path).data)


def test_every_kind_of_output(tmp_path, model_path, small_model, blobs):
    image = blobs(0, 90, 120)
    write_image(tmp_path / "a.tif", image, "YX", (0.5, 0.5))
    save = parse_save("labels,probabilities,rois,geojson,table,ctc,isbi2012")
    out = tmp_path / "out"
    outcome = predict_files(
        model_path, [tmp_path / "a.tif"], out, PLAIN.model_copy(update={"save": save})
    )
    assert (len(outcome.done), outcome.skipped, outcome.failed) == (1, 0, ())
    predicted, labels = segmented(small_model, image)
    assert labels.max() > 20
    written = read_image(out / "a_labels.tif")
    np.testing.assert_array_equal(written.data, labels)
    assert written.data.dtype == np.uint16
    assert written.pixel_size_um == pytest.approx((0.5, 0.5))
    probabilities = read_image(out / "a_probabilities.tif")
    assert (probabilities.axes, probabilities.channel_names) == ("CYX", ("background", "cell"))
    np.testing.assert_allclose(probabilities.data, predicted, atol=1e-6)
    np.testing.assert_allclose(pixels(out / "a_isbi2012.tif"), 1 - predicted[0], atol=1e-6)
    assert sorted(p.name for p in (out / "a_RES").iterdir()) == ["mask000.tif", "res_track.txt"]
    rows = list(csv.DictReader((out / "a_table.csv").read_text().splitlines()))
    assert [int(row["label"]) for row in rows] == list(range(1, labels.max() + 1))
    sizes = np.bincount(labels.ravel())[1:]
    assert [int(row["size_px"]) for row in rows] == sizes.tolist()
    assert [float(row["area_um2"]) for row in rows] == pytest.approx((sizes / 4).tolist())
    means = ndimage.mean(image, labels, range(1, labels.max() + 1))
    assert [float(row["mean_intensity_0"]) for row in rows] == pytest.approx(means.tolist())
    centres = np.array(ndimage.center_of_mass(labels > 0, labels, range(1, labels.max() + 1))) / 2
    found = [(float(row["centroid_y_um"]), float(row["centroid_x_um"])) for row in rows]
    np.testing.assert_allclose(found, centres, rtol=1e-6)
    assert len(json.loads((out / "a_objects.geojson").read_text())["features"]) == labels.max()
    with zipfile.ZipFile(out / "a_rois.zip") as rois:
        assert len(rois.namelist()) >= labels.max()
    assert not [p for p in out.iterdir() if p.name.startswith(".")]


def test_a_table_names_the_channel_of_the_image(tmp_path, model_path, blobs):
    image = blobs(0, 60, 70).astype(np.uint32)  # an OME-TIFF
    write_image(tmp_path / "a.ome.tif", image, "YX", channel_names=("DAPI",))
    save = PLAIN.model_copy(update={"save": parse_save("table")})
    predict_files(model_path, [tmp_path / "a.ome.tif"], tmp_path / "out", save)
    header, *rows = (tmp_path / "out" / "a_table.csv").read_text().splitlines()
    assert header.endswith(",mean_intensity_DAPI")
    assert rows


def test_a_stack_gives_stacks_with_its_axes(tmp_path, model_path, small_model, blobs):
    stack = np.stack([blobs(k, 60, 50) for k in range(3)])
    write_image(tmp_path / "s.tif", stack, "TYX")
    save = parse_save("labels,probabilities,table")
    predict_files(
        model_path, [tmp_path / "s.tif"], tmp_path / "out", PLAIN.model_copy(update={"save": save})
    )
    labels = read_image(tmp_path / "out" / "s_labels.tif")
    assert (labels.axes, labels.data.shape) == ("TYX", (3, 60, 50))
    for k in range(3):
        np.testing.assert_array_equal(labels.data[k], segmented(small_model, stack[k])[1])
    assert read_image(tmp_path / "out" / "s_probabilities.tif").axes == "TCYX"
    rows = list(csv.DictReader((tmp_path / "out" / "s_table.csv").read_text().splitlines()))
    assert {row["t"] for row in rows} == {"0", "1", "2"}


@pytest.mark.parametrize("changed", [{}, {"memory_bytes": 0, "block_px": 32}])
def test_frames_of_a_sequence_are_linked(tmp_path, model_path, small_model, blobs, changed):
    (tmp_path / "01").mkdir()
    base = blobs(3, 90, 90)
    frames = [np.roll(base, k, axis=1) for k in range(3)]
    for k, frame in enumerate(frames):
        write_image(tmp_path / "01" / f"t{k:03d}.tif", frame, "YX")
    options = PLAIN.model_copy(update={"save": ("ctc",), **changed})
    out = tmp_path / "out"
    assert not predict_files(model_path, [tmp_path / "01"], out, options).failed
    result = out / "01_RES"
    lines = (result / "res_track.txt").read_text().splitlines()
    tracks = [list(map(int, line.split())) for line in lines]
    masks = [pixels(result / f"mask{k:03d}.tif") for k in range(3)]
    for k, frame in enumerate(frames):
        np.testing.assert_array_equal(masks[k] > 0, segmented(small_model, frame)[1] > 0)
        alive = {label for label, begin, end, _ in tracks if begin <= k <= end}
        assert set(np.unique(masks[k])) - {0} == alive
    assert any(end - begin == 2 for _, begin, end, _ in tracks)
    before = (result / "res_track.txt").stat().st_mtime_ns
    again = predict_files(model_path, [tmp_path / "01"], out, options)
    assert (again.skipped, (result / "res_track.txt").stat().st_mtime_ns) == (3, before)
    assert sorted(p.name for p in out.iterdir()) == [
        "01_RES",
        "prediction.json",
        "prediction.jsonl",
    ]


def test_single_slices_of_a_folder_are_one_submission(tmp_path, model_path, small_model, blobs):
    folder = tmp_path / "slices"
    folder.mkdir()
    slices = [blobs(k, 60, 50) for k in range(3)]
    for name, one in zip(("s2", "s10", "s1"), (slices[1], slices[2], slices[0]), strict=True):
        write_image(folder / f"{name}.tif", one, "YX")
    write_image(folder / "stack.tif", np.stack(slices[:2]), "TYX")
    options = PLAIN.model_copy(update={"save": ("labels", "isbi2012")})
    out = tmp_path / "out"
    assert not predict_files(model_path, [folder], out, options).failed
    stack = pixels(out / "slices_isbi2012.tif")
    expected = np.stack([1 - segmented(small_model, one)[0][0] for one in slices])
    np.testing.assert_allclose(stack, expected, atol=1e-6)
    assert (stack.dtype, stack.shape) == (np.float32, (3, 60, 50))
    assert sorted(p.name for p in out.glob("*isbi2012.tif")) == [
        "slices_isbi2012.tif",
        "stack_isbi2012.tif",
    ]
    assert not list(out.glob(".*"))
    assert predict_files(model_path, [folder], out, options).skipped == 4
    alone = tmp_path / "alone"
    predict_files(model_path, [folder / "s2.tif"], alone, options)
    np.testing.assert_allclose(pixels(alone / "s2_isbi2012.tif"), expected[1], atol=1e-6)


def slices_in(tmp_path, blobs):
    folder = tmp_path / "slices"
    folder.mkdir()
    for k in range(3):
        write_image(folder / f"{k}.tif", blobs(k, 60, 50), "YX")
    return folder


def test_parts_that_a_killed_command_left_behind_are_removed(tmp_path, model_path, blobs):
    folder = slices_in(tmp_path, blobs)
    options = PLAIN.model_copy(update={"save": ("isbi2012",)})
    predict_files(model_path, [folder], tmp_path / "out", options)
    parts = tmp_path / "out" / ".slices_isbi2012.tif-parts"
    assert not parts.exists()
    # Killed when the submission was in the ledger, and while its parts were being removed.
    for left in (parts, parts.with_name(f".tmp-0a1b2c3d-{parts.name}")):
        left.mkdir()
        (left / "0.tif").write_bytes(b"")
    assert predict_files(model_path, [folder], tmp_path / "out", options).skipped == 3
    assert [p.name for p in (tmp_path / "out").iterdir() if "parts" in p.name] == []


def test_slices_that_make_no_submission(tmp_path, model_path, blobs):
    folder = slices_in(tmp_path, blobs)
    options = PLAIN.model_copy(update={"save": ("isbi2012",)})
    (folder / "1.tif").write_bytes(b"II*\0 nonsense")
    failed = dict(predict_files(model_path, [folder], tmp_path / "out", options).failed)
    assert failed[folder / "0.tif"] == "not in slices_isbi2012.tif: 1.tif failed"
    assert "damaged" in failed[folder / "1.tif"]
    write_image(folder / "1.tif", blobs(1, 60, 51), "YX")
    failed = dict(predict_files(model_path, [folder], tmp_path / "out", options).failed)
    assert "0.tif is 60 x 50 px, 1.tif is 60 x 51 px" in failed[folder / "2.tif"]
    assert not list((tmp_path / "out").glob("*.tif"))
    write_image(folder / "1.tif", blobs(1, 60, 50), "YX")
    assert not predict_files(model_path, [folder], tmp_path / "out", options).failed
    assert len(pixels(tmp_path / "out" / "slices_isbi2012.tif")) == 3
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "slices_isbi2012.tif").write_bytes(b"mine")
    with pytest.raises(InputError, match="is there already"):
        predict_files(model_path, [folder], tmp_path / "other", options)


def test_one_broken_file_stops_no_other_and_a_second_run_does_the_rest(tmp_path, model_path, blobs):
    folder = tmp_path / "in"
    folder.mkdir()
    for k in range(5):
        write_image(folder / f"{k}.tif", blobs(k, 40, 50), "YX")
    (folder / "2.tif").write_bytes(b"II*\0 nonsense")
    seen = []
    outcome = predict_files(
        model_path, [folder], tmp_path / "out", PLAIN, lambda *progress: seen.append(progress)
    )
    assert [p.name for p in outcome.done] == ["0.tif", "1.tif", "3.tif", "4.tif"]
    ((path, error),) = outcome.failed
    assert path.name == "2.tif"
    assert "damaged" in error
    assert [(done, total) for done, total, _ in seen] == [(k, 5) for k in range(1, 6)]
    before = {p: p.stat().st_mtime_ns for p in (tmp_path / "out").glob("*_labels.tif")}
    write_image(folder / "2.tif", blobs(2, 40, 50), "YX")
    again = predict_files(model_path, [folder], tmp_path / "out", PLAIN)
    assert (len(again.done), again.skipped, again.failed) == (5, 4, ())
    assert all(p.stat().st_mtime_ns == t for p, t in before.items())
    assert (tmp_path / "out" / "2_labels.tif").exists()


def test_more_outputs_of_the_same_images_are_added(tmp_path, model_path, blobs):
    write_image(tmp_path / "a.tif", blobs(0, 40, 50), "YX")
    out = tmp_path / "out"
    predict_files(model_path, [tmp_path / "a.tif"], out, PLAIN)
    before = (out / "a_labels.tif").stat().st_mtime_ns
    more = PLAIN.model_copy(update={"save": ("labels", "table")})
    assert predict_files(model_path, [tmp_path / "a.tif"], out, more).skipped == 0
    assert (out / "a_table.csv").exists()
    assert (out / "a_labels.tif").stat().st_mtime_ns == before


def test_an_image_that_changed_is_done_again_and_a_deleted_output_too(
    tmp_path, model_path, small_model, blobs
):
    path, out = tmp_path / "a.tif", tmp_path / "out"
    write_image(path, blobs(0, 40, 50), "YX")
    predict_files(model_path, [path], out, PLAIN)
    write_image(path, blobs(1, 40, 50), "YX")
    os.utime(path, ns=(1, 1))
    assert predict_files(model_path, [path], out, PLAIN).skipped == 0
    expected = segmented(small_model, blobs(1, 40, 50))[1]
    np.testing.assert_array_equal(pixels(out / "a_labels.tif"), expected)
    (out / "a_labels.tif").unlink()
    assert predict_files(model_path, [path], out, PLAIN).skipped == 0
    assert (out / "a_labels.tif").exists()


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"precision": "bfloat16"}, "results with precision float32 .* bfloat16"),
        ({"tile": 60}, "results with tile .* 60x60 px"),
        ({"average": "d4"}, "results with average none .* d4"),
        ({"axes": "TYX"}, "results with axes None .* TYX"),
    ],
)
def test_other_settings_are_never_mixed(tmp_path, model_path, blobs, change, text):
    write_image(tmp_path / "a.tif", blobs(0, 40, 50), "YX")
    predict_files(model_path, [tmp_path / "a.tif"], tmp_path / "out", PLAIN)
    with pytest.raises(InputError, match=text):
        predict_files(
            model_path, [tmp_path / "a.tif"], tmp_path / "out", PLAIN.model_copy(update=change)
        )


def test_choices_left_open_are_those_of_the_first_run(tmp_path, model_path, blobs):
    write_image(tmp_path / "a.tif", blobs(0, 40, 50), "YX")
    write_image(tmp_path / "b.tif", blobs(1, 40, 50), "YX")
    out = tmp_path / "out"
    predict_files(model_path, [tmp_path / "a.tif"], out, PLAIN.model_copy(update={"tile": 60}))
    before = (out / "prediction.json").read_text()
    assert json.loads(before)["tile"] == [60, 60]
    predict_files(model_path, [tmp_path / "b.tif"], out, PredictionSettings())
    assert (out / "prediction.json").read_text() == before


def test_another_model_is_never_mixed(tmp_path, model_path, small_model, blobs):
    write_image(tmp_path / "a.tif", blobs(0, 40, 50), "YX")
    predict_files(model_path, [tmp_path / "a.tif"], tmp_path / "out", PLAIN)
    write_model(small_model(seed=2), tmp_path / "other.safetensors")
    with pytest.raises(InputError, match=r"results with model .* never mixed"):
        predict_files(tmp_path / "other.safetensors", [tmp_path / "a.tif"], tmp_path / "out", PLAIN)


def test_same_name_from_another_folder_is_refused(tmp_path, model_path, blobs):
    for k, folder in enumerate(("x", "y")):
        (tmp_path / folder).mkdir()
        write_image(tmp_path / folder / "a.tif", blobs(k, 40, 50 + k), "YX")
    both = [tmp_path / "x" / "a.tif", tmp_path / "y" / "a.tif"]
    with pytest.raises(InputError, match=r"two inputs for one output a_labels\.tif"):
        predict_files(model_path, both, tmp_path / "out", PLAIN)
    assert not (tmp_path / "out").exists()
    predict_files(model_path, both[:1], tmp_path / "out", PLAIN)
    with pytest.raises(InputError, match=r"made from .*x/a\.tif"):
        predict_files(model_path, both[1:], tmp_path / "out", PLAIN)


def test_an_image_given_twice_is_done_once(tmp_path, model_path, blobs, monkeypatch):
    write_image(tmp_path / "a.tif", blobs(0, 40, 50), "YX")
    monkeypatch.chdir(tmp_path)
    twice = [Path("a.tif"), tmp_path / "a.tif"]
    outcome = predict_files(model_path, twice, tmp_path / "out", PLAIN)
    assert (outcome.done, outcome.failed) == ((tmp_path / "a.tif",), ())


def test_outputs_are_named_after_links_and_not_after_what_they_lead_to(tmp_path, model_path, blobs):
    """Such as the images of data sets in git-annex, whose files are named by their contents."""
    for folder in ("store", "01"):
        (tmp_path / folder).mkdir()
    for k in range(2):
        write_image(tmp_path / "store" / f"SHA256-{k}.tif", blobs(k, 40, 50), "YX")
        (tmp_path / "01" / f"t00{k}.tif").symlink_to(tmp_path / "store" / f"SHA256-{k}.tif")
    both = PLAIN.model_copy(update={"save": ("labels", "ctc")})
    assert not predict_files(model_path, [tmp_path / "01"], tmp_path / "out", both).failed
    names = {p.name for p in (tmp_path / "out").iterdir() if not p.name.startswith("prediction.")}
    assert names == {"t000_labels.tif", "t001_labels.tif", "01_RES"}


def test_the_same_device_is_no_other_setting(tmp_path, model_path, blobs):
    write_image(tmp_path / "a.tif", blobs(0, 40, 50), "YX")
    numbered = PLAIN.model_copy(update={"device": "cpu:0"})
    for n_before in (0, 1):
        outcome = predict_files(model_path, [tmp_path / "a.tif"], tmp_path / "out", numbered)
        assert outcome.skipped == n_before


def test_a_plain_array_with_named_axes(tmp_path, model_path, blobs):
    array = zarr.create_array(tmp_path / "a.zarr", shape=(1, 2, 40, 50), dtype=np.uint8)
    array[:] = np.stack([blobs(k, 40, 50) for k in range(2)])[None]
    named = PLAIN.model_copy(update={"axes": "TZYX"})
    assert not predict_files(model_path, [tmp_path / "a.zarr"], tmp_path / "out", named).failed
    assert pixels(tmp_path / "out" / "a_labels.ome.zarr").shape == (1, 2, 40, 50)


def test_files_of_others_are_not_replaced(tmp_path, model_path, blobs):
    write_image(tmp_path / "a.tif", blobs(0, 40, 50), "YX")
    (tmp_path / "a_labels.tif").write_text("by hand")
    with pytest.raises(InputError, match="was not written by this command"):
        predict_files(model_path, [tmp_path / "a.tif"], tmp_path, PLAIN)
    assert (tmp_path / "a_labels.tif").read_text() == "by hand"


def test_outputs_beside_the_inputs_are_not_taken_for_inputs(tmp_path, model_path, blobs):
    write_image(tmp_path / "a.tif", blobs(0, 40, 50), "YX")
    predict_files(model_path, [tmp_path], tmp_path, PLAIN)
    assert predict_files(model_path, [tmp_path], tmp_path, PLAIN).skipped == 1
    assert not (tmp_path / "a_labels_labels.tif").exists()
    elsewhere = predict_files(model_path, [tmp_path], tmp_path / "elsewhere", PLAIN)
    assert [path.name for path in elsewhere.done] == ["a.tif"]
    with pytest.raises(InputError, match="none but results of predict"):
        predict_files(model_path, [tmp_path / "elsewhere"], tmp_path / "more", PLAIN)


def test_nothing_is_left_where_nothing_could_be_done(tmp_path, model_path):
    (tmp_path / "a.tif").write_bytes(b"")
    outcome = predict_files(model_path, [tmp_path / "a.tif"], tmp_path / "out", PLAIN)
    assert not outcome.done
    assert not (tmp_path / "out").exists()


def test_damaged_pixels_of_the_first_image_stop_no_other(tmp_path, model_path, blobs):
    """They are looked at before all others, to choose the precision."""
    write_image(tmp_path / "a.ome.zarr", blobs(0, 90, 80), "YX")
    for chunk in (tmp_path / "a.ome.zarr").rglob("c/0/0"):
        chunk.write_bytes(b"nonsense")
    write_image(tmp_path / "b.tif", blobs(1, 90, 80), "YX")
    inputs = [tmp_path / "a.ome.zarr", tmp_path / "b.tif"]
    options = PredictionSettings(engine="torch", precision="auto")
    outcome = predict_files(model_path, inputs, tmp_path / "out", options)
    ((failed, error),) = outcome.failed
    assert failed == inputs[0]
    assert "damaged pixels" in error
    assert (tmp_path / "out" / "b_labels.tif").is_file()


def test_a_file_in_place_of_the_folder_of_results(tmp_path, model_path, blobs):
    write_image(tmp_path / "a.tif", blobs(0, 90, 80), "YX")
    with pytest.raises(InputError, match=r"a file at .*a\.tif; wanted a folder for the results"):
        predict_files(model_path, [tmp_path / "a.tif"], tmp_path / "a.tif", PredictionSettings())


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_may_not_be_written_to(tmp_path, model_path, blobs):
    write_image(tmp_path / "a.tif", blobs(0, 40, 50), "YX")
    (tmp_path / "out").mkdir(mode=0o555)
    with pytest.raises(InputError, match="may not be written"):
        predict_files(model_path, [tmp_path / "a.tif"], tmp_path / "out", PLAIN)


@pytest.mark.parametrize("text", ["", "label", "labels,,table"])
def test_unknown_outputs(text):
    with pytest.raises(InputError, match="--save"):
        parse_save(text)
