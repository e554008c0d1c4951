"""What data, a model or a run is."""

from pathlib import Path
from typing import Literal

from biounet.commands.output import say


def inspect(
    *what: Path,
    images: Path | None = None,
    labels: Path | None = None,
    labels_are: Literal["instances", "mask", "classes"] | None = None,
    ignore_value: int | None = None,
    truth: Literal["gold", "silver", "gold+silver"] | None = None,
    axes: Literal["YX", "ZYX"] | None = None,
) -> None:
    """Say what data, a model or a run is, in one screen; alone, list the networks that come along.

    Example: `biounet inspect my-folder`

    Parameters
    ----------
    what
        A folder of annotated images, an image and its labels, an image alone, a model file, a run
        folder, or a network that comes with biounet: em-membranes, dic-cells,
        phase-contrast-cells, nuclei.
    images
        Folder or file of the images, where the labels lie elsewhere.
    labels
        Folder or file of the labels.
    labels_are
        What labels mean, as for `train`.
    ignore_value
        Label of pixels that nobody annotated.
    truth
        Which truth of the Cell Tracking Challenge; gold unless said.
    axes
        Whether pages are 2-D images (YX) or slices of volumes (ZYX).
    """
    from biounet.images.layouts.find import find_dataset
    from biounet.inspection import describe, describe_data

    if {images, labels, labels_are, ignore_value, truth, axes} == {None}:
        say(describe(what))
    else:
        dataset = find_dataset(
            what, images, labels, labels_are, ignore_value, truth or "gold", axes
        )
        say(describe_data(dataset))
