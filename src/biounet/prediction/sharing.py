"""One engine, used from many threads."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch
from numpy.typing import NDArray

from biounet.prediction.engines import Engine


def in_one_thread(engine: Engine, n_threads: int) -> Engine:
    """An engine that computes in one thread of its own, whoever calls it.

    Callers read, label and write while it computes for another. OpenMP keeps a team of threads
    for each thread that calls it, so several callers would fight for the processor's cores.
    """
    thread = ThreadPoolExecutor(1, "engine", torch.set_num_threads, (n_threads,))

    def call(tiles: NDArray[np.float32]) -> NDArray[np.float32]:
        return thread.submit(engine, tiles).result()

    return call
