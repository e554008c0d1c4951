"""The part of a page that shows data: counts, images with labels, sizes, masks and weights."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from biounet.learning.gallery import TrainingGallery
from biounet.learning.run_folder import Record
from biounet.report.charts import histogram_svg
from biounet.report.page import Block, Legend, Picture, Pictures, Section, Table
from biounet.report.pictures import (
    enlarged,
    flat_uri,
    mask_picture,
    outlined,
    photo_uri,
    truth_picture,
    weights_gradient,
    weights_picture,
)
from biounet.report.words import name_of, sentence, title

THUMB_PX, PANEL_PX = 400, 480
MOST_ROWS = 20


def data_section(gallery: TrainingGallery, start: Record) -> Section:
    """Sizes, counts, class balance, a contact sheet."""
    blocks: list[Block] = [_counts(gallery)]
    n_shown = len(gallery.views)
    n_training = sum(fact.part == "training" for fact in gallery.facts)
    cropped = any(not view.whole for view in gallery.views)
    blocks.append(
        Pictures(
            tuple(
                Picture(
                    photo_uri(outlined(view.image, view.labels, THUMB_PX)),
                    f"Training {name_of(view.name)} with the outlines of its labels.",
                    name_of(view.name),
                )
                for view in gallery.views
            ),
            width_px=230,
            title="Training images with the outlines of their labels",
            caption=(f"{n_shown} of {n_training}. " if n_shown < n_training else "")
            + ("Parts of at most 512 px. " if cropped else "")
            + "If outlines and cells do not lie on each other, the labels belong to other images.",
        )
    )
    if len(gallery.sizes_px) > 1:
        diameters = diameters_px(gallery.sizes_px, len(gallery.facts[0].shape))
        chart = sizes_picture("sizes", [("training", diameters)])
        blocks.append(Pictures((chart,), width_px=420))
    blocks += _prepared_blocks(gallery)
    notes = [*start.get("notes", [])]
    if start.get("split"):
        notes.append(f"Held out for validation: {start['split']}")
    return Section("data", "The data", tuple(blocks), " ".join(f"{sentence(n)}" for n in notes))


def _counts(gallery: TrainingGallery) -> Table:
    """One row an image, or, of many images, one a part."""
    parts = [
        (part, [f for f in gallery.facts if f.part == part]) for part in ("training", "validation")
    ]
    if len(gallery.facts) <= MOST_ROWS:
        rows = [(f.name, part, [f]) for part, facts in parts for f in facts]
        head: tuple[str, ...] = ("Image", "Used for", "Size, px")
    else:
        rows = [(part, f"{len(facts)} images", facts) for part, facts in parts if facts]
        head = ("Used for", "Images", "Size, px")
    n_classes = len(gallery.facts[0].class_px)
    names = gallery.class_names or (("background", "foreground") if n_classes == 2 else ())
    table = []
    for first, second, facts in rows:
        shapes = sorted({f.shape for f in facts}, key=np.prod)
        size = " × ".join(map(str, shapes[0]))
        if len(shapes) > 1:
            size += " to " + " × ".join(map(str, shapes[-1]))
        pixels = np.sum([f.class_px for f in facts], axis=0)
        n_unannotated = sum(f.n_unannotated_px for f in facts)
        total = max(int(pixels.sum()) + n_unannotated, 1)
        row = [first, second, size]
        if gallery.labels_are != "classes":
            row.append(f"{sum(f.n_objects for f in facts):,}")
        row += [f"{100 * int(n) / total:.1f}" for n in pixels[1:]]
        row.append(f"{100 * n_unannotated / total:.1f}" if n_unannotated else "0")
        table.append(tuple(row))
    return Table(
        (
            *head,
            *(() if gallery.labels_are == "classes" else ("Objects",)),
            *(f"{names[k] if k < len(names) else f'class {k}'}, %" for k in range(1, n_classes)),
            "not annotated, %",
        ),
        tuple(table),
        n_text=3,
    )


def diameters_px(sizes_px: NDArray[np.int64], dimensions: int) -> NDArray[np.float64]:
    """Diameters of disks or balls of these areas or volumes."""
    unit = np.pi / 4 if dimensions == 2 else np.pi / 6
    return (sizes_px / unit) ** (1 / dimensions)


def sizes_picture(name: str, groups: Sequence[tuple[str, NDArray[np.float64]]]) -> Picture:
    """Histograms of diameters."""
    medians = [f"{label} {np.median(values):.0f} px" for label, values in groups if len(values)]
    return Picture(
        histogram_svg(name, groups, "diameter, px", "objects"),
        f"Histogram of the objects' diameters; median: {', '.join(medians)}.",
        f"Diameter of a disk (or ball) of the same size. Median: {', '.join(medians)}.",
        "Size of the objects",
    )


def _prepared_blocks(gallery: TrainingGallery) -> list[Block]:
    """Fig. 3 of the paper on this data."""
    if not gallery.prepared:
        return []
    blocks: list[Block] = []
    for each in gallery.prepared[:1]:
        view, highest = each.view, float(each.weights.max())
        many = gallery.labels_are == "instances"
        blocks.append(
            Pictures(
                (
                    Picture(
                        photo_uri(enlarged(view.image, PANEL_PX)),
                        f"{title(view.name)} as it is.",
                        "",
                        "a  Raw image",
                    ),
                    Picture(
                        photo_uri(
                            truth_picture(view.image, view.labels, gallery.labels_are, PANEL_PX)
                        ),
                        "The same image, each annotated object in a colour of its own.",
                        "",
                        "b  Truth",
                    ),
                    Picture(
                        flat_uri(mask_picture(each.class_map, PANEL_PX)),
                        "The class map: objects white, background and the borders cut between "
                        "touching objects black.",
                        "",
                        "c  Mask" + (" with cut borders" if many else ""),
                    ),
                    Picture(
                        photo_uri(weights_picture(each.weights, PANEL_PX, highest)),
                        f"The weight of each pixel in the loss, at most {highest:.1f}; highest "
                        "between objects that touch.",
                        "",
                        "d  Weight map",
                    ),
                ),
                width_px=220,
                title="What the network is asked to learn",
                caption=(
                    "The loss weighs the pixels of rare classes more."
                    if gallery.labels_are == "classes"
                    else (
                        "Touching objects are cut apart by a thin border of background, and the "
                        if many
                        else "The "
                    )
                    + "loss weighs the pixels between neighbours most."
                )
                + " As in Fig. 3 of Ronneberger et al. 2015, on this data.",
            )
        )
        blocks.append(Legend(((weights_gradient(), False, f"weight 0 to {highest:.1f}"),)))
    return blocks
