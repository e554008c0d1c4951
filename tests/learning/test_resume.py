"""Runs that are killed: the same bits as the run that never was."""

import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from biounet.images.writing import write_image
from biounet.learning.run_folder import RunFolder, read_records
from biounet.simulate import simulate_cells

TRAIN = "import sys; from biounet.cli import main; main()"


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    rng = np.random.default_rng(0)
    for number in range(4):
        image, labels = simulate_cells("nuclei", (80, 80), rng)
        for kind, array in (("images", image), ("labels", labels.astype(np.uint16))):
            (folder / kind).mkdir(exist_ok=True)
            write_image(folder / kind / f"n{number}.tif", array, "YX")
    return folder


def command(data: Path, out: Path, steps: int) -> list[str]:
    small = {
        "network.width": 4,
        "network.depth": 2,
        "network.dropout": 0.3,
        "training.patch_px": 32,
        "training.checkpoint_s": 0,
        "training.validations": 5,
    }
    changes = [part for k, v in small.items() for part in ("--set", f"{k}={v}")]
    return [
        sys.executable, "-W", "ignore", "-c", TRAIN, "train", str(data), "--out", str(out),
        "--steps", str(steps), "--resume", *changes,
    ]  # fmt: skip


def run_to_the_end(data: Path, out: Path, steps: int) -> None:
    done = subprocess.run(command(data, out, steps), capture_output=True, text=True, timeout=250)
    assert done.returncode == 0, done.stderr


def assert_same_weights(a: Path, b: Path) -> None:
    for name in ("best.safetensors", "last.safetensors"):
        one, other = load_file(a / name), load_file(b / name)
        assert one.keys() == other.keys()
        assert all(torch.equal(one[k], other[k]) for k in one), name


def kill_and_resume(data: Path, out: Path, steps: int, n_kills: int, seed: int) -> int:
    """Kill the run at random moments, then let it finish; how often it was killed in time."""
    rng, killed = random.Random(seed), 0
    for _ in range(n_kills):
        process = subprocess.Popen(
            command(data, out, steps), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        log = out / "log.jsonl"
        lines = len(log.read_text().splitlines()) if log.exists() else 0
        deadline = time.monotonic() + 60
        # Half of the kills come while it starts, half after it has done steps of its own.
        wanted = lines + rng.choice([0, rng.randint(2, 30)])
        while process.poll() is None and time.monotonic() < deadline:
            if wanted == lines and time.monotonic() > deadline - 60 + rng.uniform(0, 5):
                break
            if log.exists() and len(log.read_text().splitlines()) > wanted > lines:
                break
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
        killed += process.wait() == -signal.SIGKILL
    run_to_the_end(data, out, steps)
    return killed


def test_killed_runs_end_with_the_same_weights(data: Path, tmp_path: Path) -> None:
    run_to_the_end(data, tmp_path / "whole", 60)
    assert kill_and_resume(data, tmp_path / "killed", 60, n_kills=3, seed=1) >= 2
    assert_same_weights(tmp_path / "whole", tmp_path / "killed")
    records = read_records(RunFolder(tmp_path / "killed"))
    steps = [r["step"] for r in records if r["kind"] == "step"]
    assert steps == sorted(set(steps))
    validations = [r["step"] for r in records if r["kind"] == "validation"]
    assert len(validations) == 5
    assert [r for r in records if r["kind"] == "resumed"]


def test_resuming_a_finished_run_changes_nothing(data: Path, tmp_path: Path) -> None:
    run_to_the_end(data, tmp_path / "run", 4)
    before = {p: p.read_bytes() for p in (tmp_path / "run").glob("*.safetensors")}
    run_to_the_end(data, tmp_path / "run", 4)
    assert before == {p: p.read_bytes() for p in (tmp_path / "run").glob("*.safetensors")}


def test_ctrl_c_leaves_a_usable_model(data: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    process = subprocess.Popen(command(data, out, 100_000), stderr=subprocess.PIPE, text=True)
    while not (out / "log.jsonl").exists() or '"step"' not in (out / "log.jsonl").read_text():
        time.sleep(0.05)
        assert process.poll() is None
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Traceback" not in errors
    assert (out / "last.safetensors").exists()
    assert (out / "best.safetensors").exists()


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_many_kills(data: Path, tmp_path: Path) -> None:
    run_to_the_end(data, tmp_path / "whole", 200)
    for seed in range(4):
        out = tmp_path / f"killed{seed}"
        kill_and_resume(data, out, 200, n_kills=13, seed=seed)
        assert_same_weights(tmp_path / "whole", out)
