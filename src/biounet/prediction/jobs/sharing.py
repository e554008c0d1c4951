"""One engine, used from many threads."""

import threading
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
"""Tiles that a GPU computes at once."""


@dataclass(frozen=True, eq=False)
class _Request:
    tiles: Tiles
    answer: "Future[Tiles]" = field(default_factory=Future)


def in_one_thread(engine: Engine, n_threads: int, batch_of: Callable[[Shape], int]) -> Engine:
    """An engine that computes in one thread of its own, whoever calls it.

    Callers read, label and write while it computes for another; tiles of one shape that wait
    together are computed together. OpenMP keeps a team of threads for each thread that calls it,
    so several callers would fight for the processor's cores.

    Args:
        engine: computes.
        n_threads: PyTorch's, in that thread.
        batch_of: how many tiles of a spatial shape to compute at once. The last bits of a tile's
            numbers depend on how many are computed with it, so batches that are not full are
            filled with zeros: then they do not depend on who waits.
    """
    waiting: SimpleQueue[_Request] = SimpleQueue()

    def serve() -> None:
        torch.set_num_threads(n_threads)
        put_back: list[_Request] = []
        while True:
            first = put_back.pop(0) if put_back else waiting.get()
            while not waiting.empty():
                put_back.append(waiting.get())
            n_most = batch_of(first.tiles.shape[2:])
            together = [first]
            for request in list(put_back):
                same = request.tiles.shape[1:] == first.tiles.shape[1:]
                if same and sum(len(r.tiles) for r in together) + len(request.tiles) <= n_most:
                    together.append(request)
                    put_back.remove(request)
            _answer(engine, together, n_most)

    threading.Thread(target=serve, name="engine", daemon=True).start()

    def call(tiles: Tiles) -> Tiles:
        request = _Request(tiles)
        waiting.put(request)
        return request.answer.result()

    return call


def _answer(engine: Engine, requests: list[_Request], n_padded: int) -> None:
    """Compute for all requests at once."""
    try:
        tiles = np.concatenate([request.tiles for request in requests])
        if len(tiles) < n_padded:
            tiles = np.pad(tiles, [(0, n_padded - len(tiles)), *[(0, 0)] * (tiles.ndim - 1)])
        results = engine(tiles)
    except BaseException as error:
        for request in requests:
            request.answer.set_exception(error)
        return
    done = 0
    for request in requests:
        request.answer.set_result(results[done : done + len(request.tiles)])
        done += len(request.tiles)
