"""Charts as SVG elements that take their colours and their font from the page around them."""

import io
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from matplotlib.axes import Axes

NARROW_INCHES, WIDE_INCHES = (4.1, 2.9), (6.2, 3.4)
INK, LINE = "#010203", "#010204"
SERIES = ("#010205", "#010206", "#010207")
_PAGE_COLOURS = {
    INK: "currentColor",
    LINE: "var(--line)",
    SERIES[0]: "var(--series-1)",
    SERIES[1]: "var(--series-2)",
    SERIES[2]: "var(--series-3)",
}
"""Stand-ins that matplotlib draws with, and what the page puts in their place."""

_STYLE = {
    "svg.fonttype": "none",
    "font.size": 11,
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": LINE,
    "axes.labelpad": 7,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": LINE,
    "grid.linewidth": 0.8,
    "xtick.color": INK,
    "ytick.color": INK,
    "xtick.major.size": 0,
    "ytick.major.size": 0,
    "xtick.minor.size": 0,
    "ytick.minor.size": 0,
    "xtick.major.pad": 7,
    "ytick.major.pad": 7,
}


@dataclass(frozen=True)
class Curve:
    """A line of a chart: points, a name, and a fainter line behind it if `raw` is given."""

    name: str
    x: Sequence[float]
    y: Sequence[float]
    raw: Sequence[float] | None = None
    points: bool = False


def curves_svg(
    name: str,
    curves: Sequence[Curve],
    x_label: str,
    y_label: str,
    log: bool = False,
    whole_steps: bool = True,
    y_limits: tuple[float, float] | None = None,
) -> str:
    """Curves over one axis.

    Args:
        name: of the chart, unlike that of any other on the page.
        log: the vertical axis is logarithmic.
        whole_steps: the horizontal axis has whole numbers only.
    """
    from matplotlib.ticker import FuncFormatter, MaxNLocator

    def draw(axes: "Axes") -> None:
        for curve, colour in zip(curves, SERIES, strict=False):
            if curve.raw is not None:
                axes.plot(curve.x, curve.raw, color=colour, alpha=0.3, linewidth=1)
            axes.plot(
                curve.x,
                curve.y,
                color=colour,
                linewidth=2,
                label=curve.name,
                marker="o" if curve.points else "",
                markersize=4.5,
            )
        if log:
            axes.set_yscale("log")
            axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axes.xaxis.set_major_locator(MaxNLocator(nbins=5, integer=whole_steps))
        if y_limits is not None:
            axes.set_ylim(*y_limits)
        axes.grid(axis="x", visible=False)
        axes.set_xlabel(x_label)
        axes.set_ylabel(y_label)
        if len(curves) > 1:
            axes.legend(frameon=False, loc="best", handlelength=1.4)

    return _svg(name, NARROW_INCHES, draw)


def histogram_svg(
    name: str, groups: Sequence[tuple[str, NDArray[Any]]], x_label: str, y_label: str
) -> str:
    """Histograms of one quantity over common bins, drawn as steps."""
    everything = np.concatenate([values for _, values in groups])
    highest = float(np.percentile(everything, 99.5)) * 1.08
    edges = np.linspace(0, max(highest, 1), 25)

    from matplotlib.ticker import MaxNLocator

    def draw(axes: "Axes") -> None:
        for k, ((label, values), colour) in enumerate(zip(groups, SERIES, strict=False)):
            counts, _ = np.histogram(np.minimum(values, edges[-1]), edges)
            axes.stairs(
                counts,
                edges,
                color=colour,
                fill=k == 0,
                alpha=0.55 if k == 0 else 1,
                linewidth=2,
                label=label,
            )
        axes.grid(axis="x", visible=False)
        axes.set_xlim(0, edges[-1])
        axes.set_xlabel(x_label)
        axes.set_ylabel(y_label)
        axes.yaxis.set_major_locator(MaxNLocator(nbins="auto", integer=True))
        if len(groups) > 1:
            axes.legend(frameon=False, loc="best", handlelength=1.4)

    return _svg(name, WIDE_INCHES, draw)


def _svg(name: str, size: tuple[float, float], draw: Any) -> str:
    """Draw a figure; its SVG element, in the page's colours."""
    import matplotlib
    from matplotlib.figure import Figure

    style: Any = {**_STYLE, "svg.hashsalt": name}
    with matplotlib.rc_context(style):
        figure = Figure(figsize=size, layout="constrained")
        draw(figure.add_subplot())
        file = io.StringIO()
        figure.savefig(
            file,
            format="svg",
            transparent=True,
            metadata={"Date": None, "Creator": None, "Format": None, "Type": None},
        )
    text = file.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r' id="[A-Za-z0-9.]+_[0-9]+"', "", text)  # every chart has the same ones
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    text = re.sub(r'(<svg[^>]*?) width="[^"]*"', r"\1", text, count=1)
    text = re.sub(r'(<svg[^>]*?) height="[^"]*"', r"\1", text, count=1)
    for stand_in, colour in _PAGE_COLOURS.items():
        text = text.replace(stand_in, colour)
    return text


def smoothed(values: Sequence[float], n_around: int) -> list[float]:
    """The mean of each value and the `n_around` before and after it, fewer at the ends."""
    sums = np.concatenate([[0.0], np.cumsum(values)])
    index = np.arange(len(values))
    start = np.maximum(index - n_around, 0)
    stop = np.minimum(index + n_around + 1, len(values))
    means: list[float] = ((sums[stop] - sums[start]) / (stop - start)).tolist()
    return means
