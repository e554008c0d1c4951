"""Shipping a network (`benchmarks/ship.py`): half precision; a card whose figures are read."""

import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from biounet.api import Model, train
from biounet.config import FAST, merged, validated_settings
from biounet.errors import InputError
from biounet.images.dataset import Annotated
from biounet.images.writing import write_image
from biounet.model import ModelFile, read_model, write_model
from biounet.networks import build_network
from biounet.simulate import simulate_cells

sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks"))

import ship


@pytest.fixture(scope="module")
def images() -> list[tuple[Any, Any]]:
    rng = np.random.default_rng(0)
    return [simulate_cells("nuclei", (96, 96), rng) for _ in range(4)]


@pytest.fixture(scope="module")
def trained(images: list[tuple[Any, Any]]) -> Model:
    settings = {"network": {"width": 6, "depth": 2}, "training": {"patch_px": 64}}
    return train(*zip(*images, strict=True), steps=60, settings=settings, device="cpu")


def test_half_precision_changes_no_label_to_speak_of(
    trained: Model, images: list[tuple[Any, Any]], tmp_path: Path
) -> None:
    small = ship.halved(trained.file)
    assert all(value.dtype == torch.float16 for value in small.weights.values())
    items = [
        Annotated(str(k), np.asarray(image)[None], labels.astype(np.int32))
        for k, (image, labels) in enumerate(images)
    ]
    found = np.mean([trained.segment(image) > 0 for image, _ in images])
    assert 0.02 < found < 0.9  # there is something to agree on
    assert ship.agreement(trained.file, small, items) >= 0.999
    write_model(small, tmp_path / "small.safetensors")
    write_model(trained.file, tmp_path / "single.safetensors")
    sizes = [(tmp_path / f"{n}.safetensors").stat().st_size for n in ("small", "single")]
    assert sizes[0] < 0.6 * sizes[1]
    back = read_model(tmp_path / "small.safetensors")
    assert all(torch.equal(back.weights[k], v.float()) for k, v in small.weights.items())
    other = {k: torch.randn_like(v) for k, v in trained.file.weights.items()}
    assert ship.agreement(trained.file, replace(trained.file, weights=other), items) < 0.999


def test_weights_beyond_half_precision_are_refused(trained: Model) -> None:
    weights = {k: v * 1e7 for k, v in trained.file.weights.items()}
    with pytest.raises(InputError, match="65504"):
        ship.halved(replace(trained.file, weights=weights))


def research(folder: Path, model: ModelFile, images: list[tuple[Any, Any]]) -> tuple[Path, Path]:
    """Files as `accuracy.py` leaves them: the result to ship, and one with scores."""
    for number, (image, labels) in enumerate(images):
        for kind, array in (("images", image), ("labels", labels.astype(np.uint16))):
            path = folder / "data/nuclei-all-gold" / kind / f"n{number}.tif"
            path.parent.mkdir(parents=True, exist_ok=True)
            write_image(path, array, "YX")
    common = {
        "set": "nuclei",
        "row": "fast",
        "changes": {"network": {"width": 6}},
        "options": {"truth": "gold", "start_from": None},
        "budget": ["minutes", 20],
        "images": None,
        "seed": 4,
        "n_training": 4,
        "held_out": "1 of 4",
        "commit": "abc1234",
        "version": "0.1.0",
        "machine": {"processor": "a CPU", "device": "cpu", "threads": 4, "torch": "2"},
        "minutes": {"training": 19.6},
        "steps": 1234,
    }
    shipped = {
        **common,
        "name": "nuclei-all",
        "part": "all",
        "trained_on": "all 4 images",
        "measured_on": "nothing",
        "commands": ["biounet train data/nuclei-all-gold --out runs/nuclei-all/run --minutes 20"],
        "scores": {},
    }
    values = {"ap50": 0.8642, "f1_50": 0.9, "ap75": 0.7, "mean_ap": 0.6}
    scored = {
        **common,
        "name": "nuclei-report",
        "part": "report",
        "trained_on": "50 of 420 images",
        "measured_on": "the other 370 of 420 images",
        "commands": ["biounet train data/nuclei-report-gold --out runs/nuclei-report/run"],
        "scores": {"none": values},
    }
    (folder / "results").mkdir(parents=True)
    paths = folder / "results/nuclei-all.json", folder / "results/nuclei-report.json"
    for path, tree in zip(paths, (shipped, scored), strict=True):
        path.write_text(json.dumps(tree))
    write_model(model, folder / "runs/nuclei-all/run/best.safetensors")
    return paths


def test_network_and_card(trained: Model, images: list[tuple[Any, Any]], tmp_path: Path) -> None:
    result, scores = research(tmp_path / "research", trained.file, images)
    out = tmp_path / "out"
    out.mkdir()
    path = ship.ship("nuclei", result, [scores], out)
    model = read_model(path)
    assert model.provenance["shipped_as"] == "nuclei"
    assert model.provenance["commit"] == "abc1234"
    assert model.provenance["data_hash"] == trained.file.provenance["data_hash"]
    card = (out / "nuclei.md").read_text()
    parts = ("Data", "Scores", "Limits", "How it was made")
    assert [line[3:] for line in card.splitlines() if line.startswith("## ")] == list(parts)
    for told in ("0.8642", "CC0", "Seed 4", "1,234 steps", "abc1234", "the other 370", "19.6"):
        assert told in card
    assert "--out runs/nuclei-all/run --minutes 20" in card
    assert {p.name for p in out.iterdir()} == {"nuclei.safetensors", "nuclei.md"}


def test_scores_of_another_recipe_or_part_are_refused(
    trained: Model, images: list[tuple[Any, Any]], tmp_path: Path
) -> None:
    result, scores = research(tmp_path / "research", trained.file, images)
    for change, told in (
        ({"changes": {}}, "other settings"),
        ({"options": {"truth": "silver", "start_from": None}}, "other settings"),
        ({"part": "choose"}, "part report"),
        ({"set": "usiigaci"}, "scores of nuclei"),
    ):
        other = tmp_path / "other.json"
        other.write_text(json.dumps({**json.loads(scores.read_text()), **change}))
        with pytest.raises(InputError, match=told):
            ship.ship("nuclei", result, [other], tmp_path)
    with pytest.raises(InputError, match="scores of dic-hela"):
        ship.ship("dic-cells", result, [scores], tmp_path)
    assert not list(tmp_path.glob("*.safetensors"))


def test_a_large_file_is_refused(
    trained: Model, images: list[tuple[Any, Any]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    result, scores = research(tmp_path / "research", trained.file, images)
    monkeypatch.setattr(ship, "LARGEST_BYTES", 10_000)
    out = tmp_path / "out"
    out.mkdir()
    with pytest.raises(InputError, match=r"less than 0\.01 MB"):
        ship.ship("nuclei", result, [scores], out)
    assert not list(out.iterdir())


def test_width_24_at_depth_4_is_small_enough() -> None:
    settings = validated_settings(merged(FAST.model_dump(), {"network": {"width": 24, "depth": 4}}))
    with torch.device("meta"):
        weights = build_network(settings.network).state_dict().values()
    assert 2 * sum(value.numel() for value in weights) < ship.LARGEST_BYTES - 100_000
