"""The pieces of the benchmark: each measures its part and returns plain values."""

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import torch
from contender import IMAGE_PX, PEERS
from timing import Run, in_turns, summary
from work import endless_flop, step_flop, tile_flop, work_factor

from biounet.config import PAPER, PRESETS
from biounet.geometry import plan_tiles

TILE_PX = 700
"""The input tile of a 512 x 512 image."""

MEMORY_SIDES = (2048, 4096, 8192, 16384)

ENGINES = (
    "torch-float32",
    "torch-bfloat16",
    "onnx-float32",
    "openvino-float32",
    "openvino-bfloat16",
)


@dataclass(frozen=True)
class Asked:
    """What the command line says.

    Attributes:
        before: what this piece found earlier, to which rounds are added.
    """

    quick: bool
    rounds: int | None
    models: tuple[Path, ...]
    images: tuple[Path, ...]
    peers: Path
    before: dict[str, Any] | None


def peak(asked: Asked) -> dict[str, Any]:
    """Operations a second of a large matrix product, and of a layer of the network."""
    layer_flop = 10 * 2 * 256 * 256 * 9 * 136**2
    flop = (
        {"convolution": layer_flop}
        if asked.quick
        else {"convolution": layer_flop, "matmul": 2 * 4096**3}
    )
    contenders = {
        f"{kind} {dtype}": [kind, dtype] for kind in flop for dtype in ("float32", "bfloat16")
    }
    runs = in_turns(contenders, asked.rounds or (3 if asked.quick else 9))
    return {
        name: {
            **summary(done),
            "gflop_s": round(flop[name.split()[0]] / 1e9 / min(r.seconds for r in done)),
        }
        for name, done in runs.items()
    }


def image(asked: Asked) -> dict[str, Any]:
    """One 512 x 512 image, one tile: plain PyTorch and every engine."""
    engines = ENGINES[-1:] if asked.quick else ENGINES
    contenders = {name: ["image", name] for name in ("plain", "auto", *engines)}
    runs = in_turns(contenders, asked.rounds or (2 if asked.quick else 7))
    found: dict[str, Any] = {name: summary(done) for name, done in runs.items()}
    best = min(engines, key=lambda name: found[name]["median_s"])
    return {
        **found,
        "ratio": ratio(runs["plain"], runs["auto"]),
        "best_engine": best,
        "auto_over_best": round(found["auto"]["median_s"] / found[best]["median_s"], 3),
        "gflop": round(tile_flop(TILE_PX) / 1e9, 1),
    }


def averaging(asked: Asked) -> dict[str, Any]:
    """The eight symmetries against one pass."""
    contenders = {"one": ["image", "auto"], "d4": ["image", "auto", "--average", "d4"]}
    runs = in_turns(contenders, asked.rounds or (1 if asked.quick else 5))
    return {**{k: summary(v) for k, v in runs.items()}, "ratio": ratio(runs["d4"], runs["one"])}


def training(asked: Asked, preset: str) -> dict[str, Any]:
    """A step of a preset against its plain form; drawing a batch against the step."""
    contenders = {
        kind: ["training", kind, "--preset", preset] for kind in ("plain", "ours", "sampling")
    }
    runs = in_turns(contenders, asked.rounds or (1 if asked.quick else 5))
    drawing, step = found_median(runs["sampling"]), found_median(runs["ours"])
    return {
        **{kind: summary(done) for kind, done in runs.items()},
        "ratio": ratio(runs["plain"], runs["ours"]),
        "gflop": round(step_flop(PRESETS[preset]) / 1e9),
        "sampling_share": round(drawing / (drawing + step), 4),
    }


def large(asked: Asked) -> dict[str, Any]:
    """A large image, against other tools; work, beside the least there could be."""
    side, n_rows = (1024, 1) if asked.quick else (2048, 2)
    peers = ["monai"] if asked.quick else list(PEERS)
    python = str(asked.peers / "bin" / "python")
    missing = {name: why for name in peers if (why := lacks(python, name))}
    tile = chosen_tile(IMAGE_PX)
    plan = plan_tiles((IMAGE_PX,) * 2, PAPER.network.footprint, (tile,) * 2)
    contenders: dict[str, Sequence[str]] = {
        "ours": ["large", "ours", "--rows", str(n_rows), "--cold"]
    }
    parts = {"ours": plan.n_tiles[0] / n_rows}  # how many there are in the whole image
    for name in peers:
        if name not in missing:
            contenders[name] = ["large", name, "--side", str(side), "--cold"]
            parts[name] = (IMAGE_PX / side) ** 2
    pythons = {name: python for name in contenders if name != "ours"}
    n_rounds = asked.rounds or (1 if asked.quick else 3)
    runs = {
        name: [Run(parts[name] * run.seconds, run.others) for run in done]
        for name, done in in_turns(contenders, n_rounds, pythons, most=n_rounds).items()
    }
    for name, done in (asked.before or {}).get("runs", {}).items():
        runs[name] = [Run(*values) for values in done] + runs.get(name, [])
    found: dict[str, Any] = {name: summary(done) for name, done in runs.items()}
    return {
        **found,
        "runs": {
            n: [[round(r.seconds, 3), round(r.others, 3)] for r in d] for n, d in runs.items()
        },
        "ratios": {name: ratio(runs[name], runs["ours"]) for name in runs if name != "ours"},
        "missing": missing,
        "image_side": IMAGE_PX,
        "peers_side": side,
        "tile": tile,
        "work_factor": round(work_factor(plan), 3),
        "gflop": round(IMAGE_PX**2 * endless_flop() / 1e9),
    }


def memory(asked: Asked, side: int) -> dict[str, Any] | None:
    """Peak memory of the whole command on a square image, labels written."""
    if asked.quick and side > MEMORY_SIDES[0]:
        return None
    with tempfile.TemporaryDirectory() as name:
        model = write_background_model(Path(name))
        return {"peak_gib": peak_gib(model, side, Path(name))}


def start_up(asked: Asked) -> dict[str, Any]:
    """Wall time of the shortest commands."""
    commands = {
        "biounet --help": [str(Path(sys.executable).with_name("biounet")), "--help"],
        "import biounet": [sys.executable, "-c", "import biounet"],
        "python alone": [sys.executable, "-c", ""],
    }
    n_rounds = asked.rounds or (3 if asked.quick else 9)
    found = {}
    for name, command in commands.items():
        seconds = []
        for _ in range(n_rounds + 1):
            began = time.perf_counter()
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
            seconds.append(time.perf_counter() - began)
        found[name] = summary([Run(s, 0.0) for s in seconds[1:]])  # the first fills the disk cache
    return found


def small(asked: Asked) -> dict[str, Any]:
    """The pieces beside the network, on one core."""
    script = Path(__file__).parents[1] / "pieces.py"
    n_rounds = asked.rounds or (2 if asked.quick else 5)
    with tempfile.TemporaryDirectory() as name:
        report = Path(name) / "pieces.json"
        subprocess.run(
            [
                *(sys.executable, "-m", "pytest", str(script), f"--benchmark-json={report}"),
                *("--benchmark-timer=time.process_time", "--benchmark-max-time=0.1"),
                f"--benchmark-min-rounds={n_rounds}",
                *(("-k", "not 4096") if asked.quick else ()),
            ],
            check=True,
            stdout=subprocess.DEVNULL,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )
        pieces = json.loads(report.read_text())["benchmarks"]
    return {
        piece["extra_info"]["what"]: {
            **summary([Run(seconds, 0.0) for seconds in piece["stats"]["data"]]),
            "wanted_s": piece["extra_info"]["wanted_s"],
        }
        for piece in pieces
    }


def gpu(asked: Asked) -> dict[str, Any] | None:
    """Images a second at 572 px in bfloat16, and training; nothing where there is no GPU."""
    if not torch.cuda.is_available():
        return None
    from on_gpu import images_per_second

    return images_per_second(3 if asked.quick else 10)


def rounding(asked: Asked) -> dict[str, Any] | None:
    """What bfloat16 changes, on trained networks and real images."""
    if not asked.models:
        return asked.before
    from real_images import changed_labels

    pairs = zip(asked.models, asked.images, strict=True)
    earlier = (asked.before or {}).get("models", [])
    return {"models": [*earlier, *(changed_labels(model, images) for model, images in pairs)]}


def ratio(slow: Sequence[Run], quick: Sequence[Run]) -> dict[str, float]:
    """How many times faster, of medians; and the least and most of the rounds."""
    each = [a.seconds / b.seconds for a, b in zip(slow, quick, strict=False)]
    middle = found_median(slow) / found_median(quick)
    return {"median": round(middle, 3), "least": round(min(each), 3), "most": round(max(each), 3)}


def found_median(runs: Sequence[Run]) -> float:
    """Median seconds."""
    return statistics.median(run.seconds for run in runs)


def lacks(python: str, peer: str) -> str | None:
    """Why another tool cannot be imported in an environment; None: it can."""
    if not Path(python).exists():
        return "its environment was not made (make bench)"
    done = subprocess.run(
        [python, "-c", f"from contender import import_peer; import_peer({peer!r})"],
        cwd=Path(__file__).parent,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    return done.stderr.strip().splitlines()[-1] if done.returncode else None


def chosen_tile(side: int) -> int:
    """The side of the input tile that biounet takes for an image of this size."""
    code = f"from contender import tile_for; print(tile_for({side}))"
    folder = Path(__file__).parent
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=folder, check=True, stdout=subprocess.PIPE, text=True
    )
    return int(done.stdout.split()[-1])


def write_background_model(folder: Path) -> Path:
    """The paper's network, untrained, that finds nothing: memory is not the labels'."""
    from biounet.config import PAPER
    from biounet.model import Intensity, ModelFile, write_model
    from biounet.networks import build_network

    weights = build_network(PAPER.network).state_dict()
    weights["classify.bias"] = torch.tensor([100.0, -100.0])
    names, intensity = ("background", "cell"), Intensity((0.0,), (1.0,))
    model = ModelFile(PAPER, weights, names, intensity, {})
    write_model(model, folder / "model.safetensors")
    return folder / "model.safetensors"


def peak_gib(model: Path, side: int, folder: Path) -> float:
    """Most memory of `biounet predict` on one image, children included."""
    import tifffile

    path = folder / f"{side}.tif"
    rng = np.random.default_rng(0)
    pages = (rng.integers(0, 255, (1024, side), np.uint8) for _ in range(side // 1024))
    tifffile.imwrite(path, np.concatenate(list(pages)), tile=(512, 512))
    command = [str(Path(sys.executable).with_name("biounet")), "predict", str(model), str(path)]
    command += ["--out", str(folder / f"out-{side}")]
    most = 0
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
        while process.poll() is None:
            most = max(most, resident(process.pid))
            time.sleep(0.1)
    if process.returncode:
        raise SystemExit(f"biounet predict failed on {side} px")
    path.unlink()
    return round(most / 2**30, 2)


def resident(pid: int) -> int:
    """Bytes of a process and its children."""
    total = 0
    try:
        root = psutil.Process(pid)
        for process in (root, *root.children(recursive=True)):
            total += process.memory_info().rss
    except psutil.Error:
        pass  # it has ended
    return total


PIECES: dict[str, Callable[[Asked], dict[str, Any] | None]] = {
    "peak": peak,
    "image": image,
    "averaging": averaging,
    "training-paper": partial(training, preset="paper"),
    "training-fast": partial(training, preset="fast"),
    "large": large,
    "start-up": start_up,
    "small": small,
    **{f"memory-{side}": partial(memory, side=side) for side in MEMORY_SIDES},
    "rounding": rounding,
    "gpu": gpu,
}

os.environ.setdefault("OMP_NUM_THREADS", str(psutil.cpu_count()))
