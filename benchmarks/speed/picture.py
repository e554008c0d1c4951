"""The roofline: what each engine achieves of the machine's arithmetic peak."""

from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

COLOURS = {"float32": "#4477aa", "bfloat16": "#cc6677"}


def draw(results: dict[str, Any], path: Path) -> None:
    """GFLOP/s of every engine on one image, under the measured peaks."""
    image, peak = results["image"], results["peak"]
    engines = {
        "PyTorch, plain": ("plain", "float32"),
        "PyTorch": ("torch-float32", "float32"),
        "ONNX Runtime": ("onnx-float32", "float32"),
        "OpenVINO": ("openvino-float32", "float32"),
        "PyTorch ": ("torch-bfloat16", "bfloat16"),
        "OpenVINO ": ("openvino-bfloat16", "bfloat16"),
    }
    figure = Figure(figsize=(7, 3.2), dpi=110, layout="constrained")
    axes = figure.subplots()
    for name, (key, precision) in engines.items():
        if key in image:
            speed = image["gflop"] / image[key]["median_s"]
            bar = axes.barh(name, speed, color=COLOURS[precision], height=0.6)
            axes.bar_label(bar, fmt="%.0f", padding=-28, color="white")
    for precision, colour in COLOURS.items():
        most = max(peak[f"{kind} {precision}"]["gflop_s"] for kind in ("matmul", "convolution"))
        axes.axvline(most, color=colour, linestyle="--", label=f"{precision}, peak: {most}")
    axes.invert_yaxis()
    axes.set_xlabel("GFLOP/s, one 700 px tile of the paper's network")
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(loc="upper right", bbox_to_anchor=(0.93, 1), frameon=False)
    figure.savefig(path)
