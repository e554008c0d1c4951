"""The charts of a reproduction: area by slice, scores by threshold, accuracy against window."""

from collections.abc import Sequence

from biounet.report.charts import Curve, curves_svg
from biounet.report.page import Picture, Pictures, Section, Table
from biounet.reproduce.contest import NetworkResult
from biounet.reproduce.tasks import Kind, Task

BY_THRESHOLD: dict[Kind, tuple[str, str, dict[str, str]]] = {
    "isbi2012": (
        "thresholds",
        "threshold of P(cell)",
        {"v_rand": "V_Rand", "v_info": "V_Info", "pixel_error": "Pixel Error"},
    ),
    "matching": ("iou_thresholds", "IoU from which an object is found", {"ap": "AP", "f1": "F1"}),
}
"""Of each kind that has such: the key of the thresholds, their name, and the scores that depend
on them."""


def chart_sections(
    task: Task, networks: Sequence[NetworkResult], windows: Sequence[NetworkResult]
) -> tuple[Section, ...]:
    """The sections with charts that a task has.

    Args:
        networks: U-Net, sliding window and FCN, as far as they are done.
        windows: every sliding window, by its side.
    """
    sections = []
    if task.kind == "overlap":
        sections.append(_areas(networks))
    if task.kind in BY_THRESHOLD:
        sections.append(_thresholds(*BY_THRESHOLD[task.kind], networks))
    if len(windows) > 1:
        sections.append(_windows(task, windows))
    return tuple(sections)


def _areas(networks: Sequence[NetworkResult]) -> Section:
    charts = []
    for result in networks:
        slices = list(range(len(result.images)))
        of = list(result.images.values())
        curves = (
            Curve("true", slices, [each["true_px"] for each in of]),
            Curve("predicted", slices, [each["predicted_px"] for each in of]),
        )
        svg = curves_svg(f"area-{result.name}", curves, "slice", "area, px")
        words = f"Area by slice, {result.title}, predicted and true."
        charts.append(Picture(svg, words, title=result.title))
    return Section(
        "areas",
        "Area in each slice",
        (Pictures(tuple(charts), width_px=380),),
        "Predicted against true, in pixels, over the slices that were scored.",
    )


def _thresholds(
    x_key: str, x_label: str, measures: dict[str, str], networks: Sequence[NetworkResult]
) -> Section:
    charts = []
    for key, name in measures.items():
        curves = [Curve(r.title, r.at_thresholds[x_key], r.at_thresholds[key]) for r in networks]
        svg = curves_svg(f"threshold-{key}", curves, x_label, name, whole_steps=False)
        charts.append(Picture(svg, f"{name} at every threshold, network by network.", title=name))
    return Section(
        "thresholds",
        "At every threshold",
        (Pictures(tuple(charts), width_px=380),),
        "All scored images together.",
    )


def _windows(task: Task, results: Sequence[NetworkResult]) -> Section:
    """Accuracy against window: a larger one sees more context and localises worse."""
    sides = [result.window_px or 0 for result in results]
    charts = tuple(
        Picture(
            curves_svg(
                f"window-{measure.key}",
                (
                    Curve(
                        measure.column,
                        sides,
                        [result.scores[measure.key] for result in results],
                        points=True,
                    ),
                ),
                "window, px",
                measure.column,
            ),
            f"{measure.column} against the side of the window.",
            title=f"{measure.column}: the {measure.best} is best",
        )
        for measure in task.measures
    )
    rows = tuple(
        (
            result.title,
            *(f"{result.scores[m.key]:.{m.digits}f}" for m in task.measures),
            f"{result.steps:,}",
            f"{result.seconds_per_image:.3g} s",
        )
        for result in results
    )
    head = ("Network", *(m.column for m in task.measures), "Steps", "Time per image")
    return Section(
        "windows",
        "The sliding window's dilemma",
        (Pictures(charts, width_px=320), Table(head, rows)),
        "A larger window sees more context, but its poolings cost localisation, and in the same "
        "time it learns from fewer windows.",
    )
