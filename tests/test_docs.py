"""What the documentation says is true: its blocks run, its commands and settings exist."""

import importlib.util
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image
from roifile import ImagejRoi, roiwrite

from biounet.cli import app
from biounet.commands.predict import predict
from biounet.commands.said import said_settings
from biounet.config import merged, preset_named, validated_settings
from biounet.images import find_dataset, read_image, write_image
from biounet.shipped import FOLDER
from biounet.simulate import simulate_cells

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
OWN_PAGES = sorted(
    page
    for page in DOCS.rglob("*.md")
    if page.name not in ("results.md", "research.md", "performance.md", "scale.md")
)
SMALL = "--set network.width=4 --set network.depth=1 --set training.patch_px=24"


def blocks(page: Path) -> list[tuple[str, str]]:
    """(language, text) of each block, in order."""
    return re.findall(r"^```(\w+)\n(.*?)^```", page.read_text(), re.DOTALL | re.MULTILINE)


def commands(page: Path) -> list[str]:
    lines = [line for kind, text in blocks(page) if kind == "console" for line in text.splitlines()]
    lines = [re.sub(r"^torchrun .* -m ", "", line) for line in lines if "biounet " in line]
    return [line.removeprefix(".venv/bin/") for line in lines]


def run(words: list[str], folder: Path) -> None:
    done = subprocess.run(
        [sys.executable, *words], cwd=folder, capture_output=True, text=True, timeout=200
    )
    assert done.returncode == 0, f"{words}\n{done.stderr}"


def test_no_change_of_layout_empties_these_tests() -> None:
    counts = {page.name: [kind for kind, _ in blocks(page)] for page in OWN_PAGES}
    assert counts["tutorial.md"] == ["python", *["console"] * 5, "python"]
    assert sum(kinds.count("console") for kinds in counts.values()) == 37
    assert sum(kinds.count("python") for kinds in counts.values()) == 6
    assert sum(len(commands(page)) for page in OWN_PAGES) == 56


def test_the_tutorial_runs(tmp_path: Path) -> None:
    for kind, text in blocks(DOCS / "tutorial.md"):
        if kind == "python":
            run(["-W", "ignore", "-c", text.replace("(256, 256)", "(96, 96)")], tmp_path)
            continue
        for command in text.splitlines():
            small = re.sub(r"--minutes \d+", f"--steps 3 {SMALL}", command)
            assert small != command or not command.startswith("biounet train")
            run(["-W", "ignore", "-m", "biounet", *shlex.split(small)[1:]], tmp_path)
    names = {path.name for path in (tmp_path / "segmented").iterdir()}
    assert {f"cells08_{end}" for end in ("labels.tif", "table.csv")} <= names
    assert (tmp_path / "run" / "report.html").exists()
    assert (tmp_path / "cells.safetensors").exists()


@pytest.mark.parametrize(
    "command", [c for page in OWN_PAGES for c in commands(page)], ids=lambda c: c[:60]
)
def test_every_command_is_understood(command: str) -> None:
    _, bound, _ = app.parse_args(shlex.split(command)[1:], exit_on_error=False, print_error=False)
    said = said_settings(None, bound.arguments.get("change", ()))
    validated_settings(merged(preset_named("fast").model_dump(), said))
    saved = bound.arguments.get("save", "labels").split(",")
    assert set(saved) <= set(re.findall(r"\w+", predict.__doc__ or ""))


@pytest.mark.parametrize(
    "change",
    [
        change
        for page in OWN_PAGES
        for change in re.findall(r"--set (\w+\.\w+=[\w.-]+)", page.read_text())
    ],
)
def test_every_setting_exists(change: str) -> None:
    said = said_settings(None, (change,))
    validated_settings(merged(preset_named("fast").model_dump(), said))


def test_every_flag_exists() -> None:
    help_of = {name: app[name].assemble_argument_collection() for name in app if name[0] != "-"}
    known = {flag for arguments in help_of.values() for a in arguments for flag in a.names}
    known |= {"--help", "--version"}
    own = {"--train", "--dir", "--mask_filter", "--pretrained_model", "--save_rois", "--diameter"}
    own |= {"--flow_threshold", "--cellprob_threshold", "--stitch_threshold"}
    own |= {"--config", "--port", "--logdir", "--nworkers", "--nthreads"}  # of other programs
    own |= {"--standalone", "--nproc-per-node", "--nnodes"}  # of torchrun
    own |= {"--rdzv-backend", "--rdzv-id", "--rdzv-endpoint"}
    own |= {"--nodes", "--ntasks-per-node", "--gpus-per-node"}  # of SLURM
    own |= {"--cpus-per-task", "--time"}
    for page in OWN_PAGES:
        flags = set(re.findall(r"(?<![\w-])--[a-z][\w-]+", page.read_text()))
        assert flags <= known | own, (page, flags - known - own)


def test_the_file_of_settings_is_one() -> None:
    (text,) = [t for kind, t in blocks(DOCS / "howto" / "settings.md") if kind == "yaml"]
    tree = yaml.safe_load(text)
    settings = validated_settings(merged(preset_named(tree["preset"]).model_dump(), tree))
    assert settings.training.minutes == 30


def test_rois_become_labels(tmp_path: Path) -> None:
    write_image(tmp_path / "image.tif", np.zeros((20, 30), np.uint8), "YX")
    squares = [np.array([[x, 5], [x + 6, 5], [x + 6, 11], [x, 11]]) for x in (2, 15)]
    roiwrite(tmp_path / "RoiSet.zip", [ImagejRoi.frompoints(square) for square in squares])
    (text,) = [t for kind, t in blocks(DOCS / "howto" / "programs.md") if kind == "python"]
    run(["-c", text], tmp_path)
    labels = np.asarray(read_image(tmp_path / "image_labels.tif").data)
    assert labels[8, 5] == 1
    assert labels[8, 18] == 2
    assert set(np.unique(labels)) == {0, 1, 2}


def test_labels_by_another_threshold(tmp_path: Path) -> None:
    image, _ = simulate_cells("nuclei", (96, 96), np.random.default_rng(0))
    write_image(tmp_path / "image.tif", image, "YX")
    shutil.copy(FOLDER / "nuclei.safetensors", tmp_path / "model.safetensors")
    (text,) = [t for kind, t in blocks(DOCS / "howto" / "touching.md") if kind == "python"]
    text = text.replace("my-run", "model.safetensors")
    own = "assert (labels != biounet.load('model.safetensors').segment('image.tif')).any()"
    run(["-c", f"{text}{own}"], tmp_path)


def test_cells_cut_into_slices(tmp_path: Path) -> None:
    page = (DOCS / "howto" / "volumes.md").read_text()
    (text,) = [t for k, t in blocks(DOCS / "howto" / "volumes.md") if k == "python"]
    done = subprocess.run(
        [sys.executable, "-c", text], cwd=tmp_path, capture_output=True, text=True, timeout=200
    )
    found = [f"{float(line):.2f}" for line in done.stdout.split()]
    assert f"an F1 (at IoU 0.5) of {found[0]}, with 0.25 of {found[1]}," in page


def test_nuclei_of_another_magnification(tmp_path: Path) -> None:
    (text,) = [t for k, t in blocks(DOCS / "howto" / "magnification.md") if k == "python"]
    assert text.count("512") == 2
    small = text.replace("512", "96")
    run(["-W", "ignore", "-c", f"{small}\nassert labels.max() > 3"], tmp_path)


@pytest.mark.parametrize(
    ("image", "label"),
    [
        ("imagesTr/a_0000.tif", "labelsTr/a.tif"),  # nnU-Net
        ("a.tif", "a_masks.tif"),  # Cellpose
        ("a.tif", "a_cp_masks.tif"),
        ("images/a.tif", "masks/a.tif"),  # StarDist
        ("train/images/a.tif", "train/masks/a.tif"),
        ("train/raw/a.tif", "train/label/a.tif"),  # BiaPy
    ],
)
def test_folders_of_others_are_read(image: str, label: str, tmp_path: Path) -> None:
    for name, dtype in ((image, np.uint8), (label, np.uint16)):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        write_image(tmp_path / name, np.eye(40, dtype=dtype), "YX")
    assert len(find_dataset([tmp_path]).items) == 1


def test_the_figures_are_those_that_the_script_makes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = importlib.util.spec_from_file_location("make_figures", DOCS / "make_figures.py")
    assert spec is not None
    assert spec.loader is not None
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    monkeypatch.setattr(script, "IMAGES", tmp_path)
    script.main()
    made = sorted(tmp_path.iterdir())
    assert len(made) == 5
    for path in made:
        kept = DOCS / "images" / path.name
        assert kept.stat().st_size < 200_000
        new, old = (np.asarray(Image.open(p).convert("RGB"), np.float64) for p in (path, kept))
        assert new.shape == old.shape
        assert np.abs(new - old).mean() < 4  # of 255: rounding moves the choice of colours


def test_the_site_builds(tmp_path: Path) -> None:
    pytest.importorskip("mkdocs")
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "-d", str(tmp_path / "site")],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=200,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
    )
    assert done.returncode == 0, done.stderr
    for text in ("learning_rate", "border_sigma_px"):
        assert text in (tmp_path / "site" / "howto" / "settings" / "index.html").read_text()
