"""The page of a reproduction: the table, pictures like the paper's Figure 4, and charts."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from biounet.images.dataset import Annotated
from biounet.learning.views import grey_picture
from biounet.report.page import (
    Block,
    Number,
    Page,
    Picture,
    Pictures,
    Section,
    Table,
    Text,
)
from biounet.report.pictures import enlarged, outlined, photo_uri, segmentation_picture
from biounet.report.words import sentence
from biounet.reproduce.charts import chart_sections
from biounet.reproduce.contest import NETWORKS, NetworkResult, read_prediction
from biounet.reproduce.tables import ComparisonTable, in_order
from biounet.reproduce.tasks import Division, Task

SHOWN = {"seg": "SEG", "ap50": "AP50", "dice": "Dice"}
"""The score of an image that its caption tells."""

N_SHOWN, LARGEST_SHOWN_PX, PANEL_PX = 3, 512, 480


def reproduction_page(
    task: Task,
    division: Division,
    results: Sequence[NetworkResult],
    scored: Sequence[Annotated],
    table: ComparisonTable,
    facts: Sequence[str],
    command: str,
    out: Path,
) -> Page:
    """The page of a task; `out` holds the predictions."""
    names = {network.name for network in NETWORKS}
    main = [result for result in results if result.name in names]
    windows = sorted(
        (r for r in results if r.window_px is not None), key=lambda r: r.window_px or 0
    )
    rows = "This run's rows" if task.paper is None else "The paper's rows and this run's"
    sections = (
        Section(
            "table",
            rows,
            (
                Table(
                    table.head,
                    table.lines,
                    n_text=table.n_text,
                    caption=table.caption,
                ),
                *(Text(fact) for fact in facts),
            ),
            table.note,
        ),
        _pictures_section(task, main, scored, out),
        *chart_sections(task, main, windows),
    )
    return Page(
        kicker="Reproduction",
        title=task.title,
        subtitle=sentence(
            f"{task.source}: trained on {division.trained_on}, scored on {division.measured_on}"
        ),
        numbers=_numbers(task, main),
        sections=sections,
        command=command,
    )


def _numbers(task: Task, results: Sequence[NetworkResult]) -> tuple[Number, ...]:
    first = task.measures[0]
    best = {"largest": "larger is better", "smallest": "smaller is better"}[first.best]
    return tuple(
        Number(
            f"{result.scores[first.key]:.{first.digits}f}",
            f"{result.title}: {SHOWN.get(first.key, first.column)}",
            f"{best}; {result.seconds_per_image:.2g} s an image",
        )
        for result in in_order(task, results)
    )


def _pictures_section(
    task: Task, results: Sequence[NetworkResult], scored: Sequence[Annotated], out: Path
) -> Section:
    """The first, the middle and the last scored image: not chosen by how they look."""
    shown = sorted({round(k) for k in np.linspace(0, len(scored) - 1, N_SHOWN)})
    drawn_as = "instances" if task.many_colours else "mask"
    blocks: list[Block] = []
    for image in (scored[k] for k in shown):
        box = _middle(image.labels.shape)
        grey = grey_picture(image.image[(slice(None), *box)])
        truth = _objects(task, image.labels[box])
        panels = [
            Picture(
                photo_uri(outlined(grey, truth, PANEL_PX)),
                f"Image {image.name} with the outlines of the truth.",
                "Image, outlines of the truth",
            )
        ]
        maps = []
        if task.kind == "isbi2012":
            cells = (image.labels[box] > 0).astype(np.uint8) * 255
            maps.append(
                Picture(
                    photo_uri(enlarged(cells, PANEL_PX)),
                    f"The truth of {image.name}: cells white, membranes black.",
                    "Truth: cells white",
                )
            )
        for result in results:
            predicted = read_prediction(out / result.name, image.name)[box]
            panels.append(
                Picture(
                    photo_uri(
                        segmentation_picture(
                            grey, _objects(task, predicted), truth, drawn_as, PANEL_PX
                        )
                    ),
                    f"Segmentation of {image.name} by {result.title}.",
                    _caption(result, image.name),
                )
            )
            if task.kind == "isbi2012":
                probability = np.round(predicted * 255).astype(np.uint8)
                maps.append(
                    Picture(
                        photo_uri(enlarged(probability, PANEL_PX)),
                        f"Probability of cell in {image.name} by {result.title}.",
                        f"{result.title}: probability of cell",
                    )
                )
        whole = truth.shape == image.labels.shape
        caption = "" if whole else "The middle of the image is shown."
        blocks.append(Pictures(tuple(panels), 230, image.name, caption))
        if maps:
            blocks.append(Pictures(tuple(maps), 230))
    colour = "coloured" if task.many_colours else "cyan"
    return Section(
        "pictures",
        "Pictures",
        tuple(blocks),
        f"As in the paper's Figure 4: segmentation ({colour}) with manual ground truth (yellow "
        "border). The first, the middle and the last of the scored images.",
    )


def _caption(result: NetworkResult, name: str) -> str:
    """The network, and its scores on this image where there are such."""
    own = result.images.get(name, {})
    scores = ", ".join(f"{SHOWN[k]} {v:.2f}" for k, v in own.items() if k in SHOWN)
    return f"{result.title}: {scores}" if scores else result.title


def _middle(shape: tuple[int, ...]) -> tuple[slice, ...]:
    starts = [max(n - LARGEST_SHOWN_PX, 0) // 2 for n in shape]
    return tuple(slice(s, s + LARGEST_SHOWN_PX) for s in starts)


def _objects(task: Task, array: NDArray[Any]) -> NDArray[Any]:
    """Labels to draw: cells between membranes are the connected pixels that are cell."""
    if task.kind == "isbi2012":
        return np.asarray(ndimage.label(array > 0.5)[0])
    return array
