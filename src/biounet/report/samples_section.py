"""The parts of a page that show what the network is given: training samples, tiles."""

from biounet.config import Settings
from biounet.learning.gallery import Corner, Sample, TrainingGallery
from biounet.report.page import Legend, Picture, Pictures, Section, Text
from biounet.report.pictures import (
    BLUE,
    YELLOW,
    css,
    enlarged,
    flat_uri,
    grid_picture,
    mask_picture,
    photo_uri,
    tile_picture,
    weights_gradient,
    weights_picture,
)
from biounet.report.words import name_of

PANEL_PX, TILE_PX = 480, 760
GRID_LINES_PX = 32
"""Distance of the lines that show a deformation, in px of the source image."""

SMALLEST_SHOWN_PX = 8
"""Output patches smaller than this are no pictures: a sliding window has one of one pixel."""

ROTATIONS = {"none": "not at all", "right-angles": "by right angles", "any": "by any angle"}


def samples_section(gallery: TrainingGallery, settings: Settings) -> Section:
    """The first samples of the run, with deformation and weights."""
    highest = max(float(sample.weights.max()) for sample in gallery.samples)
    augmentation = settings.augmentation
    return Section(
        "samples",
        "Training samples, as the network sees them",
        (
            Legend(
                (
                    (css((64, 205, 235)), False, f"lines every {GRID_LINES_PX} px of the image"),
                    (css(YELLOW), True, "pixels that are predicted; the rest is context"),
                    (weights_gradient(), False, f"weight 0 to {highest:.1f}"),
                )
            ),
            *(_sample(sample, number, highest) for number, sample in enumerate(gallery.samples)),
        ),
        f"Each sample is turned {ROTATIONS[augmentation.rotation]}"
        + (", mirrored" if augmentation.mirror else "")
        + (
            f" and bent by displacements of {augmentation.elastic_std_px:g} px (standard "
            f"deviation) on a grid of {augmentation.elastic_grid} × {augmentation.elastic_grid} "
            "points"
            if augmentation.elastic_std_px
            else ""
        )
        + f". These are the first {len(gallery.samples)} of the run.",
    )


def _sample(sample: Sample, number: int, highest: float) -> Pictures:
    margin = (
        (sample.image.shape[0] - sample.class_map.shape[0]) // 2,
        (sample.image.shape[1] - sample.class_map.shape[1]) // 2,
    )
    grid = grid_picture(sample.image, sample.coordinates, margin, GRID_LINES_PX, PANEL_PX)
    name = f"Sample {number + 1}"
    panels = [
        (photo_uri(enlarged(sample.image, PANEL_PX)), "Input", "what the network is given"),
        (photo_uri(grid), "Deformation", "straight lines of the image, as they were bent"),
        (
            flat_uri(mask_picture(sample.class_map, PANEL_PX)),
            "Mask, inside the frame",
            "the classes to be learned",
        ),
        (
            photo_uri(weights_picture(sample.weights, PANEL_PX, highest)),
            "Weights, inside the frame",
            "the weight of each pixel",
        ),
    ]
    if min(sample.class_map.shape) < SMALLEST_SHOWN_PX:
        panels = panels[:2]
    return Pictures(
        tuple(Picture(uri, f"{name}: {alt}.", caption) for uri, caption, alt in panels),
        width_px=160,
        title=f"{name}, from {name_of(sample.source)}",
    )


def tiling_section(corner: Corner) -> Section:
    """Fig. 2 of the paper on this data."""
    picture = tile_picture(
        corner.image, corner.shape, corner.margin, corner.input_shape, corner.written, TILE_PX
    )
    margin = " × ".join(map(str, corner.margin))
    return Section(
        "tiles",
        "How large images are cut",
        (
            Legend(
                (
                    (css(YELLOW), True, "pixels that this tile predicts"),
                    (css(BLUE), True, "pixels that it reads"),
                    ("#c9ccd0", False, "mirrored: outside the image"),
                )
            ),
            Pictures(
                (
                    Picture(
                        photo_uri(picture),
                        f"The first tile of image {corner.name}. Around the predicted pixels it "
                        f"reads {margin} px of context, mirrored where the image ends.",
                        f"The first tile of {corner.name}: predicts "
                        f"{' × '.join(map(str, corner.written))} px from "
                        f"{' × '.join(map(str, corner.input_shape))} px.",
                    ),
                ),
                width_px=560,
            ),
            Text(
                "Each pixel is predicted once, from all of its context, so that the result has no "
                "seams and does not depend on how the image is cut."
            ),
        ),
        f"Every tile reads {margin} px more than it predicts on each side (Fig. 2 of Ronneberger "
        "et al. 2015, on this data).",
    )
