"""One engine, used from many threads."""

import threading
import weakref
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from queue import SimpleQueue

import numpy as np
import torch
from numpy.typing import NDArray

from biounet.geometry import Shape
from biounet.prediction.engines import Engine

Tiles = NDArray[np.float32]

LARGEST_BATCH = 8
"""Tiles that are computed at once, at the most."""


@dataclass(frozen=True, eq=False)
class _Request:
    tiles: Tiles
    answer: "Future[Tiles]" = field(default_factory=Future)


def in_one_thread(engine: Engine, n_threads: int, size_of: Callable[[Shape, int], int]) -> Engine:
    """An engine that computes in one thread of its own, whoever calls it; both end together.

    Callers read, label and write while it computes for another; tiles of one shape that wait
    together are computed together. OpenMP keeps a team of threads for each thread that calls it,
    so several callers would fight for the processor's cores.

    Args:
        engine: computes.
        n_threads: PyTorch's, in that thread.
        size_of: how many tiles of a spatial shape to compute at once, when so many wait. Where the
            last bits of a tile's numbers depend on how many are computed with it, this must not
            depend on who waits: batches that are not full are filled with zeros.
    """
    waiting: SimpleQueue[_Request | None] = SimpleQueue()

    def serve() -> None:
        torch.set_num_threads(n_threads)
        queue: list[_Request] = []
        while True:
            newly = [] if queue else [waiting.get()]
            while not waiting.empty():
                newly.append(waiting.get())
            queue += [request for request in newly if request is not None]
            if not queue:
                return  # nobody is left who could ask
            shape = queue[0].tiles.shape
            alike = [request for request in queue if request.tiles.shape == shape]
            answered = _answer(engine, alike, size_of)
            queue = [request for request in queue if request not in answered]

    threading.Thread(target=serve, name="engine", daemon=True).start()

    def call(tiles: Tiles) -> Tiles:
        request = _Request(tiles)
        waiting.put(request)
        return request.answer.result()

    weakref.finalize(call, waiting.put, None).atexit = False  # a daemon's end is the process's
    return call


def _answer(
    engine: Engine, alike: list[_Request], size_of: Callable[[Shape, int], int]
) -> list[_Request]:
    """Compute for the first requests of one shape at once; those that were answered."""
    requests = alike[:1]
    try:
        n, _, *shape = alike[0].tiles.shape
        size = size_of(tuple(shape), len(alike))
        requests = alike[:size]
        tiles = np.concatenate([request.tiles for request in requests])
        if len(tiles) < size * n:
            tiles = np.pad(tiles, [(0, size * n - len(tiles)), *[(0, 0)] * (tiles.ndim - 1)])
        results = engine(tiles)
    except BaseException as error:
        for request in requests:
            request.answer.set_exception(error)
        return requests
    done = 0
    for request in requests:
        request.answer.set_result(results[done : done + len(request.tiles)])
        done += len(request.tiles)
    return requests


def same_bits_in_a_batch(engine: Engine, n_tiles: int, shape: tuple[int, ...]) -> bool:
    """Whether tiles (C, …) of this shape get the same bits alone and with others."""
    tiles = np.random.default_rng(0).standard_normal((n_tiles, *shape), np.float32)
    together = engine(tiles)
    return all(
        np.array_equal(engine(tile[None])[0], among)
        for tile, among in zip(tiles, together, strict=True)
    )
