"""The results as Markdown: every row with its bar, and whether it is met."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

BEGIN, END = "<!-- begin: make bench -->", "<!-- end: make bench -->"

PICTURE = "![GFLOP/s of each engine, and the measured peaks](images/roofline.png)"

Results = dict[str, Any]


@dataclass(frozen=True)
class Row:
    """One line of the table."""

    what: str
    found: str
    wanted: str = ""
    met: bool | None = None

    def __str__(self) -> str:
        """As Markdown."""
        met = {True: "yes", False: "**no**", None: ""}[self.met]
        return f"| {self.what} | {self.found} | {self.wanted} | {met} |"


def markdown(results: Results) -> str:
    """The table, and what the machine was."""
    machine = results["machine"]
    rows = [row for make in ROWS for row in make(results)]
    native = "computes" if machine["native_bfloat16"] else "does not compute"
    return "\n".join(
        [
            f"Machine: {machine['processor']}, {machine['cores']} cores, "
            f"{machine['memory_gib']} GiB, {machine['instructions']}; it {native} bfloat16 "
            f"natively; GPU: {machine['gpu'] or 'none'}. {machine['system']}, "
            f"Python {machine['python']}, PyTorch {machine['torch']}.",
            "",
            "| what | measured | wanted | met |",
            "|---|---|---|---|",
            *map(str, rows),
        ]
    )


def write_page(results: Results, page: Path) -> None:
    """Put the table between the page's markers."""
    text = page.read_text()
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    picture = f"\n\n{PICTURE}" if has_picture(results) else ""
    page.write_text(f"{before}{BEGIN}\n{markdown(results)}{picture}\n{END}{after}")


def has_picture(results: Results) -> bool:
    """Whether what the roofline shows was measured."""
    return "peak" in results and "image" in results


def seconds(found: dict[str, Any]) -> str:
    """A median with its spread."""
    digits = 3 if found["median_s"] < 10 else 1
    low, high = (f"{found[key]:.{digits}f}" for key in ("least_s", "most_s"))
    noisy = f"; others took {found['others']:.0%}" if found["others"] > 0.04 else ""
    return f"{found['median_s']:.{digits}f} s ({low} to {high}, n = {found['n']}{noisy})"


def times(ratio: dict[str, float]) -> str:
    """A ratio with its spread."""
    return f"**{ratio['median']:.2f}x** (rounds: {ratio['least']:.2f} to {ratio['most']:.2f})"


def at_peak(results: Results, plain: dict[str, Any], gflop: float) -> str:
    """How many times faster the measured peak of a convolution would be, in bfloat16."""
    if "peak" not in results:
        return ""
    peak = results["peak"]["convolution bfloat16"]["gflop_s"]
    return f"; at the measured peak {plain['median_s'] * peak / gflop:.2f}x"


def image_rows(results: Results) -> Iterator[Row]:
    """One image."""
    if (found := results.get("image")) is None:
        return
    wanted = 6.0 if results["machine"]["native_bfloat16"] else 2.7
    yield Row("One 512 x 512 image (one 700 px tile), plain PyTorch", seconds(found["plain"]))
    for name, one in found.items():
        if "-" in name and isinstance(one, dict):
            engine, precision = name.split("-")
            speed = found["gflop"] / one["median_s"]
            yield Row(f"… {engine}, {precision}", f"{seconds(one)}, {speed:.0f} GFLOP/s")
    yield Row("… `--engine auto --precision auto`", seconds(found["auto"]))
    ratio = found["ratio"]
    words = times(ratio) + at_peak(results, found["plain"], found["gflop"])
    yield Row("… times faster than plain", words, f"{wanted:g}x", ratio["median"] >= wanted)
    over = found["auto_over_best"]
    yield Row(
        "… time of auto over the best engine's",
        f"{over:.2f} ({found['best_engine']})",
        "1.1",
        over <= 1.1,
    )


def rounding_rows(results: Results) -> Iterator[Row]:
    """What bfloat16 changes."""
    for one in (results.get("rounding") or {}).get("models", []):
        changed = one["changed"]
        yield Row(
            f"bfloat16 against float32: {one['what']}, {one['n_px'] / 1e6:.1f} megapixels",
            f"{changed:.3%} other labels, probabilities off by up to {one['largest']:.3f}; "
            f"`auto` takes {one['auto']}",
            "0.1 %, or float32",
            changed <= 1e-3 or one["auto"] == "float32",
        )


def large_rows(results: Results) -> Iterator[Row]:
    """A large image."""
    if (found := results.get("large")) is None:
        return
    of = f"{found['image_side']} x {found['image_side']} px"
    factor = found["work_factor"]
    yield Row(
        f"Work for {of} over that of as many pixels of an endless image",
        f"{factor:.2f} (tile {found['tile']} px)",
        "1.3",
        factor <= 1.3,
    )
    names = {
        "ours": ("biounet", None),
        "monai": ("MONAI, overlap 0.25", 7.0),
        "monai-gaussian": ("MONAI, overlap 0.5, Gaussian", 15.0),
        "smp": ("segmentation-models-pytorch, U-Net on ResNet-34, whole image", None),
    }
    for name, (words, bar) in names.items():
        if name in found["missing"]:
            yield Row(words, f"not measured: {found['missing'][name]}")
            continue
        if name not in found:
            continue
        yield Row(f"{words}, {of}", seconds(found[name]))
        if bar is not None:
            ratio = found["ratios"][name]
            limit = at_peak(results, found[name], found["gflop"])
            met = ratio["median"] >= bar
            yield Row("… biounet is faster", times(ratio) + limit, f"{bar:g}x", met)


def memory_rows(results: Results) -> Iterator[Row]:
    """Peak memory."""
    peaks = {
        piece.removeprefix("memory-"): found["peak_gib"]
        for piece, found in results.items()
        if piece.startswith("memory-")
    }
    if peaks:
        words = ", ".join(f"{side} px: {peaks[side]:.2f}" for side in sorted(peaks, key=int))
        most, smallest = max(peaks.values()), peaks[min(peaks, key=int)]
        met = most < 4 and most < 1.15 * smallest
        yield Row("Peak memory of `biounet predict`, GiB", words, "under 4, flat", met)


def training_rows(results: Results) -> Iterator[Row]:
    """A step of training."""
    for preset in ("paper", "fast"):
        if (found := results.get(f"training-{preset}")) is None:
            continue
        yield Row(f"Training step, preset `{preset}`, plain PyTorch", seconds(found["plain"]))
        yield Row("… biounet", seconds(found["ours"]))
        ratio = found["ratio"]
        words = times(ratio) + at_peak(results, found["plain"], found["gflop"])
        yield Row("… times faster", words, "2.5x", ratio["median"] >= 2.5)
        share = found["sampling_share"]
        yield Row("… drawing the batch, of the step", f"{share:.1%}", "3 %", share < 0.03)


def other_rows(results: Results) -> Iterator[Row]:
    """Averaging, start-up, GPU."""
    if found := results.get("averaging"):
        ratio = found["ratio"]
        met = ratio["median"] <= 8.2
        yield Row("d4 averaging, over one pass", times(ratio), "8.2x", met)
    bars = {"biounet --help": 0.3, "import biounet": 0.2}
    for name, bar in bars.items():
        if one := results.get("start-up", {}).get(name):
            yield Row(f"`{name}`", seconds(one), f"{bar} s", one["median_s"] < bar)
    if found := results.get("gpu"):
        bars = {"batch 1": 283, "batch 16": 424, "training": 119}
        for name, bar in bars.items():
            met = found[name] >= bar
            yield Row(
                f"GPU, bfloat16, 572 px, {name}", f"{found[name]:.0f} images/s", str(bar), met
            )
        yield Row(
            "… share of the measured peak of a matrix product",
            f"{found['share_of_peak']:.0%} of {found['peak_tflop_s']:.0f} TFLOP/s",
        )
    else:
        yield Row(
            "GPU: images/s at batch 1 and 16, training", "open: no GPU at hand", "283, 424, 119"
        )


def peak_rows(results: Results) -> Iterator[Row]:
    """The arithmetic peak."""
    for name, one in results.get("peak", {}).items():
        if isinstance(one, dict):
            yield Row(f"Peak: {name}", f"{one['gflop_s']} GFLOP/s")


def small_rows(results: Results) -> Iterator[Row]:
    """The pieces beside the network."""
    for name, one in results.get("small", {}).items():
        if isinstance(one, dict):
            bar = one.get("wanted_s")
            met = None if bar is None else one["median_s"] <= bar
            yield Row(f"One core: {name}", seconds(one), "" if bar is None else f"{bar:g} s", met)


ROWS = (
    image_rows,
    rounding_rows,
    large_rows,
    memory_rows,
    training_rows,
    other_rows,
    peak_rows,
    small_rows,
)
