"""Slices of stacks, joined: one number an object, none torn or fused within a slice."""

import csv
import zipfile
from collections import namedtuple

import numpy as np
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st

import biounet
from biounet.config import PredictionSettings
from biounet.errors import InputError
from biounet.images.reading import read_image
from biounet.images.writing import write_image
from biounet.metrics import instance_scores, match_objects
from biounet.model import read_model
from biounet.prediction.jobs import files
from biounet.prediction.jobs.files import predict_files
from biounet.prediction.stacks import join_slices, join_stacks
from biounet.simulate import simulate_cells

PLAIN = {"engine": "torch", "precision": "float32"}
JOIN = {"join_slices": 0.25}


def apart(volume: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The same objects, each slice with numbers of its own, as a 2-D network leaves them."""
    result = np.zeros(volume.shape, np.int32)
    for z, plane in enumerate(volume):
        ids = np.unique(plane[plane > 0])
        numbers = rng.permutation(len(ids)) + 1
        result[z] = np.append(0, numbers)[np.searchsorted(ids, plane, side="right")] * (plane > 0)
    return result


def test_columns_are_found_again():
    truth = np.zeros((5, 40, 40), np.int32)
    truth[:, 2:10, 3:12] = 1
    truth[1:4, 20:30, 20:30] = 2
    truth[:, 10:18, 3:12] = 3  # touches the first
    joined = join_slices(apart(truth, np.random.default_rng(0)), 0.25)
    assert len(np.unique(joined)) == 4
    assert len(np.unique(joined + 10 * truth)) == 4


def test_only_what_overlaps_enough_is_one():
    labels = np.zeros((2, 1, 12), np.int32)
    labels[0, 0, 0:6] = 7
    labels[1, 0, 3:9] = 7  # IoU 3 / 9
    assert join_slices(labels, 1 / 3).max() == 1
    assert join_slices(labels, 0.34).max() == 2


def test_the_better_partner_wins_and_an_empty_slice_parts():
    labels = np.zeros((4, 1, 20), np.int32)
    labels[0, 0, 0:10] = 1
    labels[1, 0, 0:4], labels[1, 0, 4:10] = 1, 2  # the second overlaps more
    labels[3, 0, 4:10] = 1
    joined = join_slices(labels, 0.25)
    assert joined[1, 0, 5] == joined[0, 0, 5] != joined[1, 0, 1]
    assert joined[3, 0, 5] not in (0, joined[1, 0, 5])


@given(st.integers(0, 2**32 - 1), st.floats(0, 1), st.integers(1, 9))
@settings(max_examples=60, deadline=None)
def test_slices_keep_their_objects_and_numbers_have_no_gaps(seed, least_iou, n_ids):
    rng = np.random.default_rng(seed)
    labels = np.kron(rng.integers(0, n_ids, (5, 6, 6)), np.ones((1, 3, 3))).astype(np.int32)
    joined = join_slices(labels, least_iou)
    for before, after in zip(labels, joined, strict=True):
        pairs = {(int(a), int(b)) for a, b in zip(before.flat, after.flat, strict=True)}
        assert len(pairs) == len({a for a, _ in pairs}) == len({b for _, b in pairs})
        assert all((a == 0) == (b == 0) for a, b in pairs)
    assert set(np.unique(joined)) - {0} == set(range(1, joined.max() + 1))


def test_cells_of_a_volume():
    """Cut into slices and joined again: nearly all cells are what they were."""
    rng = np.random.default_rng(0)
    _, truth = simulate_cells("nuclei", (40, 160, 160), rng)
    slices = apart(truth, rng)
    joined = join_slices(slices, 0.1)
    scores = {
        name: instance_scores([match_objects(found, truth)]).pooled[0].f1
        for name, found in (("joined", joined), ("apart", slices))
    }
    assert scores["joined"] > 0.9 > 0.2 > scores["apart"]


def test_each_stack_of_a_series_is_joined_for_itself():
    labels = np.ones((2, 3, 4, 4), np.int32)  # TZYX
    np.testing.assert_array_equal(join_stacks(labels, 1, 0.5), labels)
    labels[:, 1] = 0
    assert join_stacks(labels, 1, 0.5)[:, 2].tolist() == np.full((2, 4, 4), 2).tolist()
    assert join_stacks(labels, 0, 0.5).max() == 1


@pytest.fixture
def stack(blobs):
    """Slices that change slowly."""
    volume = blobs(0, 12, 90, 80)
    return np.repeat(volume, 2, axis=0)


@pytest.mark.parametrize("in_blocks", [False, True])
@pytest.mark.parametrize("axes", ["ZYX", "?YX", "TYX", "TZYX"])
def test_files_are_stacks_of_objects(tmp_path, model_path, stack, axes, in_blocks):
    data = stack.reshape(2, 12, 90, 80) if axes == "TZYX" else stack
    if axes == "?YX":
        tifffile.imwrite(tmp_path / "a.tif", data, photometric="minisblack")
    else:
        write_image(tmp_path / "a.tif", data, axes)
    options = PredictionSettings(
        save=("labels", "table", "probabilities"),
        memory_bytes=0 if in_blocks else 2**28,
        **PLAIN,
    )
    image = tmp_path / "a.tif"
    for name, objects in (("apart", {}), ("joined", JOIN)):
        asked = options.model_copy(update={"objects": objects})
        assert not predict_files(model_path, [image], tmp_path / name, asked).failed
    alone, joined = (read_image(tmp_path / n / "a_labels.tif") for n in ("apart", "joined"))
    before, after = np.asarray(alone.data), np.asarray(joined.data)
    if axes == "TYX":
        np.testing.assert_array_equal(before, after)
        return
    assert joined.axes.endswith("ZYX" if len(axes) == 4 else "YX")
    expected = join_stacks(before.astype(np.int32), before.ndim - 3, 0.25)
    np.testing.assert_array_equal(after, expected)
    assert after.max() > before.max()
    with (tmp_path / "joined/a_table.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert "volume_px3" in rows[0]
    assert len(rows) == (after.max() if after.ndim == 3 else sum(t.max() for t in after))
    one, other = (read_image(tmp_path / n / "a_probabilities.tif") for n in ("apart", "joined"))
    # pages without a name are a series where they are not joined
    axes = one.axes if "T" in other.axes else one.axes.replace("T", "Z")
    order = [axes.index(axis) for axis in other.axes]
    np.testing.assert_allclose(np.transpose(one.data, order), other.data, atol=2e-5)


def test_python_and_rois(tmp_path, model_path, stack):
    model = biounet.load(model_path, objects=JOIN, **PLAIN)
    joined = model.segment(stack, axes="ZYX")
    alone = biounet.load(model_path, **PLAIN).segment(stack, axes="ZYX")
    np.testing.assert_array_equal(joined, join_slices(alone, 0.25))
    np.testing.assert_array_equal(model.segment(stack, axes="TYX"), alone)
    np.testing.assert_array_equal(model.segment(stack[0]), alone[0])
    write_image(tmp_path / "a.tif", stack, "ZYX")
    options = PredictionSettings(save=("rois", "geojson"), objects=JOIN, **PLAIN)
    assert not predict_files(model_path, [tmp_path / "a.tif"], tmp_path / "out", options).failed
    with zipfile.ZipFile(tmp_path / "out/a_rois.zip") as rois:
        assert len(rois.namelist()) >= alone.max(axis=(1, 2)).sum()


def test_a_stack_without_room_is_told(tmp_path, model_path, stack, monkeypatch):
    write_image(tmp_path / "a.tif", stack, "ZYX")
    Memory = namedtuple("Memory", "available")
    monkeypatch.setattr(files.psutil, "virtual_memory", lambda: Memory(10**6))
    options = PredictionSettings(objects=JOIN, memory_bytes=0, tile=76, **PLAIN)
    outcome = predict_files(model_path, [tmp_path / "a.tif"], tmp_path / "out", options)
    assert "a stack to be joined" in outcome.failed[0][1]


def test_a_wrong_share_is_refused(model_path):
    with pytest.raises(InputError, match=r"objects\.join_slices"):
        biounet.load(model_path, objects={"join_slices": 1.5})
    assert read_model(model_path).settings.objects.join_slices == 0
