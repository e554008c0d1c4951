"""Volumes from annotated slices to labels, through the commands."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml

from biounet.cli import main
from biounet.config import read_settings
from biounet.images.dataset import read_item
from biounet.images.layouts.find import find_dataset
from biounet.images.reading import read_image
from biounet.images.writing import write_image
from biounet.learning.preparation import Split, prepare
from biounet.simulate import simulate_cells

VOXEL_UM = (2.0, 0.5, 0.5)
ANNOTATED = (3, 8)
NOBODY = 65535


def command(monkeypatch: pytest.MonkeyPatch, *words: str | Path) -> int:
    """The exit code of a command."""
    monkeypatch.setattr(sys, "argv", ["biounet", *map(str, words)])
    with pytest.raises(SystemExit) as exit_:
        main()
    return int(exit_.value.code or 0)


@pytest.fixture(scope="module")
def volumes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two volumes with two annotated slices each, the rest marked as not annotated; a third."""
    folder = tmp_path_factory.mktemp("volumes")
    for name in ("data/images", "data/labels", "new"):
        (folder / name).mkdir(parents=True)
    rng = np.random.default_rng(0)
    for k in range(3):
        image, labels = simulate_cells("nuclei", (12, 64, 60), rng, spacing=(12.0, 3.0, 3.0))
        if k == 2:
            write_image(folder / "new" / "v2.tif", image, "ZYX", VOXEL_UM)
            continue
        drawn = np.full(labels.shape, NOBODY, np.uint16)
        drawn[list(ANNOTATED)] = labels[list(ANNOTATED)]
        write_image(folder / "data" / "images" / f"v{k}.tif", image, "ZYX", VOXEL_UM)
        write_image(folder / "data" / "labels" / f"v{k}.tif", drawn, "ZYX", VOXEL_UM)
    return folder


def test_a_few_annotated_slices_to_labels(
    volumes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Pooling that fits the voxels; the same labels from tiles and from one piece."""
    run, precise = tmp_path / "run", ("--precision", "float32", "--engine", "torch")
    small = ("network.width=4", "training.patch_px=12", "training.seed=0")
    changes = [word for change in small for word in ("--set", change)]
    data = ("train", volumes / "data", "--ignore-value", str(NOBODY))
    assert command(monkeypatch, *data, "--out", run, "--steps", "12", *changes) == 0
    network = yaml.safe_load((run / "settings.yaml").read_text())["network"]
    assert (network["dimensions"], network["depth"]) == (3, 2)
    assert network["pooling"] == [[1, 2, 2], [1, 2, 2]]
    save = ("--save", "labels,probabilities")
    outputs: dict[str, tuple[str, ...]] = {"whole": (), "tiles": ("--tile", "52")}
    for out, options in outputs.items():
        words: list[str | Path] = [run, volumes / "new", "--out", tmp_path / out]
        assert command(monkeypatch, "predict", *words, *precise, *options, *save) == 0
    tile = json.loads((tmp_path / "tiles" / "prediction.json").read_text())["tile"]
    assert tile[1:] == [52, 52]
    whole = read_image(tmp_path / "whole" / "v2_probabilities.tif")
    tiles = read_image(tmp_path / "tiles" / "v2_probabilities.tif")
    assert whole.data.shape == (12, 2, 64, 60)
    assert np.ptp(np.asarray(whole.data)[:, 1]) > 0.01
    np.testing.assert_allclose(np.asarray(tiles.data), np.asarray(whole.data), atol=1e-5)
    labels = read_image(tmp_path / "whole" / "v2_labels.tif")
    assert (labels.axes, labels.data.shape) == ("ZYX", (12, 64, 60))
    assert labels.pixel_size_um == pytest.approx(VOXEL_UM)
    np.testing.assert_array_equal(
        np.asarray(read_image(tmp_path / "tiles" / "v2_labels.tif").data), labels.data
    )


def test_slices_without_annotation_weigh_nothing_and_borders_are_of_the_volume(
    volumes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = tmp_path / "run"
    data = ("train", volumes / "data", "--ignore-value", str(NOBODY))
    changes = ("--set", "network.width=4", "--set", "training.patch_px=12")
    assert command(monkeypatch, *data, "--out", run, "--steps", "1", *changes) == 0
    dataset = find_dataset([volumes / "data"], ignore_value=NOBODY)
    items = tuple(read_item(item) for item in dataset.items)
    prepared = prepare(Split(items, (), ""), dataset, read_settings(run / "settings.yaml"))
    for item, ready in zip(items, prepared.training, strict=True):
        class_map, weights, _ = np.asarray(ready.truth)
        assert weights.shape == item.labels.shape == (12, 64, 60)
        nobody = [z for z in range(12) if z not in ANNOTATED]
        assert not weights[nobody].any()
        assert (weights[list(ANNOTATED)] > 0).all()
        background = class_map[list(ANNOTATED)] == 0
        near, far = np.quantile(weights[list(ANNOTATED)][background], [0.99, 0.01])
        assert near > 2 * far  # between cells more than in the open
