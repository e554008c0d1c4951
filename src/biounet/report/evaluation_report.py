"""The page about an evaluation: scores, scores of each image, mistakes in the worst ones."""

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from biounet.images.dataset import Annotated
from biounet.learning.gallery import ImageResult, PredictedView
from biounet.learning.views import shown_box, view_of
from biounet.metrics.outcomes import classify_objects
from biounet.report.charts import Curve, curves_svg
from biounet.report.page import (
    Block,
    Code,
    Number,
    Page,
    Picture,
    Pictures,
    Section,
    Table,
    write_page,
)
from biounet.report.predictions_section import comparison, mistakes_legend, scores_table

N_SHOWN = 6


@dataclass(frozen=True)
class Compared:
    """A prediction and its truth in memory.

    Attributes:
        prediction, truth: integer labels, (Y, X) or (Z, Y, X).
        image: the grey values, (C, Y, X) or (C, Z, Y, X); None where they are not at hand.
        annotated: bool, False where nobody annotated; None: all of it is.
    """

    prediction: NDArray[Any]
    truth: NDArray[Any]
    image: NDArray[Any] | None = None
    annotated: NDArray[np.bool_] | None = None


@dataclass(frozen=True)
class EvaluatedImage:
    """An image (or frame, or slice) that was scored.

    Attributes:
        scores: by name; the first one decides which image is worst, larger is better.
        read: reads it again for a picture; called for the worst ones only. None: no picture.
    """

    name: str
    scores: Mapping[str, float]
    read: Callable[[], Compared] | None = None


def write_evaluation_report(
    path: Path,
    title: str,
    scores: Mapping[str, float],
    images: Sequence[EvaluatedImage],
    labels_are: str,
    command: str,
    by_threshold: Mapping[str, Mapping[str, float]] | None = None,
    note: str = "",
    unit: str = "image",
) -> Path:
    """Write the page about an evaluation; its path.

    Args:
        path: of the page.
        title: what was evaluated.
        scores: of everything together, the most important first; up to five stand on top.
        images: each by itself.
        labels_are: `instances`, `mask` or `classes`: decides what counts as a mistake.
        command: how to repeat it.
        by_threshold: scores by threshold, each a curve: name -> {threshold: value}.
        note: said above the images.
        unit: what `images` are.

    Raises:
        InputError: it cannot be written there.
    """
    ordered = worst_first(images)
    sections = [_scores_section(scores, by_threshold or {})]
    if ordered:
        sections.append(
            images_section(
                ordered,
                labels_are,
                f"{unit.capitalize()} by {unit}",
                f"{note}The worst come first.",
            )
        )
    sections.append(Section("repeat", "To repeat this evaluation", (Code(command),)))
    n = len(images)
    page = Page(
        kicker="Evaluation",
        title=title,
        subtitle=f"{n} {unit if n == 1 else unit + 's'} compared with the truth."
        if n
        else "Prediction compared with the truth.",
        numbers=tuple(
            Number(number(value), name, "smaller is better" if "error" in name else "")
            for name, value in list(scores.items())[:5]
        ),
        sections=tuple(sections),
    )
    return write_page(page, path)


def number(value: float | None) -> str:
    """A score with three decimals, a small one with two digits; – where there is none."""
    if value is None or math.isnan(value):
        return "–"
    return f"{value:.3f}" if value == 0 or abs(value) >= 0.01 else f"{value:.2g}"


def worst_first(images: Sequence[EvaluatedImage]) -> list[EvaluatedImage]:
    """Sorted by the first score of each; what has none comes last."""
    return sorted(images, key=lambda image: _worth(next(iter(image.scores.values()), 0.0)))


def _worth(score: float | None) -> float:
    """For sorting: what has no score comes last."""
    return math.inf if score is None or math.isnan(score) else score


def _scores_section(
    scores: Mapping[str, float], by_threshold: Mapping[str, Mapping[str, float]]
) -> Section:
    blocks: list[Block] = [
        Table(("Score", "Value"), tuple((name, number(value)) for name, value in scores.items()))
    ]
    if by_threshold:
        curves = [
            Curve(name, [float(t) for t in values], list(values.values()), points=len(values) < 20)
            for name, values in by_threshold.items()
        ]
        svg = curves_svg("by-threshold", curves, "threshold", "score", whole_steps=False)
        described = "; ".join(
            f"{name} from {number(next(iter(v.values())))} to {number(list(v.values())[-1])}"
            for name, v in by_threshold.items()
        )
        blocks.append(
            Pictures((Picture(svg, f"Scores by threshold: {described}.", "", "By threshold"),), 420)
        )
    return Section("scores", "Scores", tuple(blocks))


def images_section(
    images: Sequence[EvaluatedImage], labels_are: str, title: str, lead: str
) -> Section:
    """Images in the order that they come: the first ones with their mistakes, all with scores."""
    results = tuple(ImageResult(i.name, dict(i.scores), {}, {}) for i in images)
    blocks: list[Block] = []
    for image, result in list(zip(images, results, strict=True))[:N_SHOWN]:
        if image.read is not None:
            blocks.append(_picture(image.read(), result, labels_are))
    if blocks:
        blocks.insert(0, mistakes_legend(labels_are))
    return Section("images", title, (*blocks, scores_table(results)), lead)


def _picture(compared: Compared, result: ImageResult, labels_are: str) -> Pictures:
    """One image with its mistakes; on plain grey where the image is not at hand."""
    truth = compared.truth.astype(np.int32)
    prediction = compared.prediction.astype(np.int32)
    image = compared.image
    if image is None:
        image = np.zeros((1, *truth.shape), np.uint8)
    if labels_are == "instances":
        ignore = None if compared.annotated is None else ~compared.annotated
        outcomes = classify_objects(prediction, truth, ignore=ignore)
        result = replace(
            result,
            true_objects=dict(Counter(o.value for o in outcomes.truth.values())),
            predicted_objects=dict(Counter(o.value for o in outcomes.prediction.values())),
        )
    view = view_of(Annotated(result.name, image, truth, compared.annotated))
    return comparison(PredictedView(view, prediction[shown_box(truth)]), result, labels_are)
