"""How long one image takes: U-Net, the sliding window patch by patch, and the same densely.

The paper's point is that separate patches are slow; here it is measured, on one machine in one
run. Weights are random: they do not change the time. All windows of an image patch by patch take
minutes to hours, so a part of them is timed and the rest computed from it, and the output says so
(`--n-windows 0` times them all).

    python benchmarks/sliding_window.py --json sliding_window.json
"""

import argparse
import json
import statistics
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import torch

from biounet.config import RECIPES, Settings, merged, validated_settings
from biounet.model import Intensity, ModelFile, network_of
from biounet.network_settings import SlidingWindowSettings, UNetSettings
from biounet.networks import build_network
from biounet.networks.sliding_window import SlidingWindow
from biounet.prediction.engines import choose_device
from biounet.prediction.predictor import make_predictor, predict_plane


def untrained(settings: Settings) -> ModelFile:
    """A model with random weights."""
    return ModelFile(
        settings=settings,
        weights=build_network(settings.network).state_dict(),
        class_names=("background", "cell"),
        intensity=Intensity((0.0,), (1.0,)),
        provenance={},
    )


def with_network(network: UNetSettings | SlidingWindowSettings) -> Settings:
    """Settings of a network, with its paper's recipe."""
    tree = merged(Settings().model_dump(), RECIPES[network.kind])
    return validated_settings({**tree, "network": network.model_dump()})


def median_s(work: Callable[[], object], repeats: int) -> float:
    """The median time of `repeats` runs."""
    times = []
    for _ in range(repeats):
        began = time.perf_counter()
        work()
        times.append(time.perf_counter() - began)
    return statistics.median(times)


def measure(
    side: int, n_windows: int, repeats: int, device: str, precision: str
) -> dict[str, float | int | str]:
    """Seconds for one image (side, side) by each way, and their ratios."""
    torch.manual_seed(0)
    image = np.random.default_rng(0).normal(size=(1, side, side)).astype(np.float32)
    n_all = side * side
    n_timed = min(n_windows or n_all, n_all)
    unet = untrained(with_network(UNetSettings()))
    window = untrained(with_network(SlidingWindowSettings()))
    predictors = [make_predictor(m, device, precision, None, "none") for m in (unet, window)]
    whole = [partial(predict_plane, predictor, image) for predictor in predictors]
    for predict in whole:
        predict()  # the first time does not count
    unet_s, dense_s = (median_s(predict, repeats) for predict in whole)

    chosen = choose_device(device)
    network = network_of(window).to(chosen).eval()
    assert isinstance(network, SlidingWindow)
    n_rows = max(n_timed // side, 1)
    n_columns = min(side, n_timed)
    margin = network.window_px - 1
    padded = np.pad(image, [(0, 0), *[(margin // 2, margin // 2)] * 2], mode="reflect")
    strip = torch.from_numpy(padded[None, :, : n_rows + margin, : n_columns + margin]).to(chosen)
    n_timed = n_rows * n_columns
    with torch.inference_mode():
        few = strip[:, :, : margin + 4, : margin + 16]
        difference = (network.classify_pixels(few) - network.dense(few)).abs().max().item()
        patches_s = median_s(
            lambda: network.classify_pixels(strip).cpu(), repeats if n_windows else 1
        )
    patch_by_patch_s = patches_s * n_all / n_timed
    return {
        "image_px": side,
        "unet_s": unet_s,
        "dense_s": dense_s,
        "patch_by_patch_s": patch_by_patch_s,
        "windows_timed": n_timed,
        "windows_of_the_image": n_all,
        "patch_by_patch_over_unet": patch_by_patch_s / unet_s,
        "patch_by_patch_over_dense": patch_by_patch_s / dense_s,
        "dense_over_unet": dense_s / unet_s,
        "largest_difference_of_logits": difference,
        "device": torch.cuda.get_device_name() if chosen.type == "cuda" else str(chosen),
        "threads": torch.get_num_threads(),
        "precision": precision,
        "repeats": repeats,
        "torch": torch.__version__,
    }


def in_words(result: dict[str, float | int | str]) -> str:
    """The result as lines of text."""
    timed, n_all = result["windows_timed"], result["windows_of_the_image"]
    how = "all timed" if timed == n_all else f"computed from {timed:,} of {n_all:,} windows"
    return "\n".join(
        [
            f"one image of {result['image_px']} x {result['image_px']} px, {result['device']}, "
            f"{result['threads']} threads, {result['precision']}, median of {result['repeats']}",
            f"U-Net of the paper             {result['unet_s']:10.3f} s",
            f"sliding window, densely        {result['dense_s']:10.3f} s"
            f"   {result['dense_over_unet']:.2f} x the U-Net",
            f"sliding window, patch by patch {result['patch_by_patch_s']:10.1f} s"
            f"   {result['patch_by_patch_over_unet']:.0f} x the U-Net, "
            f"{result['patch_by_patch_over_dense']:.0f} x the dense form ({how})",
            f"largest difference between the two forms' logits: "
            f"{result['largest_difference_of_logits']:.1e}",
        ]
    )


def main() -> None:
    """Measure and print; write JSON if asked."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--side", type=int, default=512, help="of the image, px")
    parser.add_argument("--n-windows", type=int, default=4096, help="to time; 0: all")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--precision", default="float32", help="of U-Net and dense form")
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    result = measure(asked.side, asked.n_windows, asked.repeats, asked.device, asked.precision)
    if asked.json is not None:
        asked.json.write_text(json.dumps(result, indent=1) + "\n")
    print(in_words(result))


if __name__ == "__main__":
    main()
