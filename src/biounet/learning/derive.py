"""What can be derived is derived, not asked: settings from the data and the machine.

`derive_settings` returns the settings and the reason of each choice; whatever the user said
(flags or YAML) wins over it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import psutil
from numpy.typing import NDArray

from biounet.config import (
    FAST,
    RECIPES,
    Settings,
    check_each,
    merged,
    preset_named,
    validated_settings,
)
from biounet.errors import InputError
from biounet.images.dataset import Annotated, DataSet
from biounet.network_settings import FCNSettings, UNetSettings
from biounet.prediction.engines import usable_cores

PATCH_PX = 388
"""Side of the output patch of the paper's tile; twice it where the first stride is 4."""

GROWTH = 0.25
"""Of the objects' diameter: how far their cores may grow."""

ELASTIC_STRIDES = 32
"""Between the vectors of elastic deformation: one to three objects, as `_scale` chooses strides."""

ELASTIC_STRENGTH = 1 / 8
"""Standard deviation of the vectors, of the way between them. On 2 ISBI slices and 4 nuclei images
no worse than 1/5, none, or the paper's 10 px and 3 x 3 vectors, 1/28 (`docs/research.md`);
elsewhere nothing certain against none (`docs/results.md`)."""


UNLIKE = 1.25
"""Pixel sizes so many times larger than others have nothing in common."""


@dataclass(frozen=True)
class Facts:
    """What the data set is like.

    Attributes:
        shapes: of the images, (Y, X) or (Z, Y, X).
        object_px: median diameter of the objects, in px; None where there are none.
        smallest_object_px: area (or volume) that 98 % of the objects exceed.
        partly_annotated: whether there are pixels that nobody annotated.
        pixel_size_um: the median; None where it is not known, or images differ much.
    """

    n_channels: int
    n_classes: int
    labels_are: str
    shapes: tuple[tuple[int, ...], ...]
    pixel_size_um: tuple[float, ...] | None
    object_px: float | None
    smallest_object_px: int
    partly_annotated: bool


@dataclass(frozen=True)
class Machine:
    """What there is to compute with."""

    n_cores: int
    memory_bytes: int
    device: str


@dataclass(frozen=True)
class Choice:
    """A setting that was derived: its name in the settings, its value, and why."""

    name: str
    value: Any
    why: str


def look_at(dataset: DataSet, items: Sequence[Annotated]) -> Facts:
    """The facts of a data set that was read."""
    areas = np.concatenate(
        [object_areas(i.labels) if dataset.labels_are == "instances" else [] for i in items]
    )
    dimensions = len(dataset.axes)
    diameter = (
        2 * (np.median(areas) / [np.pi, np.pi * 4 / 3][dimensions - 2]) ** (1 / dimensions)
        if len(areas)
        else None
    )
    return Facts(
        n_channels=dataset.n_channels,
        n_classes=dataset.n_classes,
        labels_are=dataset.labels_are,
        shapes=tuple(i.labels.shape for i in items),
        pixel_size_um=_common_size_um(items),
        object_px=None if diameter is None else round(float(diameter), 1),
        smallest_object_px=int(np.percentile(areas, 2)) if len(areas) else 0,
        partly_annotated=any(i.annotated is not None and not i.annotated.all() for i in items),
    )


def _common_size_um(items: Sequence[Annotated]) -> tuple[float, ...] | None:
    sizes = [item.pixel_size_um for item in items if item.pixel_size_um is not None]
    if not sizes or np.any(np.max(sizes, axis=0) > UNLIKE * np.min(sizes, axis=0)):
        return None
    return tuple(np.median(sizes, axis=0).tolist())


def object_areas(labels: NDArray[np.int32]) -> NDArray[np.int64]:
    """Pixels of each object."""
    return np.unique(labels[labels > 0], return_counts=True)[1]


def this_machine(device: str) -> Machine:
    """The cores and memory that this process may use."""
    return Machine(
        n_cores=usable_cores(),
        memory_bytes=psutil.virtual_memory().available,
        device=device,
    )


def derive_settings(
    facts: Facts, machine: Machine, preset: str, said: dict[str, Any]
) -> tuple[Settings, tuple[Choice, ...]]:
    """Complete settings: the preset, changed by what the data asks for, then by the user.

    Args:
        said: the user's own values, as a tree of names like the settings'; they win.
    """
    kind = said.get("network", {}).get("kind", "unet")
    if kind not in RECIPES:
        raise InputError(f"network {kind!r}", f"one of {', '.join(RECIPES)}", "choose one")
    if kind != "unet" and (distances := said.get("affinities", {}).get("distances")):
        raise InputError(
            f"affinities.distances = {distances} for network {kind}", "a U-Net", "leave them out"
        )
    tree: dict[str, Any] = preset_named(preset).model_dump()
    tree = merged(tree, RECIPES[kind])
    if kind != "unet":
        tree["network"] = {"kind": kind}
    check_each(merged(tree, said))
    choices = _from_data(facts)
    if preset == "fast":
        choices += (
            _dense(facts) if kind == "sliding-window" else _for_speed(facts, machine, kind, said)
        )
    if kind == "sliding-window":
        choices = [
            c
            for c in choices
            if c.name.split(".")[-1] in ("channels", "classes", "dimensions")
            or not c.name.startswith("network.")
        ]
    if preset == "fast" and kind == "unet":
        choices += _affinities(facts, choices)
    if kind == "fcn":
        if "stride" in said.get("network", {}):  # 32s, 16s, 8s: of the paper's five poolings
            choices = [c for c in choices if c.name not in ("network.depth", "network.pooling")]
        choices += _head(choices)
    for choice in choices:
        section, name = choice.name.split(".")
        tree = merged(
            tree,
            {
                section: {"kind": kind, name: choice.value}
                if section == "network"
                else {name: choice.value}
            },
        )
    kept = tuple(
        c for c in choices if c.name.split(".")[1] not in said.get(c.name.split(".")[0], {})
    )
    return validated_settings(merged(tree, said)), kept


def _from_data(facts: Facts) -> list[Choice]:
    dimensions = len(facts.shapes[0])
    choices = [
        Choice("network.dimensions", dimensions, f"images are {dimensions}-D"),
        Choice("network.channels", facts.n_channels, "channels of the images"),
        Choice("network.classes", facts.n_classes, f"the labels are {facts.labels_are}"),
    ]
    if facts.labels_are == "classes":
        choices.append(Choice("objects.method", "classes", "the labels are classes"))
    if facts.labels_are == "instances":
        choices.append(
            Choice(
                "objects.minimum_size_px",
                facts.smallest_object_px // 4,
                f"98 % of the objects have more than {facts.smallest_object_px} px",
            )
        )
    if facts.object_px is not None:
        layers = max(1, round(facts.object_px * GROWTH))
        choices += [
            Choice("objects.grow_px", layers, f"objects of {facts.object_px:.0f} px"),
            Choice("objects.grow_threshold", 0.5, "what is rather background stays background"),
        ]
    return choices


def _for_speed(facts: Facts, machine: Machine, kind: str, said: dict[str, Any]) -> list[Choice]:
    """Network, patch and deformation for the fewest minutes; `said`: the user's own settings."""
    dimensions = len(facts.shapes[0])
    side = int(np.median([min(shape[-2:]) for shape in facts.shapes]))
    stride, depth, why = _scale(facts, side)
    network, object_scale = said.get("network", {}), stride
    if kind == "fcn" and dimensions == 2:  # the same context, without strides
        stride, depth = 1, depth + stride // 2
    choices = [Choice("network.depth", depth, why)]
    if stride > 1:
        choices.append(Choice("network.first_stride", (stride,) * dimensions, why))
    depth = network.get("depth", depth)
    stride = max(network.get("first_stride") or (stride,))
    if stride > 2 and facts.labels_are == "instances":
        thin = f"a thinner border is lost among blocks of {stride} px"
        choices.append(Choice("weights.border_width_px", stride // 2, thin))
    if dimensions == 3:
        factors, spacing = _anisotropic_pooling(facts.pixel_size_um, depth)
        choices.append(Choice("network.pooling", factors, spacing))
        choices.append(Choice("network.width", 16, "volumes: eight times less work than 32"))
    elif machine.device == "cuda":
        choices.append(Choice("network.width", 64, "a GPU has time for the paper's width"))
    patch = min(side, PATCH_PX * (2 if stride > 2 else 1)) if dimensions == 2 else min(side, 60)
    why = f"images are {side} px, larger patches mean fewer steps"
    width = next((c.value for c in choices if c.name == "network.width"), FAST.network.width)
    needed = partial(patch_bytes, depth=depth, width=width, stride=stride, dimensions=dimensions)
    while patch > 32 and needed(patch) > machine.memory_bytes / 2:
        patch, why = patch * 3 // 4, "larger patches would take more than half of the free memory"
    choices.append(Choice("training.patch_px", patch, why))
    patch = said.get("training", {}).get("patch_px", patch)
    input_px = patch + 2 * stride * margin_strides(depth)
    return [*choices, *_elastic(ELASTIC_STRIDES * object_scale, input_px)]


def _elastic(spacing_px: int, input_px: int) -> list[Choice]:
    """Vectors so far apart, over all that a sample shows."""
    n_spaces = max(1, round(input_px / spacing_px))
    why = f"vectors {spacing_px} px apart bend single objects"
    return [
        Choice("augmentation.elastic_grid", n_spaces + 1, why),
        Choice("augmentation.elastic_std_px", spacing_px * ELASTIC_STRENGTH, why),
    ]


def _affinities(facts: Facts, choices: Sequence[Choice]) -> list[Choice]:
    """None where objects cannot be told, or pairs gain nothing (`docs/research.md`)."""
    if facts.labels_are == "mask" and facts.partly_annotated:
        return [Choice("affinities.distances", (), "two strokes of a mask may be of one object")]
    if facts.labels_are == "classes":
        return [Choice("affinities.distances", (), "regions of classes are no objects")]
    if len(facts.shapes[0]) == 3:
        return [Choice("affinities.distances", (), "volumes: not measured")]
    strides = [max(c.value) for c in choices if c.name == "network.first_stride"]
    if facts.object_px is not None and strides and strides[0] > 2:
        why = f"objects of {facts.object_px:.0f} px: pairs of pixels gained nothing"
        return [Choice("affinities.distances", (), why)]
    return []


def _scale(facts: Facts, side: int) -> tuple[int, int, str]:
    """First stride and depth of a U-Net, and why: objects are to be some 10 to 20 strides wide.

    Measured on four sets: a network that sees objects at this scale gets further in the same
    time than one that spends most of its work on single pixels (`docs/research.md`).
    """
    if len(facts.shapes[0]) == 3:
        return 1, 2, "volumes: the margin costs the third power"
    if facts.object_px is None:
        return (1, 3, f"images of {side} px") if side <= 128 else (2, 3, "context of 88 px a side")
    size = f"objects of {facts.object_px:.0f} px"
    if facts.object_px < 16 or side <= 128:
        return 1, 3, f"{size} in images of {side} px: every pixel counts"
    if facts.object_px < 40:
        return 2, 2, f"{size} fit into a margin of 40 px"
    return 4, 3, f"{size} need a context of 176 px a side"


def patch_bytes(patch_px: int, depth: int, width: int, stride: int, dimensions: int) -> int:
    """About the memory of one training step: 50 bytes a pixel of the first maps and channel.

    Measured for 2-D networks: 35 to 39 in bfloat16, 49 in float32.
    """
    side = patch_px / stride + 2 * margin_strides(depth)
    return 50 * width * int(side**dimensions)


def margin_strides(depth: int) -> int:
    """What a U-Net sees beyond each side of what it predicts, in first strides."""
    return UNetSettings(depth=depth).footprint.margin[0]


def _head(choices: Sequence[Choice]) -> list[Choice]:
    """The FCN's "fully connected" layers, in their usual proportion to the levels' width."""
    widths = [c.value for c in choices if c.name == "network.width"]
    usual = FCNSettings()
    head = [width * usual.head_width // usual.width for width in widths]
    return [Choice("network.head_width", n, "in proportion to the width") for n in head]


def _dense(facts: Facts) -> list[Choice]:
    """The sliding window learns from whole patches, whose windows share their work."""
    side = min(128, min(min(shape[-2:]) for shape in facts.shapes))
    return [
        Choice("training.patch_px", side, "the windows of a patch share their work"),
        Choice("training.batch", 1, "a patch holds thousands of windows"),
    ]


def _anisotropic_pooling(
    pixel_size_um: Sequence[float] | None, depth: int
) -> tuple[tuple[tuple[int, ...], ...], str]:
    """Pooling factors that bring voxels towards cubes: coarse axes are pooled later."""
    if pixel_size_um is None:
        return ((2, 2, 2),) * depth, "no voxel size is known: cubes are assumed"
    size = np.array(pixel_size_um, float)
    factors = []
    for _ in range(depth):
        pooled = np.where(size < 1.5 * size.min(), 2, 1)
        factors.append(tuple(int(f) for f in pooled))
        size = size * pooled
    return tuple(factors), f"voxels are {' x '.join(f'{s:g}' for s in pixel_size_um)} um"
