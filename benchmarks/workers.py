"""How much faster N workers are on one machine, its threads divided among them.

    python benchmarks/workers.py [--side 6144] [--width 32] [--workers 1,2,4]

Run it on a machine that does nothing else. Weights are random: they do not change the time.
"""

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np

from biounet.config import IntensitySettings, Settings
from biounet.images.formats.ome_zarr_writing import create_ome_zarr
from biounet.model import Intensity, ModelFile, write_model
from biounet.network_settings import UNetSettings
from biounet.networks import build_network
from biounet.prediction.jobs.files import predict_files
from biounet.prediction.jobs.options import PredictOptions


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--side", type=int, default=6144)
    parser.add_argument("--width", type=int, default=32)
    parser.add_argument("--workers", default="1,2,4")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        network = UNetSettings(width=arguments.width, dropout=0.0)
        intensity = IntensitySettings(source="training-set")
        write_model(
            ModelFile(
                Settings(network=network, intensity=intensity),
                build_network(network).state_dict(),
                ("background", "cell"),
                Intensity((128.0,), (40.0,)),
            ),
            folder / "m.safetensors",
        )
        image = create_ome_zarr(folder / "a.ome.zarr", (arguments.side,) * 2, np.uint8, "YX")
        image[:] = np.random.default_rng(0).integers(0, 255, image.shape, np.uint8)
        for workers in map(int, arguments.workers.split(",")):
            options = PredictOptions(engine="torch", workers=workers, memory_bytes=0)
            out = folder / f"out-{workers}"
            print(measured(folder, out, options), flush=True)


def measured(folder: Path, out: Path, options: PredictOptions) -> str:
    """A line of the table: the whole command, and its pace from the first block to the last."""
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
    return (
        f"{options.workers} workers: {time.perf_counter() - started:.1f} s, first block after "
        f"{computing[0][0]:.1f} s, then {pace:.2f} blocks a second"
    )


if __name__ == "__main__":
    main()
