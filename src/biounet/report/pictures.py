"""Pictures of images, labels, weights and mistakes, as RGB arrays (Y, X, 3) uint8.

Labels are drawn at the size of the picture, so that outlines are thin and sharp. The colours of
outcomes are those of Okabe and Ito, which colour-blind people can tell apart.
"""

import base64
import colorsys
import io
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

from biounet.metrics.outcomes import Outcome, classify_objects

Rgb = NDArray[np.uint8]
Colour = tuple[int, int, int]

YELLOW: Colour = (255, 221, 51)
CYAN: Colour = (64, 205, 235)
BLUE: Colour = (58, 134, 255)
WHITE: Colour = (255, 255, 255)
OUTCOME_COLOURS: dict[str, Colour] = {
    Outcome.MATCHED: (0, 190, 140),
    Outcome.MISSED: (226, 88, 16),
    Outcome.EXTRA: (240, 228, 66),
    Outcome.MERGED: (214, 120, 186),
    Outcome.SPLIT: (86, 180, 233),
}

LARGEST_DIFFERENT = 4096
"""Number of different colours for instances."""


def enlarged(image: NDArray[np.uint8], side_px: int) -> Rgb:
    """A grey or colour picture in RGB, its longer side `side_px`."""
    height, width = fitted(image.shape[:2], side_px)
    picture = Image.fromarray(image).convert("RGB")
    return np.asarray(picture.resize((width, height), Image.Resampling.BICUBIC))


def enlarged_labels(labels: NDArray[Any], side_px: int) -> NDArray[Any]:
    """Labels at the size of a picture, by nearest neighbour."""
    height, width = fitted(labels.shape, side_px)
    rows = (np.arange(height) * labels.shape[0]) // height
    columns = (np.arange(width) * labels.shape[1]) // width
    large: NDArray[Any] = labels[rows[:, None], columns]
    return large


def fitted(shape: tuple[int, ...], side_px: int) -> tuple[int, int]:
    """A shape whose longer side is `side_px`, in the same proportions."""
    scale = side_px / max(shape)
    return max(round(shape[0] * scale), 1), max(round(shape[1] * scale), 1)


def outlines(labels: NDArray[Any], width_px: int = 2) -> NDArray[np.bool_]:
    """The inner border of each object, `width_px` thick."""
    size = 2 * width_px + 1
    largest = ndimage.maximum_filter(labels, size, mode="nearest")
    smallest = ndimage.minimum_filter(labels, size, mode="nearest")
    border: NDArray[np.bool_] = (largest != smallest) & (labels > 0)
    return border


def blended(picture: Rgb, where: NDArray[np.bool_], colour: Any, share: float) -> Rgb:
    """The picture, coloured where a mask says so; `colour` is one, or one a pixel."""
    result = picture.astype(np.float32)
    colours = np.broadcast_to(np.asarray(colour, np.float32), result.shape)
    result[where] = (1 - share) * result[where] + share * colours[where]
    return result.round().astype(np.uint8)


def dimmed(picture: Rgb) -> Rgb:
    """A darker picture, on which colours stand out."""
    return (picture * 0.75).astype(np.uint8)


def instance_colours(labels: NDArray[Any]) -> Rgb:
    """A colour for each object; neighbours in number are far apart in hue."""
    table = np.zeros((LARGEST_DIFFERENT, 3), np.float32)
    for k in range(LARGEST_DIFFERENT):
        table[k] = colorsys.hsv_to_rgb(k * 0.61803 % 1, 0.55 + 0.3 * (k % 3) / 2, 1.0)
    colours: Rgb = (table[labels % LARGEST_DIFFERENT] * 255).astype(np.uint8)
    return colours


def outlined(image: NDArray[np.uint8], labels: NDArray[Any], side_px: int) -> Rgb:
    """An image with the outlines of its objects."""
    border = outlines(enlarged_labels(labels, side_px), max(side_px // 300, 1))
    return blended(enlarged(image, side_px), border, YELLOW, 0.95)


def truth_picture(
    image: NDArray[np.uint8], labels: NDArray[Any], labels_are: str, side_px: int
) -> Rgb:
    """An image with each object or class in a colour of its own (Fig. 3b of the paper)."""
    large = enlarged_labels(labels, side_px)
    colours = CYAN if labels_are == "mask" else instance_colours(large)
    picture = blended(enlarged(image, side_px), large > 0, colours, 0.5)
    return blended(picture, outlines(large, 1), colours, 0.9)


def segmentation_picture(
    image: NDArray[np.uint8],
    predicted: NDArray[Any],
    truth: NDArray[Any],
    labels_are: str,
    side_px: int,
) -> Rgb:
    """The prediction as coloured masks, the truth as yellow border (Fig. 4 of the paper).

    A colour for each object or class (Fig. 4d), or cyan for a mask (Fig. 4b).
    """
    large = enlarged_labels(predicted, side_px)
    colours = CYAN if labels_are == "mask" else instance_colours(large)
    picture = blended(enlarged(image, side_px), large > 0, colours, 0.45)
    border = outlines(enlarged_labels(truth, side_px), max(side_px // 300, 1))
    return blended(picture, border, YELLOW, 1.0)


def mask_picture(class_map: NDArray[Any], side_px: int) -> Rgb:
    """A class map in grey: black is background, white the last class (Fig. 3c of the paper)."""
    levels = enlarged_labels(class_map, side_px).astype(np.float32) / max(class_map.max(), 1)
    return np.repeat((levels * 255).astype(np.uint8)[..., None], 3, axis=-1)


def weights_picture(weights: NDArray[np.floating[Any]], side_px: int, highest: float) -> Rgb:
    """A weight map in colour, from 0 to `highest` (Fig. 3d of the paper)."""
    from matplotlib import colormaps

    large = enlarged_labels(weights, side_px) / max(highest, 1e-6)
    return (colormaps["inferno"](large)[..., :3] * 255).astype(np.uint8)


def weights_gradient() -> str:
    """The colours of a weight map, as a CSS gradient."""
    from matplotlib import colormaps

    stops = (colormaps["inferno"](np.linspace(0, 1, 6))[:, :3] * 255).astype(int).tolist()
    return f"linear-gradient(90deg, {', '.join(css(tuple(stop)) for stop in stops)})"


def mistakes_picture(
    image: NDArray[np.uint8],
    predicted: NDArray[Any],
    truth: NDArray[Any],
    annotated: NDArray[np.bool_],
    labels_are: str,
    side_px: int,
) -> Rgb:
    """An image with what was missed, extra, merged and split in colour; unannotated pixels dark.

    Objects that were found have an outline only. Masks and class maps: missed and extra pixels,
    and, as merged, those of a wrong class.
    """
    picture = dimmed(enlarged(image, side_px))
    true, guess = enlarged_labels(truth, side_px), enlarged_labels(predicted, side_px)
    known = enlarged_labels(annotated, side_px)
    if labels_are == "instances":
        ignore = None if annotated.all() else ~annotated
        outcomes = classify_objects(predicted, truth, ignore=ignore)
        for labels, of_labels in ((guess, outcomes.prediction), (true, outcomes.truth)):
            for outcome in (Outcome.EXTRA, Outcome.MISSED, Outcome.MERGED, Outcome.SPLIT):
                ids = [k for k, o in of_labels.items() if o is outcome]
                objects = np.where(np.isin(labels, ids), labels, 0)
                filled = labels is true or outcome is Outcome.EXTRA
                share = 0.5 if filled else 0.0
                picture = blended(picture, objects > 0, OUTCOME_COLOURS[outcome], share)
                picture = blended(picture, outlines(objects, 2), OUTCOME_COLOURS[outcome], 1.0)
        found = [k for k, o in outcomes.prediction.items() if o is Outcome.MATCHED]
        border = outlines(np.where(np.isin(guess, found), guess, 0), 2)
        picture = blended(picture, border, OUTCOME_COLOURS[Outcome.MATCHED], 1.0)
    else:
        for where, outcome in (
            ((true > 0) & (guess == 0), Outcome.MISSED),
            ((true == 0) & (guess > 0), Outcome.EXTRA),
            ((true > 0) & (guess > 0) & (true != guess), Outcome.MERGED),
        ):
            picture = blended(picture, where & known, OUTCOME_COLOURS[outcome], 0.75)
        border = outlines(np.where(true == guess, guess, 0), 1)
        picture = blended(picture, border, OUTCOME_COLOURS[Outcome.MATCHED], 0.6)
    return blended(picture, ~known, (20, 20, 20), 0.6)


def grid_picture(
    image: NDArray[np.uint8],
    coordinates: NDArray[np.float32],
    margin: tuple[int, int],
    every_px: int,
    side_px: int,
) -> Rgb:
    """A training sample with the straight lines of its source image, as its changes bend them.

    Args:
        coordinates: (2, y, x) Y and X in the source, px, spread evenly over the sample.
        margin: (Y, X) px of context around the output patch, which is drawn as a frame.
        every_px: distance of the lines in the source image.
    """
    picture = enlarged(image, side_px)
    height, width = picture.shape[:2]
    scale = height / image.shape[0]
    for axis in (0, 1):
        plane = Image.fromarray(coordinates[axis]).resize(
            (width, height), Image.Resampling.BILINEAR
        )
        at = np.asarray(plane)
        slope = np.hypot(*np.gradient(at))
        off = np.abs(at - np.round(at / every_px) * every_px) / np.maximum(slope, 1e-3)
        line = np.clip(1.5 - off, 0, 1)[..., None] * 0.75
        picture = (picture * (1 - line) + np.array(CYAN) * line).astype(np.uint8)
    y, x = (round(m * scale) for m in margin)
    return framed(picture, (y, x), (height - y, width - x), YELLOW, 2)


def framed(
    picture: Rgb, start: tuple[int, int], stop: tuple[int, int], colour: Colour, width_px: int
) -> Rgb:
    """The picture with a frame drawn inside start..stop."""
    result = picture.copy()
    (top, left), (bottom, right) = start, stop
    top, left = max(top, 0), max(left, 0)
    for box in (
        np.s_[top : top + width_px, left:right],
        np.s_[max(bottom - width_px, 0) : bottom, left:right],
        np.s_[top:bottom, left : left + width_px],
        np.s_[top:bottom, max(right - width_px, 0) : right],
    ):
        result[box] = colour
    return result


def tile_picture(
    image: NDArray[np.uint8],
    shape: tuple[int, ...],
    margin: tuple[int, ...],
    input_shape: tuple[int, ...],
    written: tuple[int, ...],
    side_px: int,
) -> Rgb:
    """The first tile of an image with its mirrored context (Fig. 2 of the paper).

    Args:
        image: the first pixels of the image.
        shape: (Y, X) of the whole image.
        margin: context around the pixels that a tile writes.
        input_shape: (Y, X) that the tile reads.
        written: (Y, X) that it writes.
    """
    beyond = [
        max(n - m - have, m) if have == size else 0
        for n, m, have, size in zip(input_shape, margin, image.shape, shape, strict=False)
    ]
    pad = [(m, b) for m, b in zip(margin, beyond, strict=True)]
    everything = np.pad(image, [*pad, *[(0, 0)] * (image.ndim - 2)], mode="reflect")
    scale = side_px / max(everything.shape[:2])
    picture = enlarged(everything, side_px)
    start = (round(margin[0] * scale), round(margin[1] * scale))
    inside = np.zeros(picture.shape[:2], bool)
    stop = tuple(round((m + have) * scale) for m, have in zip(margin, image.shape, strict=False))
    inside[start[0] : stop[0], start[1] : stop[1]] = True
    picture = blended(picture, ~inside, WHITE, 0.28)
    end = (round(input_shape[0] * scale), round(input_shape[1] * scale))
    picture = framed(picture, (0, 0), end, BLUE, 4)
    stop_written = (start[0] + round(written[0] * scale), start[1] + round(written[1] * scale))
    return framed(picture, start, stop_written, YELLOW, 4)


def photo_uri(picture: Rgb) -> str:
    """A picture of grey values as a data URI, compressed with loss but with sharp colours."""
    file = io.BytesIO()
    Image.fromarray(picture).save(file, "JPEG", quality=84, subsampling=0, optimize=True)
    return f"data:image/jpeg;base64,{base64.b64encode(file.getvalue()).decode()}"


def flat_uri(picture: Rgb) -> str:
    """A picture of few colours as a data URI, without loss."""
    file = io.BytesIO()
    Image.fromarray(picture).save(file, "PNG", optimize=True)
    return f"data:image/png;base64,{base64.b64encode(file.getvalue()).decode()}"


def css(colour: Colour) -> str:
    """A colour in CSS."""
    return "#{:02x}{:02x}{:02x}".format(*colour)
