"""Images a second on a GPU: the paper's network, 572 px to 388, in bfloat16."""

import time
from collections.abc import Callable

import torch

from biounet.config import PAPER
from biounet.learning.processes import ALONE
from biounet.learning.sampling import Batch
from biounet.learning.step import make_learner, train_step
from biounet.networks import build_network
from biounet.prediction.engines import channels_last, channels_last_weights

INPUT_PX, OUTPUT_PX = 572, 388
TRAINING_BATCH = 8


def images_per_second(n_rounds: int) -> dict[str, float]:
    """Prediction at batch 1 and 16, replayed as a CUDA graph, and training."""
    found = {f"batch {n}": n / _median_s(_prediction(n), n_rounds) for n in (1, 16)}
    found["training"] = TRAINING_BATCH / _median_s(_training(), n_rounds)
    return {name: round(value, 1) for name, value in found.items()}


def _prediction(n_images: int) -> Callable[[], object]:
    network = channels_last_weights(build_network(PAPER.network).eval().cuda().bfloat16())
    tiles = torch.randn(n_images, 1, INPUT_PX, INPUT_PX, device="cuda", dtype=torch.bfloat16)
    batch = channels_last(tiles)
    with torch.inference_mode():
        for _ in range(3):  # chooses its algorithms before it is recorded
            network(batch).softmax(1)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            network(batch).softmax(1)
    return graph.replay


def _training() -> Callable[[], object]:
    device = torch.device("cuda")
    learner = make_learner(build_network(PAPER.network), PAPER.training, device, "bfloat16")
    shape, output = (INPUT_PX,) * 2, (OUTPUT_PX,) * 2
    batch = Batch(
        torch.randn(TRAINING_BATCH, 1, *shape, device=device),
        torch.randint(0, 2, (TRAINING_BATCH, *output), device=device),
        torch.ones(TRAINING_BATCH, *output, device=device),
    )
    return lambda: train_step(learner, batch, 1e-3, 1, PAPER.training, ALONE)


def _median_s(work: Callable[[], object], n_rounds: int) -> float:
    """Seconds of a call: the median of some rounds of ten."""
    times = []
    for _ in range(n_rounds):
        torch.cuda.synchronize()
        began = time.perf_counter()
        for _ in range(10):
            work()
        torch.cuda.synchronize()
        times.append((time.perf_counter() - began) / 10)
    return sorted(times)[len(times) // 2]
