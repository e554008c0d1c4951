"""The part of a page that shows predictions beside the truth: scores, mistakes, sizes."""

import numpy as np

from biounet.learning.gallery import ImageResult, PredictedView, ValidationGallery
from biounet.metrics.outcomes import Outcome
from biounet.report.data_section import diameters_px, sizes_picture
from biounet.report.page import Block, Legend, Picture, Pictures, Section, Table
from biounet.report.pictures import (
    OUTCOME_COLOURS,
    YELLOW,
    css,
    mistakes_picture,
    outlined,
    photo_uri,
    segmentation_picture,
)
from biounet.report.words import name_of, title

PANEL_PX = 520
N_LARGE = 6
MOST_ROWS = 40

MEANINGS = {
    "instances": {
        Outcome.MATCHED: "found",
        Outcome.MISSED: "missed",
        Outcome.EXTRA: "extra",
        Outcome.MERGED: "merged with a neighbour",
        Outcome.SPLIT: "split into pieces",
    },
    "mask": {
        Outcome.MATCHED: "found",
        Outcome.MISSED: "missed pixels",
        Outcome.EXTRA: "extra pixels",
    },
    "classes": {
        Outcome.MATCHED: "right",
        Outcome.MISSED: "missed pixels",
        Outcome.EXTRA: "extra pixels",
        Outcome.MERGED: "wrong class",
    },
}


def predictions_section(gallery: ValidationGallery) -> Section:
    """Predictions beside truth with mistakes in colour, scores worst first, sizes."""
    blocks: list[Block] = [mistakes_legend(gallery.labels_are)]
    results = {result.name: result for result in gallery.results}
    for each in gallery.views[:N_LARGE]:
        blocks.append(comparison(each, results[each.view.name], gallery.labels_are))
    others = gallery.views[N_LARGE:]
    if others:
        blocks.append(
            Pictures(
                tuple(
                    Picture(
                        _mistakes(each, gallery.labels_are, PANEL_PX * 3 // 4),
                        f"Mistakes in {name_of(each.view.name)}.",
                        f"{title(each.view.name)}: {described(results[each.view.name])}",
                    )
                    for each in others
                ),
                width_px=220,
                title="More images",
            )
        )
    blocks.append(scores_table(gallery.results))
    if len(gallery.true_sizes_px) > 1:
        blocks.append(
            Pictures(
                (
                    sizes_picture(
                        "validation-sizes",
                        [
                            ("true", diameters_px(gallery.true_sizes_px, gallery.dimensions)),
                            (
                                "predicted",
                                diameters_px(gallery.predicted_sizes_px, gallery.dimensions),
                            ),
                        ],
                    ),
                ),
                width_px=420,
            )
        )
    return Section(
        "predictions",
        "Predictions on images held out from training",
        tuple(blocks),
        "The network never learned from these images. The worst come first.",
    )


def mistakes_legend(labels_are: str) -> Legend:
    """What the colours of mistakes mean."""
    return Legend(
        (
            *(
                (css(OUTCOME_COLOURS[outcome]), outcome is Outcome.MATCHED, meaning)
                for outcome, meaning in MEANINGS[labels_are].items()
            ),
            (css(YELLOW), True, "outline of the truth"),
        )
    )


def comparison(each: PredictedView, result: ImageResult, labels_are: str) -> Pictures:
    """One image: truth, prediction with the truth's outline (Fig. 4 of the paper), mistakes."""
    view = each.view
    return Pictures(
        (
            Picture(
                photo_uri(outlined(view.image, view.labels, PANEL_PX)),
                f"{title(view.name)} with the outlines of the truth.",
                "Image and truth",
            ),
            Picture(
                photo_uri(
                    segmentation_picture(
                        view.image, each.predicted, view.labels, labels_are, PANEL_PX
                    )
                ),
                "The predicted labels in colour, the outlines of the truth in yellow.",
                "Prediction in colour, truth in yellow",
            ),
            Picture(
                _mistakes(each, labels_are, PANEL_PX),
                f"What is wrong in {name_of(view.name)}: {described(result)}.",
                "Mistakes",
            ),
        ),
        width_px=210,
        title=title(view.name),
        caption=described(result) + ("" if view.whole else " One slice or part of it is shown."),
    )


def _mistakes(each: PredictedView, labels_are: str, side_px: int) -> str:
    view = each.view
    return photo_uri(
        mistakes_picture(
            view.image, each.predicted, view.labels, view.annotated, labels_are, side_px
        )
    )


def described(result: ImageResult) -> str:
    """Scores and mistakes of an image in words."""
    text = ", ".join(f"{name} {value:.2f}" for name, value in result.scores.items())
    if not result.true_objects and not result.predicted_objects:
        return f"{text}."
    true = result.true_objects
    counts = [
        (true.get("missed", 0), "missed"),
        (result.predicted_objects.get("extra", 0), "extra"),
        (true.get("merged", 0), "merged"),
        (true.get("split", 0), "split"),
    ]
    mistakes = ", ".join(f"{n} {name}" for n, name in counts if n)
    found = f"{true.get('matched', 0)} of {sum(true.values())} found"
    return f"{found}{', ' if mistakes else ''}{mistakes}. {text}."


def scores_table(results: tuple[ImageResult, ...]) -> Table:
    """Scores of each image, worst first."""
    names = tuple(results[0].scores)
    objects = any(result.true_objects or result.predicted_objects for result in results)
    rows = []
    for result in results[:MOST_ROWS]:
        true, predicted = result.true_objects, result.predicted_objects
        counts = (
            sum(true.values()),
            true.get("matched", 0),
            true.get("missed", 0),
            predicted.get("extra", 0),
            true.get("merged", 0),
            true.get("split", 0),
        )
        rows.append(
            (
                result.name,
                *(f"{result.scores[name]:.3f}" for name in names),
                *(map(str, counts) if objects else ()),
            )
        )
    n_left_out = len(results) - len(rows)
    return Table(
        (
            "Image",
            *names,
            *(("Objects", "Found", "Missed", "Extra", "Merged", "Split") if objects else ()),
        ),
        tuple(rows),
        bars=1,
        caption="Scores of each image, worst first"
        + (f" ({n_left_out} better ones are left out)" if n_left_out else ""),
    )


def total_objects(gallery: ValidationGallery) -> tuple[int, int]:
    """(objects found, objects there are) in all validation images."""
    found = int(np.sum([r.true_objects.get("matched", 0) for r in gallery.results]))
    return found, int(np.sum([sum(r.true_objects.values()) for r in gallery.results]))
