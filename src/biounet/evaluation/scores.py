"""The scores of files against files, by the metrics that fit.

Every score is a tree of plain values, ready for JSON: headline numbers first, then the values by
threshold, frame or image behind them.
"""

import json
import math
import warnings
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal

import numpy as np

from biounet.errors import InputError
from biounet.evaluation.files import (
    Pair,
    cell_probabilities,
    pair_files,
    read_labels,
    read_tracks,
    read_truth,
    slice_names,
)
from biounet.images.atomic import written_whole
from biounet.images.challenge import read_annotated, read_sequence
from biounet.images.reading import read_image
from biounet.metrics import (
    IOU_THRESHOLDS,
    FrameMatch,
    InstanceScores,
    MetricWarning,
    confusion,
    det_score,
    evaluate_isbi2012,
    instance_scores,
    match_frames,
    match_objects,
    overlap_scores,
    seg_score,
    tra_score,
)

MOST_CLASSES = 256
"""More are no classes: the table of who was taken for whom grows with their square."""

Metrics = Literal["auto", "isbi2012", "ctc", "overlap", "matching"]
Scores = dict[str, Any]


def evaluate_files(
    prediction: Path,
    truth: Path,
    metrics: Metrics = "auto",
    on_part: Callable[[int], None] = lambda _: None,
    ignore_value: int | None = None,
) -> Scores:
    """Score files against files.

    Args:
        prediction, truth: two images or stacks, two folders whose files have matching names, or
            two folders of the Cell Tracking Challenge (`01_RES`, `01_GT`).
        metrics: which; `auto`: `ctc` for a challenge folder, `isbi2012` for probabilities,
            `overlap` for masks, else `matching`.
        on_part: called with the number of slices, frames or images done, after each.
        ignore_value: of the truth where nobody annotated; counts for nothing in `overlap` and
            `matching`.

    Raises:
        InputError: files that are missing, do not fit together, or hold wrong values; an
            `ignore_value` for metrics whose definition has none.
    """
    for path in (prediction, truth):
        if not path.exists():
            raise InputError(f"no file or folder {path}", "one that exists", "check the path")
    if metrics == "auto":
        metrics = _choose(prediction, truth, ignore_value)
    if ignore_value is not None and metrics not in ("overlap", "matching"):
        raise InputError(
            f"an ignore value for {metrics}", "overlap or matching", "leave --ignore-value out"
        )
    if metrics == "ctc":
        return _evaluate_ctc(prediction, truth)
    pairs = pair_files(prediction, truth, "probabilities" if metrics == "isbi2012" else "labels")
    if metrics == "isbi2012":
        return _evaluate_isbi2012(pairs, on_part)
    if metrics == "overlap":
        return _evaluate_overlap(pairs, on_part, ignore_value)
    return _evaluate_matching(pairs, on_part, ignore_value)


def write_scores(scores: Scores, path: Path) -> None:
    """Write scores as JSON; what is not a number (NaN) becomes null."""
    with written_whole(path) as temporary:
        temporary.write_text(json.dumps(_plain(scores), indent=1) + "\n")


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _plain(v) for name, v in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(v) for v in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def _choose(prediction: Path, truth: Path, ignore_value: int | None) -> Metrics:
    """The metrics that fit the files."""
    if truth.is_dir() and (
        truth.name.endswith(("_GT", "_ST")) or (truth / "SEG").is_dir() or (truth / "TRA").is_dir()
    ):
        return "ctc"
    pairs = pair_files(prediction, truth)
    if np.dtype(read_image(pairs[0].prediction).data.dtype).kind == "f":
        return "isbi2012"
    values: set[int] = set()
    for pair in pairs:
        values.update(np.unique(read_labels(pair.truth, ignore_value)).tolist())
        if len(values - {ignore_value}) > 2:
            return "matching"
    return "overlap"


# ISBI 2012


def _evaluate_isbi2012(pairs: list[Pair], on_part: Callable[[int], None]) -> Scores:
    labels = [read_labels(p.truth) for p in pairs]
    slices = [a.reshape(-1, *a.shape[-2:]) for a in labels]
    probabilities = [
        cell_probabilities(read_image(p.prediction), s) for p, s in zip(pairs, slices, strict=True)
    ]
    if len({s.shape[1:] for s in slices}) > 1:
        raise InputError("slices of different sizes", "slices of one size", "score them apart")
    scores = evaluate_isbi2012(
        np.concatenate(probabilities), np.concatenate(slices) > 0, on_slice=on_part
    )
    tree = asdict(scores)
    tree.pop("slices")
    names = slice_names(pairs, [len(s) for s in slices])
    at_best = scores.slices[int(np.argmax(scores.v_rand_at))]
    images = {
        name: {
            "v_rand": one.rand_thinned.f_score,
            "v_info": one.information_thinned.f_score,
            "pixel_error": 1 - one.pixels.f_score,
        }
        for name, one in zip(names, at_best, strict=True)
    }
    return {"metrics": "isbi2012", "n_slices": len(names), **tree, "images": images}


# Cell Tracking Challenge


def _evaluate_ctc(prediction: Path, truth: Path) -> Scores:
    """SEG of the gold (or silver) segmentations, DET and TRA of the markers, where they exist."""
    tree: Scores = {"metrics": "ctc"}
    if (truth / "SEG").is_dir() or not (truth / "TRA").is_dir():
        matches = list(match_frames(read_annotated(truth), read_sequence(prediction)))
        tree["seg"] = seg_score(matches)
        _warn_if_empty(matches)
        tree["seg_per_frame"] = {_frame_name(m): _mean_iou(m) for m in matches}
    if (truth / "TRA").is_dir():
        matches = list(match_frames(read_sequence(truth / "TRA"), read_sequence(prediction)))
        tree["det"] = det_score(matches)
        _warn_if_empty(matches)
        tables = (truth / "TRA" / "man_track.txt", prediction / "res_track.txt")
        if all(t.is_file() for t in tables):
            tree["tra"] = tra_score(matches, *(read_tracks(t) for t in tables)).tra
    return tree


def _warn_if_empty(matches: list[FrameMatch]) -> None:
    if matches and not any(match.result for match in matches):
        warnings.warn("the result has no object in any frame", MetricWarning, stacklevel=2)


def _frame_name(match: FrameMatch) -> str:
    """ "2", or "2_5" where slice 5 of it alone is annotated."""
    return str(match.frame) if match.z is None else f"{match.frame}_{match.z}"


def _mean_iou(match: FrameMatch) -> float:
    """SEG of one frame."""
    return sum(m.iou for m in match.matches) / len(match.truth) if match.truth else math.nan


# Overlap and matching


def _evaluate_overlap(
    pairs: list[Pair], on_part: Callable[[int], None], ignore_value: int | None
) -> Scores:
    read = [(read_labels(p.prediction), *read_truth(p.truth, ignore_value)) for p in pairs]
    top = max(int(a.max(initial=0)) for predicted, truth, _ in read for a in (predicted, truth))
    mask = len(set().union(*(np.unique(truth).tolist() for _, truth, _ in read)) - {0}) <= 1
    n_classes = 2 if mask else top + 1
    if n_classes > MOST_CLASSES:
        raise InputError(
            f"class numbers up to {top}",
            f"numbers below {MOST_CLASSES}",
            "for objects with numbers of their own: --metrics matching",
        )
    tables, images = [], {}
    for number, (pair, one) in enumerate(zip(pairs, read, strict=True), start=1):
        predicted, truth, ignored = one
        if mask:
            predicted, truth = predicted > 0, truth > 0
        table = confusion(predicted.astype(np.int32), truth.astype(np.int32), n_classes, ignored)
        tables.append(table)
        if table.any():  # of an image that nobody annotated there is nothing to score
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", MetricWarning)  # said of all together
                own = overlap_scores(table)
            images[pair.name] = {"iou": own.foreground_iou, "dice": own.foreground_dice}
        on_part(number)
    counts = np.sum(tables, axis=0)
    whole = overlap_scores(counts)
    for k in np.flatnonzero((counts.sum(axis=0) == 0) & (counts.sum(axis=1) > 0)):
        warnings.warn(
            f"class {k} does not occur in the prediction: it scores 0", MetricWarning, stacklevel=2
        )
    return {
        "metrics": "overlap",
        "ignore_value": ignore_value,
        "iou": whole.foreground_iou,
        "dice": whole.foreground_dice,
        "mean_dice_over_images": float(np.mean([i["dice"] for i in images.values()])),
        "iou_per_class": list(whole.iou),
        "dice_per_class": list(whole.dice),
        "images": images,
    }


def _evaluate_matching(
    pairs: list[Pair], on_part: Callable[[int], None], ignore_value: int | None
) -> Scores:
    matchings, images = [], {}
    for number, pair in enumerate(pairs, start=1):
        truth, ignored = read_truth(pair.truth, ignore_value)
        predicted = read_labels(pair.prediction)
        if truth.shape != predicted.shape:
            raise InputError(
                f"{pair.prediction} of shape {predicted.shape}",
                f"{truth.shape}, as {pair.truth}",
                "give the prediction of these labels",
            )
        matched = match_objects(predicted.astype(np.int32), truth.astype(np.int32), ignored)
        matchings.append(matched)
        own = matched[0].counts
        images[pair.name] = {"ap50": own.jaccard, "f1_50": own.f_score}
        on_part(number)
    scores = instance_scores(matchings)
    return {
        "metrics": "matching",
        "ignore_value": ignore_value,
        "ap": _by_threshold(scores, "ap"),
        "f1": _by_threshold(scores, "f1"),
        "precision": _by_threshold(scores, "precision"),
        "recall": _by_threshold(scores, "recall"),
        "mean_ap_over_images": scores.mean_ap,
        "images": images,
    }


def _by_threshold(scores: InstanceScores, name: str) -> dict[str, float]:
    return {
        f"{t:.2f}": getattr(s, name) for t, s in zip(IOU_THRESHOLDS, scores.pooled, strict=True)
    }


def headline(scores: Scores) -> str:
    """The scores in one line."""
    if scores["metrics"] == "matching":
        ap, f1 = scores["ap"], scores["f1"]
        mean = sum(ap.values()) / len(ap)
        return (
            f"AP50 {ap['0.50']:.4f}  AP75 {ap['0.75']:.4f}  AP {mean:.4f}  F1_50 {f1['0.50']:.4f}"
        )
    shown = {k: v for k, v in scores.items() if isinstance(v, float)}
    return "  ".join(f"{name} {value:.6g}" for name, value in shown.items())
