"""How fast each engine is on this machine: measured once, remembered in a file."""

import contextlib
import json
import os
import platform
import time
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from math import inf
from pathlib import Path

import numpy as np
import platformdirs
import torch
from numpy.typing import NDArray

from biounet.errors import InputError
from biounet.geometry import Shape
from biounet.images.atomic import written_whole
from biounet.network_settings import NetworkSettings
from biounet.prediction.engines import Engine

N_TIMED = 4
"""How often each engine is timed; the fastest counts."""

N_AT_LEAST = 2
"""How often at least: a machine may stall in one of them."""

ENOUGH_S = 0.3
"""No further round is begun after this time."""

HOPELESS = 1.5
"""An engine slower than the best so far by this factor is not timed further."""


def timings_file() -> Path:
    """Where timings are remembered: the user's cache folder."""
    return platformdirs.user_cache_path("biounet") / "engines.json"


def timing_key(
    settings: NetworkSettings,
    tile: Shape,
    n_threads: int,
    precision: str,
    engines: tuple[str, ...],
) -> str:
    """What a timing depends on, as one text."""
    parts = {
        "network": settings.model_dump(mode="json"),
        "tile": tile,
        "threads": n_threads,
        "precision": precision,
        "engines": engines,
        "versions": [_version(name) for name in ("torch", "openvino", "onnxruntime")],
        "machine": [platform.machine(), torch.backends.cpu.get_cpu_capability(), os.cpu_count()],
    }
    return json.dumps(parts, sort_keys=True)


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def measure(engines: Mapping[str, Engine], tile: NDArray[np.float32]) -> dict[str, float]:
    """Seconds of each engine for a tile (1, C, …) that it has computed before."""
    if len(engines) == 1:
        return dict.fromkeys(engines, 0.0)
    began = time.perf_counter()
    seconds = dict.fromkeys(engines, inf)
    for n_done in range(N_TIMED):  # in turns: other work on the machine must not hit one of them
        is_sure = n_done >= N_AT_LEAST
        if is_sure and time.perf_counter() - began > ENOUGH_S:
            break
        for name, engine in engines.items():
            if not is_sure or seconds[name] < HOPELESS * min(seconds.values()):
                seconds[name] = min(seconds[name], tile_s(engine, tile))
    return seconds


def tile_s(engine: Engine, tile: NDArray[np.float32]) -> float:
    """Seconds for one tile (1, C, …)."""
    began = time.perf_counter()
    engine(tile)
    return time.perf_counter() - began


def recall(file: Path, key: str) -> dict[str, float] | None:
    """The seconds that were remembered; None where there are none, or the file is damaged."""
    found = _read(file).get(key)
    if isinstance(found, dict) and all(isinstance(s, int | float) for s in found.values()):
        return found
    return None


def remember(file: Path, key: str, seconds: Mapping[str, float]) -> None:
    """Add seconds to the file; where it cannot be written, they are measured again next time."""
    with contextlib.suppress(OSError, InputError):
        file.parent.mkdir(parents=True, exist_ok=True)
        text = json.dumps({**_read(file), key: dict(seconds)}, indent=1)
        with written_whole(file) as temporary:
            temporary.write_text(text)


def _read(file: Path) -> dict[str, object]:
    try:
        tree = json.loads(file.read_text())
    except (OSError, ValueError):
        return {}
    return tree if isinstance(tree, dict) else {}
