"""How much faster N workers are on one machine, its threads divided among them.

    python benchmarks/workers.py [--side 6144] [--width 32] [--workers 1,2,4] [--engine openvino]

Run it on a machine that does nothing else. The image is noise and the weights are random, but so
that a block has about as many objects as real ones have: labelling takes its time, too.
Prints a Markdown table: the whole command, the first block, and the pace from there on, beside that
of the engine alone on all threads (before each command, since machines drift).
"""

import argparse
import tempfile
import time
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from biounet.config import IntensitySettings, PredictionSettings, Settings
from biounet.images.formats.ome_zarr_writing import create_ome_zarr
from biounet.model import Intensity, ModelFile, read_model, write_model
from biounet.network_settings import UNetSettings
from biounet.networks import build_network
from biounet.prediction.engines.agreement import probe_tile
from biounet.prediction.jobs.files import predict_files
from biounet.prediction.predictor import make_predictor, predict_plane

N_TIMED = 9
"""Tiles that the engine alone is timed on."""

CHUNK_PX = 512

FOREGROUND = 1e-3
"""Share of the pixels that are objects: some 200 of them a block, since noise makes small ones."""


@dataclass(frozen=True)
class Measured:
    """One command: its wall time, when its first block was done, and blocks a second from then."""

    seconds: float
    first_block_s: float
    pace: float


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--side", type=int, default=6144)
    parser.add_argument("--width", type=int, default=32)
    parser.add_argument("--workers", default="1,2,4")
    parser.add_argument("--engine", default="openvino")
    parser.add_argument("--precision", default="bfloat16")
    arguments = parser.parse_args()
    n_threads = torch.get_num_threads()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        network = UNetSettings(width=arguments.width, dropout=0.0)
        intensity = IntensitySettings(source="training-set")
        model = ModelFile(
            Settings(network=network, intensity=intensity),
            build_network(network).state_dict(),
            ("background", "cell"),
            Intensity((128.0,), (40.0,)),
        )
        write_model(with_few_objects(model), folder / "m.safetensors")
        image = create_ome_zarr(folder / "a.ome.zarr", (arguments.side,) * 2, np.uint8, "YX")
        image[:] = np.random.default_rng(0).integers(0, 255, image.shape, np.uint8)
        found: dict[int, Measured] = {}
        alone = []
        for workers in map(int, arguments.workers.split(",")):
            alone.append(engine_alone(folder, arguments.engine, arguments.precision))
            options = PredictionSettings(
                engine=arguments.engine,
                precision=arguments.precision,
                workers=workers,
                memory_bytes=0,
            )
            found[workers] = measured(folder, folder / f"out-{workers}", options)
    print(
        f"Width {arguments.width}, {arguments.engine}, {arguments.precision}, {n_threads} threads "
        f"in all, {arguments.side} x {arguments.side} px. The engine alone: "
        f"{min(alone):.3f} to {max(alone):.3f} s a block.\n\n"
        "| workers | threads of each | whole command, s | first block, s | blocks a second "
        "| speed-up | s a block |\n|---|---|---|---|---|---|---|"
    )
    first = next(iter(found.values()))
    for workers, one in found.items():
        print(
            f"| {workers} | {max(1, n_threads // workers)} | {one.seconds:.1f} "
            f"| {one.first_block_s:.1f} | {one.pace:.2f} | {one.pace / first.pace:.2f} "
            f"| {1 / one.pace:.3f} |"
        )


def with_few_objects(model: ModelFile) -> ModelFile:
    """The model with a background so likely that FOREGROUND of the pixels are objects."""
    noise = np.random.default_rng(0).integers(0, 255, (1, CHUNK_PX, CHUNK_PX), np.uint8)
    predictor = make_predictor(model, "cpu", "float32", None, "none", "torch")
    background, cell = predict_plane(predictor, noise)
    excess = np.quantile(np.log(cell) - np.log(background), 1 - FOREGROUND)
    name = [name for name in model.weights if name.endswith("bias")][-1]
    bias = model.weights[name] + torch.tensor([float(excess), 0.0])
    return replace(model, weights={**model.weights, name: bias})


def engine_alone(folder: Path, engine: str, precision: str) -> float:
    """Seconds of a tile, the median of N_TIMED: all threads, nothing read or written."""
    model = read_model(folder / "m.safetensors")
    predictor = make_predictor(model, "cpu", precision, None, "none", engine)
    tile = probe_tile(model.settings.network.channels, predictor.input_shape)
    predictor.engine(tile)
    seconds = []
    for _ in range(N_TIMED):
        started = time.perf_counter()
        predictor.engine(tile)
        seconds.append(time.perf_counter() - started)
    return float(np.median(seconds))


def measured(folder: Path, out: Path, options: PredictionSettings) -> Measured:
    """Predict the image, once."""
    seen: list[tuple[float, float]] = []
    started = time.perf_counter()
    outcome = predict_files(
        folder / "m.safetensors",
        [folder / "a.ome.zarr"],
        out,
        options,
        lambda done, *_: seen.append((time.perf_counter() - started, done)),
    )
    if outcome.failed:
        raise SystemExit(outcome.failed[0][1])
    computing = [(at, done) for at, done in seen if done <= 0.9]
    pace = (len(computing) - 1) / (computing[-1][0] - computing[0][0])
    return Measured(time.perf_counter() - started, computing[0][0], pace)


if __name__ == "__main__":
    main()
