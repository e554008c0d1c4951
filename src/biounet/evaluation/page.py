"""The page about an evaluation: the scores, and the mistakes in the images that fare worst."""

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from biounet.errors import InputError
from biounet.evaluation.files import (
    Pair,
    cell_probabilities,
    pair_files,
    read_grey,
    read_labels,
    read_truth,
)
from biounet.evaluation.scores import Scores
from biounet.images.challenge import frame_name
from biounet.images.layouts.matching import list_images, match_by_name
from biounet.images.reading import read_image
from biounet.report import Compared, EvaluatedImage, write_evaluation_report

NAMES = {
    "ap50": "AP50",
    "f1_50": "F1 at IoU 0.5",
    "iou": "IoU",
    "dice": "Dice",
    "mean_dice_over_images": "Dice, mean over images",
    "mean_ap_over_images": "mean AP over images",
    "v_rand": "V_Rand",
    "v_info": "V_Info",
    "rand_error": "Rand error",
    "warping_error": "warping error",
    "pixel_error": "pixel error",
    "rand_error_2012": "Rand error of 2012",
    "seg": "SEG",
    "det": "DET",
    "tra": "TRA",
}
"""Scores as people write them; the order is that of the page."""

CURVES = {
    "matching": {"AP": "ap", "F1": "f1"},
    "isbi2012": {"V_Rand": "v_rand_at", "V_Info": "v_info_at"},
}

NOTES = {
    "isbi2012": "Cells are what lies between the membranes, cut at the best threshold of V_Rand. ",
    "ctc": "Where the truth holds some of the cells only, all others show as extra; "
    "SEG does not count them. ",
}

UNITS = {"ctc": "frame", "isbi2012": "slice"}


def write_evaluation_page(
    path: Path,
    prediction: Path,
    truth: Path,
    scores: Scores,
    command: str,
    images: Path | None = None,
) -> Path:
    """Write the page about files that `evaluate_files` scored; its path.

    Args:
        path: of the page.
        prediction, truth: as they were scored.
        scores: what `evaluate_files` said of them.
        command: how to repeat it.
        images: the grey values, to see the mistakes on: a file, or a folder with the same names.

    Raises:
        InputError: images that do not belong to the truth, or a page that cannot be written.
    """
    metrics = scores["metrics"]
    greys = _grey_files(images, prediction, truth, scores)
    if metrics == "ctc":
        evaluated = _frames(prediction, truth, scores, greys)
    else:
        evaluated = _files(prediction, truth, scores, greys)
    return write_evaluation_report(
        path,
        prediction.resolve().name,
        headline_scores(scores),
        evaluated,
        _kind_of_overlap(scores) if metrics == "overlap" else "instances",
        command,
        _curves(scores),
        NOTES.get(metrics, ""),
        UNITS.get(metrics, "image"),
    )


def headline_scores(scores: Scores) -> dict[str, float]:
    """The scores of everything together, the most important first, as people write them."""
    if scores["metrics"] == "matching":
        ap, f1 = scores["ap"], scores["f1"]
        return {
            "AP50": ap["0.50"],
            "AP75": ap["0.75"],
            "mean AP": sum(ap.values()) / len(ap),
            "F1 at IoU 0.5": f1["0.50"],
            "precision at IoU 0.5": scores["precision"]["0.50"],
            "recall at IoU 0.5": scores["recall"]["0.50"],
            "mean AP over images": scores["mean_ap_over_images"],
        }
    return {NAMES[name]: scores[name] for name in NAMES if isinstance(scores.get(name), float)}


def _curves(scores: Scores) -> dict[str, dict[str, float]]:
    """Scores by threshold, by name."""
    curves = {}
    for name, key in CURVES.get(scores["metrics"], {}).items():
        values = scores[key]
        if not isinstance(values, dict):
            pairs = zip(scores["thresholds"], values, strict=True)
            values = {f"{threshold:.1f}": value for threshold, value in pairs}
        curves[name] = values
    return curves


def _kind_of_overlap(scores: Scores) -> str:
    return "mask" if len(scores["iou_per_class"]) == 2 else "classes"


def _grey_files(
    images: Path | None, prediction: Path, truth: Path, scores: Scores
) -> Mapping[str, Path]:
    """The image of each truth file, by its name, or of each frame by its number."""
    if images is None:
        return {}
    if not images.exists():
        raise InputError(f"no file or folder {images}", "the images", "check --images")
    if scores["metrics"] == "ctc":
        return _frame_files(images)
    if not images.is_dir() or images.suffix == ".zarr":
        (pair,) = _pairs(prediction, truth, scores)[:1]
        return {pair.name: images}
    truths = [pair.truth for pair in _pairs(prediction, truth, scores)]
    return {label.stem: image for image, label in match_by_name(list_images(images), truths)[0]}


def _pairs(prediction: Path, truth: Path, scores: Scores) -> list[Pair]:
    kind = "probabilities" if scores["metrics"] == "isbi2012" else "labels"
    return pair_files(prediction, truth, kind)


def _frame_files(folder: Path) -> dict[str, Path]:
    """The files of a sequence of the Cell Tracking Challenge, by the names of their frames."""
    inner = folder / "SEG" if (folder / "SEG").is_dir() else folder
    named = [(frame_name(path), path) for path in list_images(inner)]
    return {name: path for name, path in named if name is not None}


def _frames(
    prediction: Path, truth: Path, scores: Scores, greys: Mapping[str, Path]
) -> list[EvaluatedImage]:
    """Frames, or single slices of them ("2_5"); what the result lacks is a picture without it."""
    of_frame = scores.get("seg_per_frame", {})
    if not of_frame:
        return []
    predicted, true = _frame_files(prediction), _frame_files(truth)

    def read(name: str) -> Compared:
        frame, _, digits = name.partition("_")
        z = int(digits) if digits else None
        labels = read_labels(true[name])
        found = np.zeros_like(labels)
        if frame in predicted:
            found = read_labels(predicted[frame])
            found = found if z is None else found[z]
        grey = read_grey(greys[frame], labels.shape, z) if frame in greys else None
        return Compared(found, labels, grey)

    return [
        EvaluatedImage(f"Frame {name}", {"SEG": value}, partial(read, name))
        for name, value in of_frame.items()
    ]


def _files(
    prediction: Path, truth: Path, scores: Scores, greys: Mapping[str, Path]
) -> list[EvaluatedImage]:
    pairs = {pair.name: pair for pair in _pairs(prediction, truth, scores)}
    is_mask = scores["metrics"] == "overlap" and _kind_of_overlap(scores) == "mask"
    readers: dict[str, Callable[[], Compared]] = {}
    for name in scores["images"]:
        if scores["metrics"] == "isbi2012":
            file, _, number = name.rpartition(", slice ")
            at = (file, int(number)) if file in pairs else (name, 0)
            threshold = scores["thresholds"][int(np.argmax(scores["v_rand_at"]))]
            readers[name] = partial(_read_slice, pairs[at[0]], at[1], threshold, greys)
        else:
            ignore_value = scores["ignore_value"]
            readers[name] = partial(_read_pair, pairs[name], greys, is_mask, ignore_value)
    return [
        EvaluatedImage(name, {NAMES[k]: v for k, v in own.items()}, readers[name])
        for name, own in scores["images"].items()
    ]


def _read_pair(
    pair: Pair, greys: Mapping[str, Path], is_mask: bool, ignore_value: int | None
) -> Compared:
    truth, ignored = read_truth(pair.truth, ignore_value)
    predicted = read_labels(pair.prediction)
    grey = _grey(greys, pair.name, truth)
    if is_mask:
        truth, predicted = truth > 0, predicted > 0
    planes = (-1, *truth.shape[-2:]) if truth.ndim > 2 else truth.shape
    return Compared(
        predicted.reshape(planes),
        truth.reshape(planes),
        None if grey is None else grey.reshape(len(grey), *planes),
        None if ignored is None else ~ignored.reshape(planes),
    )


def _read_slice(pair: Pair, z: int, threshold: float, greys: Mapping[str, Path]) -> Compared:
    """The cells between the membranes of one slice."""
    truth = read_labels(pair.truth)
    grey = _grey(greys, pair.name, truth)
    slices = truth.reshape(-1, *truth.shape[-2:])
    predicted = cell_probabilities(read_image(pair.prediction), slices)[z] > threshold
    return Compared(
        ndimage.label(predicted)[0],
        ndimage.label(slices[z] > 0)[0],
        None if grey is None else grey.reshape(len(grey), *slices.shape)[:, z],
    )


def _grey(greys: Mapping[str, Path], key: str, truth: NDArray[Any]) -> NDArray[Any] | None:
    if not greys:
        return None
    if key not in greys:
        raise InputError(f"no image for {key}", "one for each truth", "add it, or leave --images")
    return read_grey(greys[key], truth.shape)
