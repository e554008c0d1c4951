"""One contender: makes itself ready, then runs once for every line on standard input.

    python contender.py image    plain|auto|ENGINE-PRECISION  [--average d4] [--side 700]
    python contender.py large    ours --rows 2
    python contender.py large    monai|monai-gaussian|smp --side 2048
    python contender.py training plain|ours|sampling  --preset paper|fast
    python contender.py matmul|convolution float32|bfloat16

Answers in JSON. It runs in the environment of the tool it shows, so nothing of biounet is imported
at the top. Weights are random: they do not change the time.
"""

import argparse
import atexit
import json
import os
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from importlib import import_module
from typing import Any

import numpy as np
import torch
from plain import PlainUNet
from torch import nn

Work = Callable[[], object]
"""What is timed; it answers with the seconds itself, a float, where only a part of it counts."""

PEERS = {
    "monai": "monai.inferers",
    "monai-gaussian": "monai.inferers",
    "smp": "segmentation_models_pytorch",
}
"""Other tools: contender, package."""

PAPER_WIDTH = 64
ROI_PX = 512

IMAGE_PX = 8192
"""Side of the large image that is spoken of; a part of it is timed."""


def image_work(arguments: argparse.Namespace) -> Work:
    """One tile through the paper's network, to probabilities."""
    side = arguments.side
    tile = np.random.default_rng(0).standard_normal((1, 1, side, side)).astype(np.float32)
    if arguments.which == "plain":
        network = PlainUNet(PAPER_WIDTH).eval()

        def plain() -> object:
            with torch.inference_mode():
                return network(torch.from_numpy(tile)).softmax(1).numpy()

        return plain
    name, _, precision = arguments.which.partition("-")
    predictor = _predictor(name, precision or "auto", arguments.average)
    return lambda: predictor.engine(tile)


def large_work(arguments: argparse.Namespace) -> Work:
    """A part of the large image, to probabilities: some rows of tiles, or `side` px square."""
    rng = np.random.default_rng(0)
    if arguments.which == "ours":
        from biounet.prediction.predictor import predict_plane

        predictor = _predictor("auto", "auto", "none", IMAGE_PX)
        plan = predictor.plan((IMAGE_PX, IMAGE_PX))
        strip = rng.standard_normal((1, arguments.rows * plan.stride[0], IMAGE_PX), np.float32)
        predictor.engine(np.zeros((1, 1, *plan.input_shape), np.float32))
        return lambda: predict_plane(predictor, strip)
    image = rng.standard_normal((1, arguments.side, arguments.side), np.float32)
    batch = torch.from_numpy(image)[None]
    if arguments.which == "smp":
        whole = (
            import_peer("smp")
            .Unet("resnet34", encoder_weights=None, in_channels=1, classes=2)
            .eval()
        )

        def pass_of_all() -> object:
            with torch.inference_mode():
                return whole(batch).softmax(1)

        return pass_of_all
    slide_over = import_peer("monai").sliding_window_inference
    network = PlainUNet(PAPER_WIDTH, padded=True).eval()
    gaussian = arguments.which == "monai-gaussian"

    def slide() -> object:
        with torch.inference_mode():
            return slide_over(
                batch,
                (ROI_PX, ROI_PX),
                1,
                network,
                overlap=0.5 if gaussian else 0.25,
                mode="gaussian" if gaussian else "constant",
            ).softmax(1)

    return slide


def import_peer(name: str) -> Any:
    """The package of another tool."""
    if name == "smp":
        try:
            import_module("torchvision")
        except RuntimeError:
            # A build for CUDA beside a PyTorch without: its operators are missing. Naming the two
            # that its import looks for is enough; no network uses them.
            for operator in ("nms", "qnms"):
                boxes = "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"
                torch.library.define(f"torchvision::{operator}", boxes)
    return import_module(PEERS[name])


def training_work(arguments: argparse.Namespace) -> Work:
    """One step at 572 px (or the preset's patch): forward, backward, optimiser."""
    from biounet.config import PRESETS
    from biounet.learning.loss import segmentation_loss
    from biounet.learning.memory import kept_memory
    from biounet.learning.processes import ALONE
    from biounet.learning.sampling import Batch, TrainingImage, draw_batch
    from biounet.learning.step import make_learner, train_step
    from biounet.networks import build_network
    from biounet.prediction.engines import choose_precision

    settings = PRESETS[arguments.preset]
    footprint = settings.network.footprint
    shape = footprint.input_for((settings.training.patch_px,) * 2)
    output = footprint.output_shape(shape)
    class_map = torch.randint(0, 2, (1, *output))
    batch = Batch(torch.randn(1, 1, *shape), class_map, torch.ones(1, *output), class_map)
    if arguments.which == "plain":
        network = PlainUNet(
            settings.network.width,
            standardised=settings.network.normalisation != "none",
            dropout=settings.network.dropout,
        )
        momentum = settings.training.momentum
        optimiser: torch.optim.Optimizer = (
            torch.optim.SGD(network.parameters(), 1e-3, momentum=momentum)
            if settings.training.optimiser == "sgd"
            else torch.optim.AdamW(network.parameters(), 1e-3)
        )

        def plain() -> None:
            optimiser.zero_grad()
            loss = segmentation_loss(network(batch.image), batch.class_map, batch.weights)
            loss.backward()
            optimiser.step()

        return plain
    stack = ExitStack()  # for as long as the process lives, as in a run
    stack.enter_context(kept_memory())
    atexit.register(stack.close)
    cpu = torch.device("cpu")
    ours = build_network(settings.network)
    learner = make_learner(ours, settings.training, cpu, choose_precision("auto", cpu))

    def step() -> None:
        train_step(learner, batch, 1e-3, 1, settings, ALONE)

    if arguments.which == "ours":
        return step
    noise = torch.randn(1, 1024, 1024)
    image = TrainingImage(
        "noise", noise, torch.stack([noise[0] > 0, noise[0] > -9, noise[0] > 0]).float()
    )
    augmentation, balanced = settings.augmentation, settings.training.balanced_sampling

    def draw_after_a_step() -> float:
        step()
        began = time.perf_counter()
        draw_batch([image], [0], shape, output, augmentation, balanced, 0)
        return time.perf_counter() - began

    return draw_after_a_step


def matmul_work(arguments: argparse.Namespace) -> Work:
    """A product of two matrices, 4096 x 4096: 137 GFLOP."""
    a, b = (torch.randn(4096, 4096, dtype=getattr(torch, arguments.which)) for _ in range(2))
    out = torch.empty_like(a)
    return lambda: torch.mm(a, b, out=out)


def convolution_work(arguments: argparse.Namespace) -> Work:
    """The middle layer of the paper's network, channels last: 256 to 256, 3 x 3, on 138 px."""
    dtype = getattr(torch, arguments.which)
    layer = nn.Conv2d(256, 256, 3).to(dtype).to(memory_format=torch.channels_last)
    maps = torch.randn(1, 256, 138, 138, dtype=dtype).contiguous(memory_format=torch.channels_last)

    def ten() -> None:
        with torch.inference_mode():
            for _ in range(10):
                layer(maps)

    return ten


def tile_for(side: int) -> int:
    """The side of the input tile that is chosen for a square image; measured, then remembered."""
    tile: int = _predictor("auto", "auto", "none", side).input_shape[0]
    return tile


def _predictor(engine: str, precision: str, average: str, side: int | None = None) -> Any:
    from biounet.config import PAPER
    from biounet.model import Intensity, ModelFile
    from biounet.networks import build_network
    from biounet.prediction.engines.agreement import Agreement
    from biounet.prediction.engines.rounding import rounding_record
    from biounet.prediction.predictor import Ahead, make_predictor

    model = ModelFile(
        settings=PAPER,
        weights=build_network(PAPER.network).state_dict(),
        class_names=("background", "cell"),
        intensity=Intensity((0.0,), (1.0,)),
        provenance=rounding_record("bfloat16", Agreement(0.0, 0.0)),  # as if trained well
    )
    ahead = None if side is None else Ahead(np.zeros((1, side, side), np.float32), 1)
    return make_predictor(model, "cpu", precision, None, average, engine, ahead)


WORKS: dict[str, Callable[[argparse.Namespace], Work]] = {
    "image": image_work,
    "large": large_work,
    "training": training_work,
    "matmul": matmul_work,
    "convolution": convolution_work,
}


def main() -> None:
    """Make ready, warm up, and wait for turns."""
    parser = argparse.ArgumentParser()
    parser.add_argument("kind", choices=WORKS)
    parser.add_argument("which")
    parser.add_argument("--side", type=int, default=700)
    parser.add_argument("--rows", type=int, default=2, help="of tiles of the large image")
    parser.add_argument("--average", default="none")
    parser.add_argument("--preset", default="paper")
    parser.add_argument("--cold", action="store_true", help="no run to warm up")
    arguments = parser.parse_args()
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # whatever a tool prints goes to standard error
    torch.manual_seed(0)
    work = WORKS[arguments.kind](arguments)
    if not arguments.cold:
        work()
    print(json.dumps({"torch": torch.__version__}), file=answers, flush=True)
    for _ in sys.stdin:
        began = time.perf_counter()
        part = work()
        seconds = part if isinstance(part, float) else time.perf_counter() - began
        print(json.dumps({"seconds": seconds}), file=answers, flush=True)


if __name__ == "__main__":
    main()
