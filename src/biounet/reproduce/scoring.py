"""Scores of the predictions of a task, by the rules of its challenge."""

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from biounet.errors import InputError
from biounet.images.dataset import Annotated
from biounet.metrics import (
    IOU_THRESHOLDS,
    MetricWarning,
    confusion,
    evaluate_isbi2012,
    instance_scores,
    match_frame,
    match_objects,
    overlap_scores,
    seg_score,
)
from biounet.reproduce.tasks import Kind


@dataclass(frozen=True)
class TaskScores:
    """Scores of all images together, of each image, and, for ISBI 2012, at each threshold.

    `remark` is what must be known to read them, a sentence; "" where there is nothing.
    """

    values: dict[str, float]
    images: dict[str, dict[str, float]]
    at_thresholds: dict[str, tuple[float, ...]]
    remark: str = ""


def score_predictions(
    kind: Kind,
    predictions: Sequence[NDArray[Any]],
    truth: Sequence[Annotated],
    on_image: Callable[[int], None] = lambda _: None,
) -> TaskScores:
    """Score predictions against the truth.

    Args:
        predictions: (Y, X) each: P(cell) float32 for `isbi2012`, else labels, 0 = background.
        truth: of the same images.
        on_image: called with the number of images done.

    Raises:
        InputError: shapes differ.
    """
    for predicted, image in zip(predictions, truth, strict=True):
        if predicted.shape != image.labels.shape:
            raise InputError(
                f"a prediction of shape {predicted.shape} for {image.name}",
                f"{image.labels.shape}, as the labels",
                "remove it, and it is predicted again",
            )
    match kind:
        case "isbi2012":
            return _score_membranes(predictions, truth, on_image)
        case "seg":
            return _score_frames(predictions, truth, on_image)
        case "matching":
            return _score_objects(predictions, truth, on_image)
        case "overlap":
            return _score_masks(predictions, truth, on_image)


def _score_membranes(
    predictions: Sequence[NDArray[Any]],
    truth: Sequence[Annotated],
    on_image: Callable[[int], None],
) -> TaskScores:
    """The five scores of a stack, one threshold for all its slices."""
    labels = np.stack([image.labels > 0 for image in truth])
    stack = np.stack(predictions)
    with warnings.catch_warnings():  # told by the remark, beside the scores
        warnings.simplefilter("ignore", MetricWarning)
        scores = evaluate_isbi2012(stack, labels, on_slice=on_image)
    best = scores.thresholds[int(np.argmin(scores.warping_error_at))]
    is_empty = float(stack.max()) <= best
    names = ("warping_error", "rand_error", "pixel_error", "v_rand", "v_info")
    return TaskScores(
        {name: getattr(scores, name) for name in names},
        {},
        {"thresholds": scores.thresholds, **{n: getattr(scores, f"{n}_at") for n in names}},
        f"its least warping error is that of an empty prediction (threshold {best:.1f}), which "
        "costs next to nothing by definition: it says little"
        if is_empty
        else "",
    )


def _score_frames(
    predictions: Sequence[NDArray[Any]],
    truth: Sequence[Annotated],
    on_image: Callable[[int], None],
) -> TaskScores:
    """SEG; cells that nobody annotated count neither for nor against."""
    matches = []
    for number, (predicted, image) in enumerate(zip(predictions, truth, strict=True)):
        matches.append(match_frame(number, image.labels, predicted))
        on_image(number + 1)
    return TaskScores(
        {"seg": seg_score(matches)},
        {
            image.name: {"seg": seg_score([match]), "cells": len(match.truth)}
            for image, match in zip(truth, matches, strict=True)
        },
        {},
    )


def _score_objects(
    predictions: Sequence[NDArray[Any]],
    truth: Sequence[Annotated],
    on_image: Callable[[int], None],
) -> TaskScores:
    """AP and F1 of the objects of all images together, and the Data Science Bowl's mean."""
    matchings, images = [], {}
    for number, (predicted, image) in enumerate(zip(predictions, truth, strict=True)):
        ignore = None if image.annotated is None else ~image.annotated
        matched = match_objects(predicted, image.labels, ignore)
        matchings.append(matched)
        own = matched[0].counts
        images[image.name] = {"ap50": own.jaccard, "f1_50": own.f_score}
        on_image(number + 1)
    scores = instance_scores(matchings)
    at = dict(zip(IOU_THRESHOLDS, scores.pooled, strict=True))
    return TaskScores(
        {
            "ap50": at[0.5].ap,
            "f1_50": at[0.5].f1,
            "ap75": at[0.75].ap,
            "mean_ap": scores.mean_ap,
        },
        images,
        {
            "iou_thresholds": IOU_THRESHOLDS,
            "ap": tuple(s.ap for s in scores.pooled),
            "f1": tuple(s.f1 for s in scores.pooled),
        },
    )


def _score_masks(
    predictions: Sequence[NDArray[Any]],
    truth: Sequence[Annotated],
    on_image: Callable[[int], None],
) -> TaskScores:
    """Dice and IoU of all pixels together, and the area in each slice."""
    tables, images = [], {}
    for number, (predicted, image) in enumerate(zip(predictions, truth, strict=True)):
        ignore = None if image.annotated is None else ~image.annotated
        tables.append(confusion(predicted > 0, image.labels > 0, 2, ignore))
        (_, extra), (missed, right) = tables[-1].tolist()
        n_either = 2 * right + extra + missed
        images[image.name] = {
            "dice": 2 * right / n_either if n_either else 1.0,
            "predicted_px": right + extra,
            "true_px": right + missed,
        }
        on_image(number + 1)
    whole = overlap_scores(np.sum(tables, axis=0))
    true_px = sum(of["true_px"] for of in images.values())
    off_px = sum(abs(of["predicted_px"] - of["true_px"]) for of in images.values())
    return TaskScores(
        {
            "dice": whole.foreground_dice,
            "iou": whole.foreground_iou,
            "area_error": off_px / max(true_px, 1),
        },
        images,
        {},
    )
