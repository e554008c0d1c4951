"""An image of 100,000 x 100,000 px: when its first block is there, the memory, killed and resumed.

    python benchmarks/huge.py FOLDER [--engine auto] [--precision auto] [--seconds 600] [--width 64]
        [--side 100000]

Runs the command itself as the first time on a machine, kills it (SIGKILL) after so many seconds,
and runs it again until one more block is done; then a second time, into another folder. The image
is a sparse OME-Zarr: noise in one corner, nothing elsewhere. The network is the paper's with random
weights; its background is likely, as after training, and its file tells that bfloat16 does no harm.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import psutil
import torch

from biounet.config import PAPER, IntensitySettings
from biounet.images.formats.ome_zarr_writing import create_ome_zarr
from biounet.model import Intensity, ModelFile, write_model
from biounet.networks import build_network
from biounet.prediction.engines.agreement import Agreement
from biounet.prediction.engines.rounding import rounding_record

LOOK_S = 0.05
"""How often blocks are counted and memory is read."""


@dataclass(frozen=True)
class Seen:
    """What came of one command: times from its start, and the largest memory of its processes."""

    first_block_s: float | None
    n_new_blocks: int
    seconds: float
    peak_bytes: int


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--engine", default="auto")
    parser.add_argument("--precision", default="auto")
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("--width", type=int, default=64)
    parser.add_argument("--side", type=int, default=100_000)
    arguments = parser.parse_args()
    folder: Path = arguments.folder
    folder.mkdir(parents=True)
    make_inputs(folder, arguments.width, arguments.side)
    options = ["--engine", arguments.engine, "--precision", arguments.precision]
    first = watched(folder / "out", options, arguments.seconds)
    finished = notes(folder / "out")
    again = watched(folder / "out", options, None)
    n_twice = sum(notes(folder / "out").get(name) != when for name, when in finished.items())
    later = watched(folder / "later", options, None)
    recipe = json.loads((folder / "later" / "prediction.json").read_text())
    print(
        "| | first block, s | new blocks | seconds | largest memory, GiB |\n|---|---|---|---|---|\n"
        f"{row('first time on a machine', first)}\n{row('killed, and run again', again)}\n"
        f"{row('second time on a machine', later)}\n\n"
        f"{n_twice} of {len(finished)} blocks computed twice; "
        f"{recipe['engine']}, {recipe['precision']}, tiles of {recipe['tile'][0]} px."
    )


def make_inputs(folder: Path, width: int, side: int) -> None:
    """The model and the image."""
    network = PAPER.network.model_copy(update={"width": width})
    weights = build_network(network).state_dict()
    last = [name for name in weights if name.endswith("bias")][-1]
    weights[last] = weights[last] + torch.tensor([2.0, 0.0])
    settings = PAPER.model_copy(
        update={"network": network, "intensity": IntensitySettings(source="training-set")}
    )
    intensity = Intensity((128.0,), (40.0,))
    told = rounding_record("bfloat16", Agreement(0.0, 0.0))
    write_model(
        ModelFile(settings, weights, ("background", "cell"), intensity, told),
        folder / "m.safetensors",
    )
    image = create_ome_zarr(folder / "a.ome.zarr", (side, side), np.uint8, "YX", chunks=(512, 512))
    corner = np.random.default_rng(0).integers(0, 255, (2048, 2048), np.uint8)
    image[:2048, :2048] = corner[:side, :side]


def watched(out: Path, options: list[str], seconds: float | None) -> Seen:
    """Run the command and kill it after some seconds; None: when one block more is done."""
    there = len(notes(out))
    words = ["predict", "m.safetensors", "a.ome.zarr", "--out", out.name, *options]
    own_cache = {**os.environ, "XDG_CACHE_HOME": str(out.parent.resolve() / "cache")}
    started = time.monotonic()
    command = subprocess.Popen(
        [sys.executable, "-m", "biounet", *words], cwd=out.parent, env=own_cache
    )
    process, first, peak = psutil.Process(command.pid), None, 0
    try:
        while command.poll() is None:
            time.sleep(LOOK_S)
            passed = time.monotonic() - started
            family = [process, *process.children(recursive=True)]
            peak = max(peak, sum(member.memory_info().rss for member in family))
            if first is None and len(notes(out)) > there:
                first = passed
            if first is not None if seconds is None else passed > seconds:
                break
    except psutil.NoSuchProcess:
        pass  # it is done
    finally:
        command.kill()
        command.wait()
    return Seen(first, len(notes(out)) - there, time.monotonic() - started, peak)


def notes(out: Path) -> dict[str, tuple[int, int]]:
    """The finished blocks: when each was written, and which file it is."""
    computed = out / ".a.ome.zarr-work" / "computed"
    if not computed.is_dir():
        return {}
    found = [entry for entry in os.scandir(computed) if not entry.name.startswith(".")]
    return {entry.name: (entry.stat().st_mtime_ns, entry.inode()) for entry in found}


def row(name: str, seen: Seen) -> str:
    """A line of the table."""
    first = "none" if seen.first_block_s is None else f"{seen.first_block_s:.1f}"
    return (
        f"| {name} | {first} | {seen.n_new_blocks} | {seen.seconds:.0f} "
        f"| {seen.peak_bytes / 2**30:.2f} |"
    )


if __name__ == "__main__":
    main()
