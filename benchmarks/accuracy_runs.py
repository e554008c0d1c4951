"""One run of the accuracy research: `biounet train`, `predict`, `evaluate` as processes.

OUT/data/      the images of each split
    runs/NAME/ the run folder, predictions, scores, and what the processes printed
    results/NAME.json  everything that is to be known about the run: what the tables are made of

What is finished is not done again; a run that was interrupted goes on.
"""

import json
import os
import platform
import re
import shlex
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from accuracy_splits import (
    UNKNOWN,
    Part,
    SetName,
    few_images,
    plan_split,
    write_scored,
    write_training,
)
from pydantic import BaseModel, ConfigDict, ValidationError

import biounet
from biounet.config import merged, preset_named, validated_settings
from biounet.errors import InputError
from biounet.images.atomic import written_whole
from biounet.images.layouts.cell_tracking import Truth
from biounet.learning.run_folder import RunFolder, read_records
from biounet.model import read_model
from biounet.reproduce.tasks import TASKS, Kind
from biounet.version import __version__

SAVED: dict[Kind, str] = {"isbi2012": "probabilities", "seg": "ctc", "matching": "labels"}
METRICS: dict[Kind, str] = {"isbi2012": "isbi2012", "seg": "ctc", "matching": "matching"}
AVERAGES: dict[Kind, tuple[str, ...]] = {
    "isbi2012": ("none", "d4", "d4+agglomeration"),
    "seg": ("none", "d4"),
    "matching": ("none", "d4"),
}
"""What is predicted with, each scored as a row of its own: averaging, and the method of objects
where that is not the model's."""


class RunOptions(BaseModel):
    """What a row changes that is no setting: its `run:`.

    Attributes:
        truth: to learn from, of the Cell Tracking Challenge.
        start_from: a model, as for `train --from`.
        averages: at prediction, each a row of its own (see `AVERAGES`); none: those of the set.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    truth: Truth = "gold"
    start_from: str | None = None
    averages: tuple[str, ...] | None = None


@dataclass(frozen=True)
class Row:
    """A row of the table: settings that are changed, and the rest of it."""

    name: str
    changes: dict[str, Any]
    options: RunOptions


@dataclass(frozen=True)
class Job:
    """One training run and its scores.

    Attributes:
        budget: `minutes` or `steps`, and how many.
        n_images: to learn from; None: all of the part.
    """

    set_name: SetName
    part: Part
    row: Row
    budget: tuple[str, float]
    n_images: int | None
    seed: int

    @property
    def name(self) -> str:
        """Of its files."""
        unit, amount = self.budget
        images = "" if self.n_images is None else f"-{self.n_images}images"
        row = re.sub(r"[^A-Za-z0-9.]+", "-", self.row.name).strip("-")
        budget = f"{amount:g}{unit.removesuffix('utes')}"
        return f"{self.set_name}-{self.part}-{row}-{budget}{images}-seed{self.seed}"


def read_rows(path: Path | None) -> list[Row]:
    """The rows of a YAML file: `name: {section: {setting: value}}`; none: the preset as it is.

    Raises:
        InputError: no such file, or settings that do not exist.
    """
    if path is None:
        return [Row("fast", {}, RunOptions())]
    try:
        tree = yaml.safe_load(path.read_text()) or {}
    except (OSError, yaml.YAMLError) as error:
        raise InputError(f"{path}: {error}", "a YAML file of rows", "mend it") from None
    rows = []
    for name, changes in tree.items():
        changes = dict(changes or {})
        try:
            options = RunOptions.model_validate(changes.pop("run", {}))
        except ValidationError as error:
            told = error.errors()[0]
            raise InputError(f"{name}: run.{told['loc'][0]}", told["msg"], f"mend {path}") from None
        preset = preset_named(changes.get("preset", "fast")).model_dump()
        validated_settings(merged(preset, changes))  # told before hours of training
        rows.append(Row(str(name), changes, options))
    return rows


def do(job: Job, data: Path, out: Path, device: str, commit: str) -> str | None:
    """Train, predict and score what is not done yet; why it failed, or None.

    Args:
        data: the folder of the set.
        out: of data, runs and results; see above.
        commit: of the program; where the run began before, that of then is kept.
    """
    result = out / "results" / f"{job.name}.json"
    if result.exists():
        if json.loads(result.read_text())["changes"] != job.row.changes:
            raise InputError(
                f"{result} of a row of other settings", "one name a row", "rename the row"
            )
        return None
    split = plan_split(job.set_name, data, job.part, job.row.options.truth)
    stem = f"{job.set_name}-{job.part}"
    training = f"data/{stem}-{job.row.options.truth.replace('+', '-')}"
    if job.n_images is not None:
        split = few_images(split, job.n_images, job.seed)
        training += f"-{job.n_images}images-seed{job.seed}"
    write_training(split, out / training)
    write_scored(split, out / f"data/{stem}-scored")
    folder = f"runs/{job.name}"
    (out / folder).mkdir(parents=True, exist_ok=True)
    begun = out / folder / "begun.json"
    if not begun.exists():
        begun.write_text(json.dumps({"commit": commit}))
    settings = out / folder / "row.yaml"
    settings.write_text(yaml.safe_dump(job.row.changes, sort_keys=False))

    unit, amount = job.budget
    commands = [
        [
            *("train", training, "--out", f"{folder}/run", "--settings", f"{folder}/row.yaml"),
            *("--labels-are", split.task.labels_are, "--ignore-value", str(UNKNOWN)),
            *(f"--{unit}", f"{amount:g}", "--seed", str(job.seed), "--device", device),
        ]
    ]
    if (model := job.row.options.start_from) is not None:
        there = Path(model).exists()  # else the name of a network that comes with biounet
        commands[0] += ["--from", os.path.relpath(model, out) if there else model]
    averages = (job.row.options.averages or AVERAGES[split.task.kind]) if split.scored else ()
    commands += _scoring(job.set_name, job.part, f"{folder}/run", folder, averages, device)
    seconds, failed = _run_all(commands, out, folder)
    if failed is not None:
        return failed
    records = read_records(RunFolder(out / folder / "run"))
    start = next(r for r in records if r["kind"] == "start")
    end = next(r for r in reversed(records) if r["kind"] == "end")
    tree = {
        "name": job.name,
        "set": job.set_name,
        "part": job.part,
        "row": job.row.name,
        "changes": job.row.changes,
        "options": job.row.options.model_dump(),
        "budget": list(job.budget),
        "images": job.n_images,
        "seed": job.seed,
        "trained_on": split.trained_on,
        "measured_on": split.measured_on,
        "n_training": len(split.training.items),
        "n_scored": len(split.scored),
        "held_out": start["split"],
        "commands": [shlex.join(["biounet", *words]) for words in commands],
        "commit": json.loads(begun.read_text())["commit"],
        "version": __version__,
        "machine": {
            "processor": processor(start["device"]),
            "device": start["device"],
            "threads": start["threads"],
            "cores": start["cores"],
            "torch": start["torch"],
        },
        "minutes": {
            "training": max(end["used_s"], seconds[0]) / 60,
            "predicting": {average: seconds[1 + 2 * k] / 60 for k, average in enumerate(averages)},
        },
        "steps": end["step"],
        "validation": end["score"],
        "objects": end["objects"],
        "scores": _scores(job.set_name, out / folder, averages),
    }
    result.parent.mkdir(exist_ok=True)
    with written_whole(result) as temporary:
        temporary.write_text(json.dumps(tree, indent=1) + "\n")
    return None


def do_ensemble(paths: Sequence[Path], device: str, commit: str) -> str | None:
    """Score the ensemble of runs that differ in the seed alone; why it failed, or None.

    Its row is theirs, "N networks"; its budget and its steps are those of all together.

    Args:
        paths: their results, `OUT/results/NAME.json`.

    Raises:
        InputError: runs that differ in more.
    """
    members = [json.loads(path.read_text()) for path in paths]
    first, out = members[0], paths[0].parents[1]
    same = ("set", "part", "row", "changes", "budget", "images")
    if len({json.dumps([member[name] for name in same]) for member in members}) > 1:
        raise InputError("runs of different rows", "runs that differ in the seed", "name others")
    unit, amount = first["budget"]
    seeds = ", ".join(str(member["seed"]) for member in members)
    name = f"{first['name'].rpartition('-seed')[0]}-ensemble-of-{len(members)}"
    folder = f"runs/{name}"
    (out / folder).mkdir(parents=True, exist_ok=True)
    model = f"{folder}/together.safetensors"
    averages = tuple(first["scores"])
    runs = [f"runs/{member['name']}/run" for member in members]
    commands = [["ensemble", *runs, "--out", model]]
    commands += _scoring(first["set"], first["part"], model, folder, averages, device)
    seconds, failed = _run_all(commands, out, folder)
    if failed is not None:
        return failed
    tree = {
        **first,
        "name": name,
        "row": f"{first['row']}, {len(members)} networks (seeds {seeds})",
        "budget": [unit, amount * len(members)],
        "commands": [
            *(member["commands"][0] for member in members),
            *(shlex.join(["biounet", *words]) for words in commands),
        ],
        "commit": commit,
        "minutes": {
            "training": sum(member["minutes"]["training"] for member in members),
            "predicting": {average: seconds[1 + 2 * k] / 60 for k, average in enumerate(averages)},
        },
        "steps": sum(member["steps"] for member in members),
        "validation": None,
        "objects": read_model(out / model).settings.objects.model_dump(),
        "scores": _scores(first["set"], out / folder, averages),
    }
    with written_whole(out / "results" / f"{name}.json") as temporary:
        temporary.write_text(json.dumps(tree, indent=1) + "\n")
    return None


def _scoring(
    set_name: SetName, part: Part, model: str, folder: str, averages: Sequence[str], device: str
) -> list[list[str]]:
    """The commands that predict with a model and score, two for each way of averaging."""
    kind, data = TASKS[set_name].kind, f"data/{set_name}-{part}-scored"
    images, labels = ("01", "01_GT") if kind == "seg" else ("images", "labels")
    commands = []
    for row in averages:
        predicted = f"{folder}/predicted-{row.replace(':', '-')}"
        average, _, method = row.partition("+")
        objects = [f"--set=objects.{w}" for w in (f"method={method}", "threshold=0") if method]
        result_folder = f"{predicted}/01_RES" if kind == "seg" else predicted
        commands += [
            [
                *("predict", model, f"{data}/{images}"),
                *("--out", predicted, "--save", "labels" if method else SAVED[kind], *objects),
                *("--average", average, "--device", device),
            ],
            [
                *("evaluate", result_folder, f"{data}/{labels}"),
                *("--metrics", METRICS[kind], "--json", f"{predicted}.json"),
            ],
        ]
    return commands


def _scores(
    set_name: SetName, folder: Path, averages: Sequence[str]
) -> dict[str, dict[str, float]]:
    """What the commands found, by averaging."""
    files = {
        average: folder / f"predicted-{average.replace(':', '-')}.json" for average in averages
    }
    return {
        average: scores_of(set_name, json.loads(file.read_text()))
        for average, file in files.items()
    }


def _run_all(
    commands: Sequence[list[str]], out: Path, folder: str
) -> tuple[list[float], str | None]:
    """Run commands one after another: what each took, s, and why one failed."""
    seconds: list[float] = []
    for words in commands:
        began = time.monotonic()
        resuming = ["--resume"] if words[0] == "train" else []
        if failed := _run([*words, *resuming], out, out / folder / "printed.txt"):
            return seconds, failed
        seconds.append(time.monotonic() - began)
    return seconds, None


def _run(words: list[str], out: Path, printed: Path) -> str | None:
    """Run a command in `out`, whose paths are relative to it; its last line if it failed."""
    with printed.open("a") as file:
        file.write(f"$ {shlex.join(['biounet', *words])}\n")
        file.flush()
        done = subprocess.run(
            [sys.executable, "-m", "biounet", *words],
            cwd=out,
            stdout=file,
            stderr=subprocess.STDOUT,
            check=False,
        )
    if done.returncode == 0:
        return None
    last = printed.read_text(errors="replace").rstrip().splitlines()[-1]
    return f"{words[0]} ended with {done.returncode}: {last}"


def scores_of(name: SetName, evaluated: dict[str, Any]) -> dict[str, float]:
    """The set's measures, of what `biounet evaluate` wrote."""
    if evaluated["metrics"] == "matching":
        evaluated = {
            "ap50": evaluated["ap"]["0.50"],
            "f1_50": evaluated["f1"]["0.50"],
            "ap75": evaluated["ap"]["0.75"],
            "mean_ap": evaluated["mean_ap_over_images"],
        }
    return {measure.key: evaluated[measure.key] for measure in TASKS[name].measures}


def present_commit() -> str:
    """The commit of the package that runs, with a + where its files were changed since."""
    home = Path(biounet.__file__).parent

    def git(*words: str) -> str:
        done = subprocess.run(
            ["git", "-C", str(home), *words], capture_output=True, text=True, check=False
        )
        return done.stdout.strip() if done.returncode == 0 else ""

    commit = git("rev-parse", "--short", "HEAD")
    if not commit:
        return "unknown"
    return commit + ("+" if git("status", "--porcelain", "--", str(home)) else "")


def processor(device: str) -> str:
    """The name of the processor, or of the GPU."""
    if device.startswith("cuda"):
        import torch

        return torch.cuda.get_device_name()
    info = Path("/proc/cpuinfo")
    names = re.findall(r"model name\s*: (.*)", info.read_text()) if info.exists() else []
    return names[0] if names else platform.processor() or os.uname().machine
