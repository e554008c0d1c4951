"""The file that says that a block is computed, and what is known of its parts."""

from pathlib import Path
from typing import Any

import numpy as np

from biounet.images.atomic import cannot_write, written_whole
from biounet.prediction.jobs.merging import Parts


def write_parts(path: Path, parts: Parts | None) -> None:
    """Note that a block is computed, and what is known of its parts."""
    try:
        with written_whole(path) as temporary, temporary.open("wb") as file:
            if parts is None:
                return
            faces: dict[str, Any] = {
                f"face_{axis}_{side}": face
                for axis, sides in enumerate(parts.faces)
                for side, face in enumerate(sides)
            }
            np.savez_compressed(
                file,
                n_objects=parts.n_objects,
                size=parts.size,
                first=parts.first,
                on_edge=parts.on_edge,
                low=parts.low,
                high=parts.high,
                pairs=parts.pairs,
                **faces,
            )
    except OSError as error:
        raise cannot_write(path, error) from error


def read_parts(path: Path) -> Parts:
    """What `write_parts` wrote."""
    with np.load(path, allow_pickle=False) as stored:
        n_axes = stored["low"].shape[1]
        return Parts(
            n_objects=int(stored["n_objects"]),
            size=stored["size"],
            first=stored["first"],
            on_edge=stored["on_edge"],
            low=stored["low"],
            high=stored["high"],
            pairs=stored["pairs"],
            faces=tuple(
                (stored[f"face_{axis}_0"], stored[f"face_{axis}_1"]) for axis in range(n_axes)
            ),
        )
