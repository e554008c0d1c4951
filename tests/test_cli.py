"""The command line: what it prints, its exit codes, and one clear line for every mistake."""

import os
import re
import resource
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from biounet.cli import main
from biounet.commands.demo import demo
from biounet.commands.reproduce import reproduce
from biounet.commands.train import train
from biounet.config import DEMO, FAST, read_settings
from biounet.images.writing import write_image
from biounet.learning.run_folder import RunFolder, read_records
from biounet.simulate import simulate_cells

SMALL = [
    part
    for change in ("network.width=3", "network.depth=1", "training.patch_px=16")
    for part in ("--set", change)
]


@pytest.fixture
def data(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    for number in range(3):
        image, labels = simulate_cells("nuclei", (48, 52), rng)
        for kind, array in (("images", image), ("labels", labels.astype(np.uint16))):
            (tmp_path / "data" / kind).mkdir(parents=True, exist_ok=True)
            write_image(tmp_path / "data" / kind / f"n{number}.tif", array, "YX")
    return tmp_path / "data"


Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Run a command in this process: exit code, standard output, standard error."""

    def run_command(*words: str | Path) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["biounet", *map(str, words)])
        with pytest.raises(SystemExit) as exit_:
            main()
        told = capsys.readouterr()
        code = exit_.value.code
        return (code if isinstance(code, int) else 0), told.out, told.err

    return run_command


def test_train_inspect_report(run: Run, data: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    code, told, errors = run("train", data, "--out", out, "--steps", "6", *SMALL)
    assert (code, errors) == (0, "")
    assert f"model: {out / 'best.safetensors'}" in told
    names = {p.name for p in out.iterdir()}
    assert names >= {
        "best.safetensors", "last.safetensors", "log.jsonl", "settings.yaml", "report.html",
        "checkpoint",
    }  # fmt: skip
    assert not any(name.startswith(".tmp") for name in names)
    kinds = [r["kind"] for r in read_records(RunFolder(out))]
    assert kinds.count("start") == 1
    assert kinds[-1] == "end"
    code, told, _ = run("inspect", out)
    assert code == 0
    assert "finished, 6 steps" in told
    code, told, _ = run("inspect", out / "best.safetensors")
    assert "a unet of" in told
    code, told, _ = run("inspect", data)
    assert "3 annotated images" in told
    code, told, _ = run("report", out)
    assert (code, told) == (0, f"report: {out / 'report.html'}\n")


def test_inspect_takes_what_train_takes(run: Run, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for kind, top in (("a", 200), ("b", 4)):
        write_image(tmp_path / f"{kind}.tif", rng.integers(0, top, (4, 20, 24), np.uint8), "ZYX")
    both = ("inspect", "--images", tmp_path / "a.tif", "--labels", tmp_path / "b.tif")
    assert "4 annotated images" in run(*both)[1]
    said = ("--axes", "ZYX", "--labels-are", "classes", "--ignore-value", "3")
    code, told, _ = run(*both, *said)
    assert code == 0
    assert "1 annotated image (" in told
    assert "labels     classes, 3 classes" in told
    assert "label value 3 = not annotated" in told
    assert run("inspect", tmp_path / "a.tif", tmp_path / "b.tif", "--axes", "ZYX")[0] == 0


def test_inspect_of_an_image_alone_tells_its_axes(run: Run, tmp_path: Path) -> None:
    stack = np.zeros((2, 3, 20, 24), np.uint32)
    names = ("DAPI", "GFP")
    write_image(tmp_path / "a.ome.tif", stack, "CZYX", (2.0, 0.5, 0.5), channel_names=names)
    code, told, _ = run("inspect", tmp_path / "a.ome.tif")
    assert code == 0
    for line in ("C 2, Z 3, Y 20, X 24", "uint32", "2 x 0.5 x 0.5 um", "DAPI, GFP"):
        assert line in told
    write_image(tmp_path / "b.tif", np.zeros((3, 20, 24), np.uint8), "ZYX")
    told = run("inspect", tmp_path / "b.tif")[1]
    assert "pages 3, Y 20, X 24" in told
    assert "does not name its pages" in told
    write_image(tmp_path / "b_mask.tif", np.ones((3, 20, 24), np.uint8), "ZYX")
    assert "3 annotated images" in run("inspect", tmp_path / "b.tif")[1]


def test_train_starts_from_a_model_and_takes_settings(run: Run, data: Path, tmp_path: Path) -> None:
    assert run("train", data, "--out", tmp_path / "a", "--steps", "3", *SMALL)[0] == 0
    code, _, errors = run(
        "train", data, "--out", tmp_path / "b", "--steps", "2", "--from", tmp_path / "a"
    )
    assert (code, errors) == (0, "")
    settings = tmp_path / "a" / "settings.yaml"
    code, _, errors = run("train", data, "--out", tmp_path / "c", "--settings", settings)
    assert (code, errors) == (0, "")
    assert (tmp_path / "c" / "settings.yaml").read_text() == settings.read_text()


def test_validation_images_must_be_like_those_to_learn_from(
    run: Run, data: Path, tmp_path: Path
) -> None:
    other = tmp_path / "other"
    for kind in ("images", "labels"):
        (other / kind).mkdir(parents=True)
    write_image(other / "images" / "a.tif", np.zeros((2, 48, 52), np.uint8), "CYX")
    write_image(other / "labels" / "a.tif", np.tri(48, 52, dtype=np.uint8), "YX")
    words = ("train", data, "--out", tmp_path / "run", "--validation", other, "--steps", "2")
    code, _, errors = run(*words, *SMALL)
    assert (code, errors.count("\n")) == (2, 1)
    assert "validation images with other channels (2)" in errors
    write_image(other / "images" / "a.tif", np.zeros((48, 52), np.uint8), "YX")
    code, _, errors = run(*words, *SMALL, "--labels-are", "classes", "--ignore-value", "1")
    assert code == 0, errors
    rest = np.tri(48, 52, dtype=np.uint8) * 99
    write_image(other / "labels" / "a.tif", rest, "YX")
    words = ("train", data, "--out", tmp_path / "run2", "--validation", other, "--steps", "2")
    code, _, errors = run(*words, *SMALL, "--labels-are", "classes")
    assert code == 2
    assert "other label values ([99])" in errors


def test_validation_images_of_their_own(run: Run, data: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    words = ("--validation", data, "--steps", "2", *SMALL)
    assert run("train", data, "--out", out, *words)[0] == 0
    (start,) = [r for r in read_records(RunFolder(out)) if r["kind"] == "start"]
    assert len(start["training"]) == len(start["validation"]) == 3


def test_a_budget_takes_the_place_of_another(run: Run, data: Path, tmp_path: Path) -> None:
    file = tmp_path / "own.yaml"
    file.write_text("training: {minutes: 9}")
    words = ("train", data, "--out", tmp_path / "r", "--settings", file, *SMALL)
    assert run(*words, "--steps", "2")[0] == 0
    training = read_settings(tmp_path / "r" / "settings.yaml").training
    assert (training.steps, training.minutes) == (2, None)
    assert run(*words, "--steps", "2", "--resume")[0] == 0


def test_help_tells_the_defaults_of_the_settings() -> None:
    usual = f"{FAST.training.default_minutes:g}"
    assert f"{usual} where no budget is given" in (train.__doc__ or "")
    assert f"{usual} unless said" in (reproduce.__doc__ or "")
    told = f"{DEMO.minutes:g} unless said; of real images {DEMO.real_minutes:g}."
    assert told in (demo.__doc__ or "")


def test_nobody_reads_what_is_printed() -> None:
    """As in `biounet inspect nuclei | head -n 1`, when head has ended."""
    reader, writer = os.pipe()
    os.close(reader)
    words = command("inspect", "nuclei")
    done = subprocess.run(words, stdout=writer, stderr=subprocess.PIPE, text=True, timeout=120)
    os.close(writer)
    assert (done.returncode, done.stderr) == (0, "")


TRAIN = ["train", "{data}", "--out", "{tmp}/r"]
PREDICT = ["predict", "nuclei", "{data}/images", "--out", "{tmp}/r"]

MISTAKES: dict[str, tuple[list[str], str]] = {
    "no command": (["fly"], "fly"),
    "unknown flag": ([*TRAIN, "--wings", "2"], "wings"),
    "no data": (["train", "--out", "{tmp}/r"], "found .*; wanted"),
    "no out": (["train", "{data}"], "out"),
    "a folder that is not there": (["train", "{tmp}/none", "--out", "{tmp}/r"], "none"),
    "an empty folder": (["train", "{tmp}/empty", "--out", "{tmp}/r"], "found .*empty.*; wanted"),
    "two budgets": (
        [*TRAIN, "--steps", "2", "--minutes", "1"],
        "both --steps and --minutes",
    ),
    "two budgets in the settings": (
        [*TRAIN, "--set", "training.steps=2", "--set", "training.minutes=1"],
        "both training.steps and training.minutes",
    ),
    "no steps": ([*TRAIN, "--steps", "0"], "wanted greater than 0"),
    "minutes below 0": ([*TRAIN, "--minutes", "-1"], "minutes"),
    "words for minutes": ([*TRAIN, "--minutes", "soon"], "soon"),
    "an unknown preset": ([*TRAIN, "--preset", "best"], "best"),
    "an unknown setting": (
        [*TRAIN, "--set", "training.speed=9"],
        "training.speed = 9; wanted a setting that exists",
    ),
    "a setting without a value": (
        [*TRAIN, "--set", "training.patch_px"],
        "section.name=value",
    ),
    "a setting of the wrong type": (
        [*TRAIN, "--set", "network.width=wide"],
        "network.*width = 'wide'",
    ),
    "a word for a number": (
        [*TRAIN, "--set", "network.depth=deep"],
        "network.depth = 'deep'; wanted a valid integer",
    ),
    "half a level": (
        [*TRAIN, "--set", "network.depth=2.5"],
        "network.depth = 2.5",
    ),
    "one stride for two axes": (
        [*TRAIN, "--set", "network.first_stride=2"],
        "network.first_stride = 2",
    ),
    "a setting that is no YAML": (
        [*TRAIN, "--set", "network.pooling=[1"],
        "a value as in YAML",
    ),
    "a setting twice": (
        [*TRAIN, "--set", "network.width=4", "--set", "network.width=8"],
        "--set network.width twice",
    ),
    "no section": ([*TRAIN, "--set", "network=3"], "network"),
    "a preset that does not exist": (
        [*TRAIN, "--settings", "{tmp}/slow.yaml"],
        "preset 'slow'; wanted one of fast, paper",
    ),
    "a number for a section": (
        [*TRAIN, "--settings", "{tmp}/flat.yaml"],
        "training = 3; wanted a section of settings",
    ),
    "a settings file that is no YAML": (
        [*TRAIN, "--settings", "{tmp}/broken.yaml"],
        "a YAML file of settings",
    ),
    "a model that is none": (
        [*TRAIN, "--from", "{tmp}/broken.yaml"],
        "damaged or no safetensors",
    ),
    "a run that exists": (["train", "{data}", "--out", "{data}"], "which exists"),
    "a run under a file": (
        ["train", "{data}", "--out", "{tmp}/broken.yaml/r", "--steps", "1"],
        "cannot be made",
    ),
    "labels that are not what they are said to be": (
        [*TRAIN, "--labels-are", "cats"],
        "cats",
    ),
    "a validation folder that is not there": (
        [*TRAIN, "--validation", "{tmp}/none"],
        "none",
    ),
    "a validation share above one": (
        [*TRAIN, "--validation", "1.5"],
        "validation_fraction = 1.5",
    ),
    "labels by a setting of the training": (
        [*PREDICT, "--set", "training.steps=3"],
        "--set training.steps=3; wanted a setting of labels",
    ),
    "labels by a setting without its section": (
        [*PREDICT, "--set", "threshold=0.9"],
        "--set threshold=0.9; wanted a setting of labels",
    ),
    "labels by an unknown setting": (
        [*PREDICT, "--set", "objects.size=9"],
        "objects.size = 9; wanted a setting that exists",
    ),
    "labels by a threshold above one": (
        [*PREDICT, "--set", "objects.threshold=9"],
        "objects.threshold = 9; wanted less than or equal to 1",
    ),
    "labels by a setting without a value": (
        [*PREDICT, "--set", "objects.threshold"],
        "section.name=value",
    ),
    "labels by two thresholds": (
        [*PREDICT, "--set", "objects.threshold=0.9", "--set", "objects.threshold=0.8"],
        "--set objects.threshold twice",
    ),
    "inspect what is not there": (["inspect", "{tmp}/none"], "none"),
    "a report of no run": (["report", "{tmp}/empty"], "found .*; wanted"),
    "evaluate what is not there": (["evaluate", "{tmp}/none", "{data}/labels"], "no file"),
    "demo into a folder that exists": (["demo", "--out", "{data}"], "which exists"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_one_line_and_leaves_nothing(
    mistake: str, run: Run, data: Path, tmp_path: Path
) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "broken.yaml").write_text("a: [1,\n")
    (tmp_path / "flat.yaml").write_text("training: 3\n")
    (tmp_path / "slow.yaml").write_text("preset: slow\n")
    before = {p for p in tmp_path.rglob("*") if p.is_file()}
    words, told = MISTAKES[mistake]
    code, _, errors = run(*[w.format(data=data, tmp=tmp_path) for w in words])
    assert code == 2
    assert errors.startswith("biounet: ")
    assert len(errors.splitlines()) == 1
    assert "Traceback" not in errors
    assert re.search(told, errors), errors
    assert {p for p in tmp_path.rglob("*") if p.is_file()} == before
    assert not (tmp_path / "r").exists()


def test_resuming_with_other_settings_or_data_is_refused(
    run: Run, data: Path, tmp_path: Path
) -> None:
    out = tmp_path / "run"
    assert run("train", data, "--out", out, "--steps", "2", *SMALL)[0] == 0
    (out / "checkpoint" / "state.safetensors").unlink()
    code, _, errors = run("train", data, "--out", out, "--resume", "--steps", "3", *SMALL)
    assert code == 2
    assert "differ from those of the run" in errors
    image, labels = simulate_cells("nuclei", (48, 52), np.random.default_rng(9))
    write_image(data / "images" / "n0.tif", image, "YX")
    write_image(data / "labels" / "n0.tif", labels.astype(np.uint16), "YX")
    code, _, errors = run("train", data, "--out", out, "--resume", "--steps", "2", *SMALL)
    assert code == 2
    assert "other images or labels" in errors


def command(*words: str | Path) -> list[str]:
    return [sys.executable, "-W", "ignore", "-m", "biounet", *map(str, words)]


def test_ctrl_c_tells_what_is_there(
    run: Run, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "run"

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("biounet.learning.setup.derive_settings", stop)
        words = ("train", data, "--out", out, *SMALL)
        assert run(*words)[::2] == (130, "biounet: stopped\n")
    with monkeypatch.context() as patch:
        patch.setattr("biounet.learning.training.train_step", stop)
        code, _, errors = run(*words, "--resume")
    assert code == 130
    best = out / "best.safetensors"
    assert errors == f"biounet: stopped; the model so far is {best}, --resume goes on\n"
    assert best.exists()
    with monkeypatch.context() as patch:
        patch.setattr("biounet.prediction.jobs.files.segment_image", stop)
        code, _, errors = run("predict", best, data / "images", "--out", tmp_path / "predicted")
    assert code == 130
    assert errors == "biounet: stopped; the same command does what is missing\n"


def test_a_full_disk_is_one_line(data: Path, tmp_path: Path) -> None:
    """No file may grow beyond 20 kB: the weights do not fit."""
    done = subprocess.run(
        command(
            "train", data, "--out", tmp_path / "run", "--steps", "1", "--set", "network.depth=1"
        ),
        capture_output=True,
        text=True,
        timeout=120,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000)),
    )
    assert done.returncode == 2, done.stderr
    assert "Traceback" not in done.stderr
    assert "written" in done.stderr or "room" in done.stderr
    assert not list((tmp_path / "run").rglob("*.safetensors"))
    assert not list((tmp_path / "run").rglob(".tmp*"))


UNTIMELY = """
import atexit, os, signal, sys, time
from biounet import cli

def press():
    os.kill(os.getpid(), signal.SIGINT)
    time.sleep(0.01)

class Finalized:
    def __del__(self):
        press()

def work(*_, **__):
    if sys.argv[1] == "finalizer":
        Finalized()
        time.sleep(60)
    else:
        atexit.register(press)

cli.app = work
cli.main()
"""


@pytest.mark.parametrize(
    ("moment", "code", "told"),
    [("finalizer", 130, "biounet: stopped\n"), ("exit", -signal.SIGINT, "")],
)
def test_ctrl_c_where_python_would_swallow_it(moment: str, code: int, told: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", UNTIMELY, moment], capture_output=True, text=True, timeout=50
    )
    assert (done.returncode, done.stderr) == (code, told)


def test_ctrl_c_while_the_program_is_loaded() -> None:
    code = (
        "import sys\n"
        "class Pressed:\n"
        "    def find_spec(name, *_):\n"
        "        if name == 'cyclopts': raise KeyboardInterrupt\n"
        "sys.meta_path.insert(0, Pressed)\n"
        "from biounet.__main__ import main\n"
        "main()\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=50)
    assert (done.returncode, done.stderr) == (130, "biounet: stopped\n")


def test_help_needs_no_torch_and_shows_an_example() -> None:
    code = (
        "import sys; sys.argv = ['biounet', *sys.argv[1:]]\n"
        "from biounet.cli import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "assert 'torch' not in sys.modules and 'numpy' not in sys.modules\n"
    )
    for name in ("train", "evaluate", "inspect", "report", "demo", "predict", "export"):
        done = subprocess.run(
            [sys.executable, "-c", code, name, "--help"], capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
        assert f"biounet {name}" in done.stdout
        assert "Example" in done.stdout
