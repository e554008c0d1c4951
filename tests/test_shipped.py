"""Networks by name: where they are found, what goes before them, what an unknown name tells."""

import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

import biounet
from biounet import shipped
from biounet.api import find_model
from biounet.cli import main
from biounet.config import FAST, merged, validated_settings
from biounet.errors import InputError
from biounet.images.writing import write_image
from biounet.inspection import describe
from biounet.model import Intensity, ModelFile, read_model, write_model
from biounet.networks import build_network
from biounet.shipped import SHIPPED, find_model_file, shipped_networks
from biounet.simulate import simulate_cells


def a_model(seed: int) -> ModelFile:
    settings = validated_settings(merged(FAST.model_dump(), {"network": {"width": 3, "depth": 1}}))
    torch.manual_seed(seed)
    weights = build_network(settings.network).state_dict()
    return ModelFile(
        settings, weights, ("background", "cell"), Intensity((0.0,), (1.0,)), {"seed": seed}
    )


@pytest.fixture
def box(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An installation with one of the networks, and an empty working folder."""
    folder = tmp_path / "installed"
    folder.mkdir()
    write_model(a_model(7), folder / "nuclei.safetensors")
    (folder / "nuclei.md").write_text("# nuclei\n\nTerms: CC0.\n")
    monkeypatch.setattr(shipped, "FOLDER", folder)
    work = tmp_path / "work"
    work.mkdir()
    monkeypatch.chdir(work)
    return folder


def test_a_name_is_found_everywhere_a_model_is(box: Path) -> None:
    assert find_model_file("nuclei") == box / "nuclei.safetensors"
    assert find_model(Path("nuclei")).provenance == {"seed": 7}
    assert biounet.load("nuclei", device="cpu", engine="torch").file.provenance == {"seed": 7}


@pytest.mark.usefixtures("box")
def test_a_file_or_run_folder_of_the_name_goes_before() -> None:
    here = Path("nuclei")
    write_model(a_model(1), here)
    assert find_model("nuclei").provenance == {"seed": 1}
    here.unlink()
    write_model(a_model(2), here / "best.safetensors")
    assert find_model("nuclei").provenance == {"seed": 2}
    (here / "best.safetensors").unlink()
    (here / "settings.yaml").write_text("")  # a run that has no model yet is told so
    with pytest.raises(InputError, match=r"nuclei/best\.safetensors"):
        find_model("nuclei")


@pytest.mark.usefixtures("box")
def test_a_folder_of_images_of_the_name_does_not() -> None:
    Path("nuclei/images").mkdir(parents=True)
    assert find_model("nuclei").provenance == {"seed": 7}


@pytest.mark.usefixtures("box")
def test_a_name_that_is_none_tells_those_that_are() -> None:
    with pytest.raises(InputError, match=r"no file nucli; wanted .*comes with biounet \(nuclei\)"):
        find_model("nucli")
    with pytest.raises(InputError, match=r"dic-cells, a network that this installation lacks"):
        find_model("dic-cells")


@pytest.mark.usefixtures("box")
def test_inspect_names_them_and_shows_a_card() -> None:
    told = describe([])
    assert all(name in told for name in SHIPPED)
    assert told.count("not in this installation") == len(SHIPPED) - 1
    told = describe([Path("nuclei")])
    assert "a unet of" in told
    assert "Terms: CC0." in told


def run(monkeypatch: pytest.MonkeyPatch, *words: str | Path) -> int:
    monkeypatch.setattr(sys, "argv", ["biounet", *map(str, words)])
    with pytest.raises(SystemExit) as exit_:
        main()
    return int(exit_.value.code or 0)


@pytest.mark.usefixtures("box")
def test_the_commands_take_a_name(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    rng = np.random.default_rng(0)
    for number in range(2):
        image, labels = simulate_cells("nuclei", (48, 52), rng)
        for kind, array in (("images", image), ("labels", labels.astype(np.uint16))):
            path = Path("nuclei") / kind / f"n{number}.tif"
            path.parent.mkdir(parents=True, exist_ok=True)
            write_image(path, array, "YX")
    fast = ("--device", "cpu", "--engine", "torch", "--precision", "float32")
    assert run(monkeypatch, "predict", "nuclei", "nuclei/images", "--out", "out", *fast) == 0
    assert Path("out/n1_labels.tif").is_file()
    train = ("train", "nuclei", "--out", "run", "--steps", "2", "--set", "training.patch_px=16")
    assert run(monkeypatch, *train, "--from", "nuclei") == 0
    assert read_model(Path("run/best.safetensors")).settings.network.width == 3
    assert run(monkeypatch, "predict", "nucle", "nuclei/images", "--out", "no") == 2
    assert "comes with biounet (nuclei)" in capsys.readouterr().err
    shutil.rmtree("nuclei")
    assert run(monkeypatch, "inspect", "nuclei") == 0
    assert run(monkeypatch, "inspect") == 0


@pytest.mark.parametrize("network", [n for n in shipped_networks() if n.is_here], ids=str)
def test_what_is_shipped_is_small_and_has_a_card(network: shipped.ShippedNetwork) -> None:
    assert network.model.stat().st_size < 10e6
    model = read_model(network.model)
    assert model.settings.network.dimensions == 2
    card = network.card.read_text(encoding="utf-8")
    assert all(f"## {part}" in card for part in ("Data", "Scores", "Limits", "How it was made"))
