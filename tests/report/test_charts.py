"""Charts: SVG that takes its colours from the page, without what would clash on one page."""

import re
import xml.etree.ElementTree as ElementTree

import numpy as np

from biounet.report.charts import Curve, curves_svg, histogram_svg, smoothed


def chart(name: str = "loss") -> str:
    curve = Curve("smoothed", [1, 2, 3], [1.0, 0.5, 0.1], raw=[2.0, 0.2, 0.1])
    return curves_svg(name, [curve, Curve("other", [1, 3], [1, 2], points=True)], "step", "loss")


def test_the_mean_of_neighbours() -> None:
    assert smoothed([1, 2, 3, 10], 1) == [1.5, 2.0, 5.0, 6.5]
    assert smoothed([1, 2, 3], 0) == [1.0, 2.0, 3.0]


def test_a_chart_is_xml_with_the_pages_colours_and_words_as_text() -> None:
    svg = chart()
    root = ElementTree.fromstring(svg)
    assert root.get("viewBox") and root.get("width") is None and root.get("height") is None
    assert "currentColor" in svg and "var(--series-1)" in svg and "var(--series-2)" in svg
    assert "#0102" not in svg
    words = {"".join(text.itertext()).strip() for text in root.iter() if text.tag.endswith("text")}
    assert {"step", "loss", "smoothed", "other"} <= words
    assert "<metadata" not in svg and "<!DOCTYPE" not in svg


def test_the_same_chart_twice_is_the_same_text() -> None:
    assert chart() == chart()


def test_charts_of_one_page_share_no_ids() -> None:
    first, second = (set(re.findall(r' id="([^"]+)"', chart(name))) for name in ("a", "b"))
    assert first and not first & second


def test_a_wide_range_is_shown_on_a_logarithmic_axis_in_plain_numbers() -> None:
    svg = curves_svg("x", [Curve("y", [1, 2, 3], [100.0, 1.0, 0.01])], "step", "loss", log=True)
    words = {"".join(e.itertext()).strip() for e in ElementTree.fromstring(svg).iter()}
    assert {"100", "1", "0.01"} <= words


def test_histograms_share_their_bins() -> None:
    svg = histogram_svg(
        "sizes", [("true", np.array([1.0, 2, 2, 30])), ("predicted", np.zeros(0))], "px", "objects"
    )
    ElementTree.fromstring(svg)
    assert "predicted" in svg
