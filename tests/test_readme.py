"""Every command and every line of Python of the README runs, on simulated images."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from biounet.images.writing import write_image
from biounet.simulate import simulate_cells

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)


def commands() -> list[str]:
    lines = [line for block in blocks("console") for line in block.splitlines()]
    return [line.split("  #")[0].strip() for line in lines if line.startswith("biounet ")]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """What the README assumes: annotated images, and new ones."""
    rng = np.random.default_rng(0)
    for name in ("my-folder/images", "my-folder/labels", "new-images", "true-labels"):
        (tmp_path / name).mkdir(parents=True)
    for number in range(4):
        image, labels = simulate_cells("touching-cells", (96, 96), rng)
        own = (
            ("my-folder/images", "my-folder/labels")
            if number < 3
            else ("new-images", "true-labels")
        )
        write_image(tmp_path / own[0] / f"cells{number}.tif", image, "YX")
        write_image(tmp_path / own[1] / f"cells{number}.tif", labels.astype(np.uint16), "YX")
    return tmp_path


def test_the_readme_names_what_there_is() -> None:
    assert len(commands()) >= 6  # so that a change of layout cannot empty the tests below
    assert len(blocks("python")) == 1
    targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert set(re.findall(r"^    make ([a-z-]+)", README, re.MULTILINE)) <= set(targets)
    for path in re.findall(r"`(docs/[\w.-]+|[A-Z]+\.md)`", README):
        assert (ROOT / path).exists(), path


def test_every_command_runs(folder: Path) -> None:
    small = "--set network.width=4 --set network.depth=1 --set training.patch_px=24"
    for command in commands():
        if command.startswith("biounet demo"):
            continue  # has a test of its own
        command = re.sub(r"--minutes \d+", "--steps 3", command)
        words = shlex.split(command + (" " + small if command.startswith("biounet train") else ""))
        done = subprocess.run(
            [sys.executable, "-W", "ignore", "-m", "biounet", *words[1:]],
            cwd=folder,
            capture_output=True,
            text=True,
            timeout=200,
        )
        assert done.returncode == 0, f"{command}\n{done.stderr}"
    assert (folder / "segmented" / "cells3_labels.tif").exists()


def test_the_python_runs(folder: Path) -> None:
    (code,) = blocks("python")
    assert "minutes=10" in code
    code = code.replace("minutes=10", "steps=2, settings={'network': {'width': 4, 'depth': 1}}")
    images = "from pathlib import Path\nfrom biounet.images import read_image\n"
    images += "images = sorted(Path('my-folder/images').iterdir())\n"
    images += "labels = sorted(Path('my-folder/labels').iterdir())\n"
    images += "image = read_image(images[0]).data\n"
    done = subprocess.run(
        [sys.executable, "-c", images + code + "\nassert labels.shape == (96, 96)\n"],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=200,
        env={**os.environ, "PYTHONWARNINGS": "error::UserWarning:biounet"},
    )
    assert done.returncode == 0, done.stderr
    assert (folder / "cells.safetensors").exists()


def test_the_demo_goes_to_its_end(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-m", "biounet", "demo", "--minutes", "0.2"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=200,
    )
    assert done.returncode == 0, done.stderr
    assert re.search(r"report: demo/report.html\nAP50 \d\.\d\d\n$", done.stdout)
    assert len(list((tmp_path / "demo" / "predicted").iterdir())) == 6


@pytest.mark.slow
def test_the_demo_finds_the_cells(tmp_path: Path) -> None:
    done = subprocess.run(
        [
            sys.executable,
            "-W",
            "ignore",
            "-m",
            "biounet",
            "demo",
            "--out",
            str(tmp_path / "demo"),
        ],
        capture_output=True,
        text=True,
        timeout=290,
    )
    assert done.returncode == 0, done.stderr
    report, score = done.stdout.splitlines()[-2:]
    assert Path(report.removeprefix("report: ")).exists()
    assert float(score.removeprefix("AP50 ")) >= 0.8
