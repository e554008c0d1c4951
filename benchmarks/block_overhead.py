"""What a block costs beside the network: seconds of a processor, bytes, files.

    python benchmarks/block_overhead.py [--blocks 64] [--scheduler tcp://…]

The network is replaced by ready-made probabilities, so all that is left is reading, labelling,
writing, merging and handing out. Processor seconds, because they hardly depend on what else the
machine does.
"""

import argparse
import json
import tempfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import torch
from scipy import ndimage

from biounet.config import IntensitySettings, ObjectSettings, PredictionSettings, Settings
from biounet.images.formats.ome_zarr_writing import create_ome_zarr, pyramid_levels
from biounet.images.regions import read_region
from biounet.model import Intensity, ModelFile, write_model
from biounet.network_settings import UNetSettings
from biounet.networks import build_network
from biounet.prediction.jobs import block_tasks
from biounet.prediction.jobs.block_notes import read_parts
from biounet.prediction.jobs.block_tasks import ComputeBlock, ShrinkBox
from biounet.prediction.jobs.job import open_job
from biounet.prediction.jobs.large import label_job
from biounet.prediction.jobs.ledger import source_of
from biounet.prediction.jobs.merging import merge_parts
from biounet.prediction.jobs.recipe import settle_recipe
from biounet.prediction.jobs.tasks import FileTask
from biounet.prediction.jobs.workers import open_crew

CHUNK_PX = 512
MARGIN_PX = 92
CELLS_PER_BLOCK = 200


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--blocks", type=int, default=64)
    parser.add_argument("--scheduler", help="address of a Dask scheduler to measure, too")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        found = measure_blocks(Path(folder), arguments.blocks)
    print(json.dumps(found | measure_handing_out(arguments.scheduler), indent=1))


def measure_blocks(folder: Path, n_blocks: int) -> dict[str, float]:
    """Processor seconds and bytes of each stage, per block of 512 x 512 px."""
    side = int(np.ceil(np.sqrt(n_blocks)))
    n_blocks = side**2
    shape = (side * CHUNK_PX,) * 2
    rng = np.random.default_rng(0)
    sigma = CHUNK_PX / np.sqrt(CELLS_PER_BLOCK) / 12
    block = ndimage.gaussian_filter(rng.normal(size=(CHUNK_PX,) * 2), sigma, mode="wrap")
    cells = 1 / (1 + np.exp(-8 * block / block.std())).astype(np.float32)
    image = create_ome_zarr(folder / "a.ome.zarr", shape, np.uint8, "YX")
    image[:] = np.tile(
        (cells * 200 + rng.integers(0, 40, cells.shape)).astype(np.uint8), (side,) * 2
    )
    network = UNetSettings(width=4, depth=4, dropout=0.0)
    write_model(
        ModelFile(
            Settings(
                network=network,
                intensity=IntensitySettings(source="training-set"),
                objects=ObjectSettings(minimum_size_px=20, grow_px=1),
            ),
            build_network(network).state_dict(),
            ("background", "cell"),
            Intensity((0.0,), (1.0,)),
        ),
        folder / "m.safetensors",
    )
    options = PredictionSettings(
        save=("labels", "probabilities"), engine="torch", precision="float32"
    )
    recipe = settle_recipe(folder / "m.safetensors", folder / "out", options, 1)
    task = FileTask((source_of(folder / "a.ome.zarr"),), folder / "out", options.save)
    job = open_job(task, folder / "m.safetensors", recipe, options, 0)
    assert job.manifest.grid.block == (CHUNK_PX, CHUNK_PX)

    def ready_made(_, source, __, start, stop):  # type: ignore[no-untyped-def]
        low, high = (tuple(n + m for n in at) for at, m in ((start, -MARGIN_PX), (stop, MARGIN_PX)))
        read_region(source, low, high)
        noisy = cells + rng.normal(size=cells.shape).astype(np.float32) * 0.01
        return np.stack([1 - noisy, noisy])

    block_tasks.predict_region = ready_made
    blocks = job.manifest.blocks()
    found = {"blocks": float(n_blocks)}
    found["compute_stage_s"] = timed(ComputeBlock(job), blocks)
    notes = [job.note("computed", b) for b in blocks]
    parts = {b[1]: read_parts(note) for b, note in zip(blocks, notes, strict=True)}
    n_parts = sum(len(p.size) for p in parts.values())
    started = time.process_time()
    merged = merge_parts(parts, ObjectSettings(minimum_size_px=20))
    found["merge_s"] = (time.process_time() - started) / n_blocks
    found["merge_s_per_million_parts"] = (time.process_time() - started) / n_parts * 1e6
    in_memory = [
        array.nbytes
        for p in parts.values()
        for array in (p.size, p.first, p.on_edge, p.low, p.high, p.pairs, *sum(p.faces, ()))
    ]
    found["objects"] = merged.n_objects / n_blocks
    found["parts"] = n_parts / n_blocks
    found["merge_bytes_in_memory"] = sum(in_memory) / n_blocks
    with open_crew(options) as crew:
        started = time.process_time()
        label_job(job, crew)
        found["label_stage_s"] = (time.process_time() - started) / n_blocks
    started = time.process_time()
    for level in pyramid_levels(job.labels):
        for part in level:
            ShrinkBox("YX", "nearest")(part)
    found["pyramid_of_labels_s"] = (time.process_time() - started) / n_blocks
    found["note_bytes"] = sum(note.stat().st_size for note in notes) / n_blocks
    for name, path in (
        ("parts", job.parts),
        ("labels", job.labels / "0"),
        ("probabilities", job.probabilities / "0"),
    ):
        files = [p for p in path.rglob("*") if p.is_file()]
        found[f"{name}_bytes"] = sum(p.stat().st_size for p in files) / n_blocks
        found[f"{name}_files"] = (len(files) - 1) / n_blocks
    return found


def timed(function: Callable[[object], None], items: Iterable[object]) -> float:
    """Processor seconds of one call, on average."""
    started, n = time.process_time(), 0
    for item in items:
        function(item)
        n += 1
    return (time.process_time() - started) / n


def measure_handing_out(scheduler: str | None) -> dict[str, float]:
    """Wall seconds of a task that does nothing, handed to threads, processes, a cluster."""
    ways = {"threads": PredictionSettings(), "processes": PredictionSettings(workers=2)}
    if scheduler is not None:
        ways["cluster"] = PredictionSettings(scheduler=scheduler)
    found = {}
    for name, options in ways.items():
        with open_crew(options) as crew:
            list(crew.run(abs, range(20)))
            started = time.perf_counter()
            n_done = sum(1 for _ in crew.run(abs, range(2000)))
            found[f"handing_out_to_{name}_s"] = (time.perf_counter() - started) / n_done
    return found


if __name__ == "__main__":
    main()
