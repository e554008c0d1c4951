"""What is decided of a large image before its first block: a file in its work folder."""

import functools
import json
from dataclasses import asdict, dataclass
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

from biounet.errors import InputError
from biounet.geometry import Shape
from biounet.model import Intensity
from biounet.prediction.jobs.blocks import BlockGrid
from biounet.prediction.jobs.ledger import Source, Sources

MANIFEST_NAME = "job.json"

Block = tuple[Shape, Shape]
"""The index of a plane along the series axes, and the position of a block in it."""


@dataclass(frozen=True)
class Manifest:
    """What was decided before the first block, and is never decided again.

    Attributes:
        sources: the files of the image as they were.
        series, spatial: axes that the network does not see, and those that it sees.
        sizes: of the series axes.
        grid: the blocks of each plane.
        intensity: of each plane, in order: offset and scale of its channels.
        keeps: "labels", "probabilities", or both.
    """

    sources: Sources
    series: str
    spatial: str
    sizes: Shape
    grid: BlockGrid
    intensity: tuple[Intensity, ...]
    keeps: tuple[str, ...]

    def planes(self) -> list[Shape]:
        """The index of every plane."""
        return list(product(*(range(n) for n in self.sizes)))

    def intensity_at(self, index: Shape) -> Intensity:
        """The intensity of a plane."""
        return self.intensity[int(np.ravel_multi_index(index, self.sizes)) if index else 0]

    def blocks(self) -> list[Block]:
        """Every block of every plane."""
        return [(index, position) for index in self.planes() for position in self.grid]

    @property
    def label_axes(self) -> str:
        """Of the array of labels, in storage order."""
        return "".join(a for a in "TCZYX" if a in self.series + self.spatial)

    @property
    def probability_axes(self) -> str:
        """Of the array of probabilities, in storage order."""
        return "".join(a for a in "TCZYX" if a in self.series + self.spatial + "C")


def array_layout(manifest: Manifest, n_classes: int | None) -> dict[str, Any]:
    """Shape, chunks and shards: a block is one shard, or one chunk of each class."""
    grid = manifest.grid
    axes = manifest.label_axes if n_classes is None else manifest.probability_axes
    size = {"C": n_classes or 1}
    size |= dict(zip(manifest.series, manifest.sizes, strict=True))
    size |= dict(zip(manifest.spatial, grid.shape, strict=True))
    chunk = dict(zip(manifest.spatial, grid.chunk, strict=True))
    block = {"C": n_classes or 1, **dict(zip(manifest.spatial, grid.block, strict=True))}
    return {
        "shape": tuple(size[a] for a in axes),
        "chunks": tuple(chunk.get(a, 1) for a in axes),
        "shards": None if grid.block == grid.chunk else tuple(block.get(a, 1) for a in axes),
    }


def as_json(manifest: Manifest) -> str:
    """What is written to the file."""
    return json.dumps(asdict(manifest))


@functools.lru_cache(maxsize=16)
def read_manifest_once(path: Path, modified_ns: int) -> Manifest:  # noqa: ARG001
    """The manifest at a path; a process reads each version once."""
    return _read(path)


def read_manifest(folder: Path) -> Manifest | None:
    """The manifest of a folder; None: there is none yet.

    Raises:
        InputError: one that cannot be read.
    """
    path = folder / MANIFEST_NAME
    return _read(path) if path.exists() else None


def _read(path: Path) -> Manifest:
    try:
        tree = json.loads(path.read_text())
        return Manifest(
            sources=tuple(Source(**source) for source in tree["sources"]),
            series=tree["series"],
            spatial=tree["spatial"],
            sizes=tuple(tree["sizes"]),
            grid=BlockGrid(**{name: tuple(value) for name, value in tree["grid"].items()}),
            intensity=tuple(
                Intensity(tuple(i["offset"]), tuple(i["scale"])) for i in tree["intensity"]
            ),
            keeps=tuple(tree["keeps"]),
        )
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"{path}, which cannot be read ({error})",
            "the manifest of unfinished work",
            f"delete {path.parent} and run again",
        ) from None
