"""Several processes make the steps of one; they may be killed, and go on in another number.

Real processes, begun by `torchrun`; the one process that they are compared with runs here.
"""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from biounet.api import train_dataset
from biounet.errors import InputError
from biounet.images import find_dataset, write_image
from biounet.learning.checkpoint import read_position
from biounet.learning.processes import (
    ALONE,
    Processes,
    joined_processes,
    refuse_running_statistics,
    share_of,
)
from biounet.learning.run_folder import Record, RunFolder, read_records
from biounet.learning.setup import Request, _check_alike
from biounet.simulate import simulate_cells

NOT_ANNOTATED = 999
LONG = 100
"""Steps of a run that there is time to kill."""

ROUNDING = 5e-4
"""After `LONG` steps: rounding turns a ReLU now and then (1e-4 seen), and weights move by 5e-2."""

SETTINGS: dict[str, Any] = {
    "network": {"width": 4, "depth": 2, "dropout": 0.0},
    "training": {
        "patch_px": 32,
        "batch": 4,
        "precision": "float32",
        "optimiser": "sgd",
        "learning_rate": 2e-3,
        "warmup_steps": 0,
        "gradient_norm": 0.5,
        "average_decay": 0.9,
        "validations": 2,
        "checkpoint_s": 0,
    },
}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Images of which every other one is annotated in its first rows alone."""
    folder = tmp_path_factory.mktemp("data")
    rng = np.random.default_rng(0)
    for number in range(5):
        image, labels = simulate_cells("nuclei", (80, 80), rng)
        if number % 2:
            labels[20:] = NOT_ANNOTATED
        for kind, array in (("images", image), ("labels", labels.astype(np.uint16))):
            (folder / kind).mkdir(exist_ok=True)
            write_image(folder / kind / f"n{number}.tif", array, "YX")
    return folder


def in_one_process(
    data: Path, out: Path, steps: int, batch: int = 4, stop_at: int | None = None
) -> None:
    """Train in this process, or go on; as by Ctrl-C it ends after `stop_at` steps."""

    def on_record(record: Record) -> None:
        if record["kind"] == "step" and record["step"] == stop_at:
            raise KeyboardInterrupt

    training = {**SETTINGS["training"], "batch": batch, "steps": steps}
    request = Request(
        preset="fast",
        said={**SETTINGS, "training": training},
        device="cpu",
        start_from=None,
        started=time.monotonic(),
        command="",
    )
    dataset = find_dataset([data], ignore_value=NOT_ANNOTATED)
    train_dataset(dataset, request, out, True, on_record)


def begin_two(data: Path, out: Path, steps: int, batch: int = 2) -> subprocess.Popen[str]:
    """Begin to train in two processes."""
    said = {f"{section}.{k}": v for section, tree in SETTINGS.items() for k, v in tree.items()}
    said["training.batch"] = batch
    changes = [part for name, value in said.items() for part in ("--set", f"{name}={value}")]
    return subprocess.Popen(
        [
            sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2",
            "-m", "biounet", "train", str(data), "--out", str(out), "--steps", str(steps),
            "--device", "cpu", "--ignore-value", str(NOT_ANNOTATED), "--resume", *changes,
        ],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "ignore"},
    )  # fmt: skip


def in_two_processes(data: Path, out: Path, steps: int) -> str:
    """What they say on standard output, having trained to the end."""
    launched = begin_two(data, out, steps)
    said, errors = launched.communicate(timeout=250)
    assert launched.returncode == 0, errors
    return said


def wait_for_step(launched: subprocess.Popen[str], out: Path, step: int) -> None:
    while not any(r.get("step", 0) >= step for r in read_records(RunFolder(out))):
        assert launched.poll() is None, launched.communicate()[1]
        time.sleep(0.02)


def process_of_rank(launched: subprocess.Popen[str], rank: int) -> psutil.Process:
    children = psutil.Process(launched.pid).children()
    return next(child for child in children if child.environ().get("RANK") == str(rank))


def own_words(errors: str) -> list[str]:
    """Of standard error: the lines of biounet."""
    return [line for line in errors.splitlines() if line.startswith("biounet: ")]


def state_of(run: Path) -> dict[str, torch.Tensor]:
    """Weights and averaged weights at the end of a run."""
    state = load_file(RunFolder(run).checkpoint)
    assert {name.split(".")[0] for name in state} == {
        "weight",
        "affinities",
        "optimiser",
        "average",
    }
    return {name: value for name, value in state.items() if not name.startswith("optimiser.")}


def largest_difference(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> float:
    assert one.keys() == other.keys()
    return max(float((one[name] - other[name]).abs().max()) for name in one)


@pytest.fixture(scope="module")
def whole(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A long run of one process that nothing interrupted."""
    out = tmp_path_factory.mktemp("whole") / "run"
    in_one_process(data, out, LONG)
    return out


def test_two_processes_make_the_steps_of_one_with_twice_the_batch(
    data: Path, tmp_path: Path
) -> None:
    said = in_two_processes(data, tmp_path / "two", 10)
    assert said.count("report:") == 1
    in_one_process(data, tmp_path / "one", 10)
    with pytest.raises(KeyboardInterrupt):
        in_one_process(data, tmp_path / "begun", 10, stop_at=1)
    one, two, begun = (state_of(tmp_path / name) for name in ("one", "two", "begun"))
    assert largest_difference(one, begun) > 1e-4  # they have learned something
    assert largest_difference(one, two) < 1e-5
    logs = [read_records(RunFolder(tmp_path / name)) for name in ("one", "two")]
    losses = [[r["loss"] for r in log if r["kind"] == "step"] for log in logs]
    assert len(losses[0]) == 10
    assert losses[1] == pytest.approx(losses[0], abs=1e-5)
    scores = [[r["value"] for r in log if r["kind"] == "validation"] for log in logs]
    assert len(scores[0]) == len(scores[1]) == 2
    start = next(r for r in logs[1] if r["kind"] == "start")
    assert (start["processes"], start["patches_per_step"]) == (2, 4)
    choices = {r["name"]: r for r in logs[1] if r["kind"] == "choice"}
    assert choices["training.processes"]["why"] == "a step takes 4: 2 in each process"


def test_a_lost_process_ends_the_others_and_one_goes_on(
    data: Path, whole: Path, tmp_path: Path
) -> None:
    out = tmp_path / "run"
    launched = begin_two(data, out, LONG)
    wait_for_step(launched, out, 20)
    process_of_rank(launched, 1).kill()
    _, errors = launched.communicate(timeout=60)
    assert launched.returncode != 0
    (words,) = own_words(errors)
    assert "not all processes are there any more" in words
    assert "give the same command with --resume" in words
    assert not (out / "last.safetensors").exists()
    assert 0 < read_position(RunFolder(out).checkpoint).step < LONG

    in_one_process(data, out, LONG, batch=2)  # 2 in each of 2 processes, as it began
    assert largest_difference(state_of(whole), state_of(out)) < ROUNDING
    resumed = next(r for r in read_records(RunFolder(out)) if r["kind"] == "resumed")
    assert (resumed["processes"], resumed["patches_per_step"]) == (1, 4)


def test_two_processes_go_on_with_a_run_of_one(data: Path, whole: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    with pytest.raises(KeyboardInterrupt):
        in_one_process(data, out, LONG, stop_at=50)
    launched = begin_two(data, out, LONG, batch=4)
    _, errors = launched.communicate(timeout=250)
    assert launched.returncode == 0, errors
    assert largest_difference(state_of(whole), state_of(out)) < ROUNDING
    resumed = next(r for r in read_records(RunFolder(out)) if r["kind"] == "resumed")
    assert resumed["resumed_at_step"] >= 49
    assert (resumed["processes"], resumed["patches_per_step"]) == (2, 4)


@pytest.mark.slow
def test_ctrl_c_ends_both_with_a_usable_model(data: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    launched = begin_two(data, out, 4000)
    wait_for_step(launched, out, 5)
    process_of_rank(launched, 1).send_signal(signal.SIGINT)  # process 0 is to answer it
    wait_for_step(launched, out, 40 + read_records(RunFolder(out))[-1]["step"])
    children = psutil.Process(launched.pid).children()
    launched.send_signal(signal.SIGINT)
    _, errors = launched.communicate(timeout=60)
    assert not any(child.is_running() for child in children)
    (words,) = own_words(errors)
    assert "stopped; the model so far is" in words
    assert read_records(RunFolder(out))[-1]["interrupted"]
    assert (out / "last.safetensors").exists()
    assert not read_position(RunFolder(out).checkpoint).finished


def test_a_mistake_is_told_once_and_leaves_nothing(tmp_path: Path) -> None:
    launched = begin_two(tmp_path / "nowhere", tmp_path / "run", 10)
    _, errors = launched.communicate(timeout=60)
    assert launched.returncode != 0
    assert len(own_words(errors)) == 1, errors
    assert "nowhere" in own_words(errors)[0]
    assert not (tmp_path / "run").exists()


def test_patches_are_shared_evenly_or_not_at_all() -> None:
    assert [list(share_of(Processes(rank, 3), 6)) for rank in range(3)] == [[0, 1], [2, 3], [4, 5]]
    assert list(share_of(ALONE, 5)) == [0, 1, 2, 3, 4]
    with pytest.raises(InputError, match=r"4 processes for a run of 6 patches .*; start 3 "):
        share_of(Processes(0, 4), 6)


def test_statistics_over_a_batch_are_refused_in_several_processes() -> None:
    network = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2))
    with pytest.raises(InputError, match="statistics over the batch, and 2 processes"):
        refuse_running_statistics(Processes(0, 2), network)
    refuse_running_statistics(ALONE, network)
    refuse_running_statistics(Processes(0, 2), network[:1])


def test_other_versions_and_other_data_are_refused() -> None:
    _check_alike([("1", "2", "a"), ("1", "2", "a")])
    with pytest.raises(InputError, match="biounet 2 in process 1, 1 in process 0"):
        _check_alike([("1", "2", "a"), ("2", "2", "a")])
    with pytest.raises(InputError, match="images and labels b in process 2, a in process 0"):
        _check_alike([("1", "2", "a"), ("1", "2", "a"), ("1", "2", "b")])


def test_alone_without_torchrun(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TORCHELASTIC_RUN_ID", raising=False)
    monkeypatch.setenv("WORLD_SIZE", "8")  # set by schedulers too
    with joined_processes("cpu") as processes:
        assert processes == ALONE


ALL_ALIKE = """
import os
import signal
import torch
from biounet.config import Settings, TrainingSettings, UNetSettings
from biounet.errors import InputError
from biounet.learning.processes import from_all, from_first, joined_processes
from biounet.learning.sampling import Batch
from biounet.learning.step import make_learner, train_step
from biounet.networks import build_network

with joined_processes("cpu") as processes:
    torch.manual_seed(0)
    network = build_network(UNetSettings(width=2, depth=1, dropout=0.5))
    training = TrainingSettings(average_decay=0.9, gradient_norm=0.1, learning_rate=0.1)
    settings = Settings(training=training)
    learner = make_learner(network, training, torch.device("cpu"), "float32")
    torch.manual_seed(processes.rank)
    annotated = torch.zeros(1, 4, 4)
    if processes.is_first:  # nobody annotated anything of the other's patch
        annotated[:] = 1
    batch = Batch(torch.randn(1, 1, 20, 20), torch.ones(1, 4, 4), annotated, annotated)
    losses = [train_step(learner, batch, 0.1, step, settings, processes) for step in range(3)]
    state = [p.detach().clone() for p in network.parameters()] + learner.average
    for values in zip(*from_all(processes, state), strict=True):
        assert torch.equal(values[0], values[1])
    assert not torch.equal(state[0], learner.average[0])
    assert losses[0] > 0
    assert len(set(from_all(processes, tuple(losses)))) == 1
    drawn = from_all(processes, torch.rand(1).item())
    assert drawn[0] != drawn[1]  # drop-out
    assert from_first(processes, lambda: processes.rank) == 0
    words = ""
    if processes.is_first:
        try:
            os.kill(os.getpid(), signal.SIGTERM)
        except InputError as error:
            words = str(error)
    assert "SIGTERM: another process ended" in from_first(processes, lambda: words)
"""


def test_all_processes_have_the_same_weights_and_averages(tmp_path: Path) -> None:
    script = tmp_path / "all_alike.py"
    script.write_text(ALL_ALIKE)
    done = subprocess.run(
        [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2",
         str(script)],
        capture_output=True, text=True, timeout=100, env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
