"""A reproduction killed again and again, by the real signal, ends as if nothing had happened."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from biounet.images.writing import write_image
from biounet.simulate import simulate_cells

SCRIPT = """
import sys
from biounet.reproduce import run
from biounet.reproduce.contest import Contestant
run.NETWORKS = (
    Contestant("unet", "U-Net", {"kind": "unet", "width": 2, "depth": 1}),
    Contestant("fcn", "FCN", {"kind": "fcn", "width": 2, "depth": 1, "head_px": 1}),
)
import biounet.cli
sys.argv[0] = "biounet"
biounet.cli.main()
"""
STEPS = 40


def start(data: Path, out: Path) -> subprocess.Popen[bytes]:
    words = ["reproduce", "isbi2012", "--data", data, "--out", out, "--windows", ""]
    change = [f"training.steps={STEPS}", "training.patch_px=24", "training.checkpoint_s=0"]
    words += ["--device", "cpu"]
    words += [word for one in change for word in ("--set", one)]
    return subprocess.Popen(
        [sys.executable, "-c", SCRIPT, *map(str, words)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )


def finish(process: subprocess.Popen[bytes]) -> None:
    try:
        _, errors = process.communicate(timeout=280)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
        raise
    assert process.returncode == 0, errors.decode()


def lines_of(path: Path) -> int:
    return path.read_text().count("\n") if path.exists() else 0


@pytest.fixture
def data(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    for number in range(9):
        image, labels = simulate_cells("nuclei", (40, 44), rng)
        for kind, array in (("images", image), ("labels", (labels > 0) * np.uint8(255))):
            path = tmp_path / "data" / kind / f"n{number}.tif"
            path.parent.mkdir(parents=True, exist_ok=True)
            write_image(path, array, "YX")
    return tmp_path / "data"


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_killed_at_each_stage(tmp_path: Path, data: Path) -> None:
    whole, out = tmp_path / "whole", tmp_path / "killed"
    finish(start(data, whole))
    stages = {
        "experiment noted": lambda: (out / "experiment.json").exists(),
        "in training": lambda: (out / "unet/run/checkpoint/state.safetensors").exists(),
        "in prediction": lambda: lines_of(out / "unet/predicted.jsonl") >= 1,
        "first network done": lambda: (out / "unet/result.json").exists(),
        "first table": lambda: (out / "table.json").exists(),
        "second in training": lambda: (out / "fcn/run/checkpoint/state.safetensors").exists(),
    }
    n_killed = 0
    for is_reached in stages.values():
        process = start(data, out)
        while not is_reached() and process.poll() is None:
            time.sleep(0.002)
        process.send_signal(signal.SIGKILL)
        _, errors = process.communicate()
        assert process.returncode in (0, -signal.SIGKILL), errors.decode()
        n_killed += process.returncode != 0
    assert n_killed >= 4  # on a busy machine a signal can come after the end
    finish(start(data, out))
    again, expected = (json.loads((f / "table.json").read_text()) for f in (out, whole))
    for network, other in zip(again["results"], expected["results"], strict=True):
        assert network["scores"] == other["scores"]
        assert network["steps"] == other["steps"] == STEPS
        assert len(network["seconds"]) == len(other["seconds"]) == 3
    log = (out / "unet/run/log.jsonl").read_text().splitlines()
    assert any(json.loads(line)["kind"] == "resumed" for line in log)
