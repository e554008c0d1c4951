"""Where tasks run: threads of this process, processes of this machine, or a Dask cluster."""

import logging
import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import (
    FIRST_COMPLETED,
    BrokenExecutor,
    CancelledError,
    Executor,
    Future,
    ProcessPoolExecutor,
    ThreadPoolExecutor,
    wait,
)
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib import import_module
from importlib.metadata import version
from multiprocessing import forkserver
from multiprocessing.context import BaseContext
from typing import Any, Generic, TypeVar

import psutil
import torch

from biounet.config import PredictionSettings
from biounet.errors import InputError
from biounet.prediction.engines import choose_device
from biounet.prediction.jobs.recipe import VERSION
from biounet.prediction.jobs.sharing import LARGEST_BATCH

Item = TypeVar("Item")
Result = TypeVar("Result")

N_IN_FLIGHT = {"cpu": LARGEST_BATCH, "cuda": 2 * LARGEST_BATCH, "mps": 2 * LARGEST_BATCH}
"""Tasks at once in one process: some are read, some computed together, some written."""

CONNECT_S = 10
"""How long a scheduler may take to answer."""

FIRST_WORKER_S = 600
"""How long to wait for the first worker: a cluster's queue may keep it."""

MOST_RESTARTS = 3
"""How often workers may die with nothing done in between before that is an error."""


@dataclass(frozen=True)
class Finished(Generic[Item, Result]):
    """A task that came to its end: its result, or the error that it raised."""

    item: Item
    result: Result | None
    error: BaseException | None


@dataclass
class Crew:
    """Workers that do tasks in any order.

    Attributes:
        threads: that one worker computes with.
        start: makes the executor; again when its processes have died.
        n_in_flight: how many tasks are handed out at once.
        lost: the errors of a task whose worker died.
    """

    threads: int
    start: Callable[[], Executor]
    n_in_flight: Callable[[], int]
    lost: tuple[type[BaseException], ...] = (BrokenExecutor,)
    _executor: Executor | None = field(default=None, init=False)

    def run(
        self, function: Callable[[Item], Result], items: Iterable[Item]
    ) -> Iterator[Finished[Item, Result]]:
        """Do a task for each item; yields them as they finish. A lost worker's go to others.

        Raises:
            InputError: the workers die again and again, or the scheduler is gone.
        """
        waiting = iter(items)
        again: list[Item] = []
        running: dict[Future[Result], Item] = {}
        n_restarts = 0
        try:
            while True:
                while len(running) < self.n_in_flight():
                    if again:
                        item = again.pop()
                    else:
                        try:
                            item = next(waiting)
                        except StopIteration:
                            break
                    try:
                        with _interrupted_later():
                            running[self.executor.submit(function, item)] = item
                    except BrokenExecutor:
                        again.append(item)
                        break
                if not running and not again:
                    return
                lost = not running
                for future in wait(running, return_when=FIRST_COMPLETED).done:
                    item = running.pop(future)
                    error = CancelledError() if future.cancelled() else future.exception()
                    if isinstance(error, self.lost):
                        again.append(item)
                        lost = True
                    elif isinstance(error, CancelledError):
                        raise InputError(
                            "a scheduler that has gone away",
                            "one that stays until the job is done",
                            "start it and run again: what is done is kept",
                        )
                    else:
                        n_restarts = 0
                        result = None if error is not None else future.result()
                        yield Finished(item, result, error)
                if lost:
                    again += running.values()
                    running.clear()
                    n_restarts += 1
                    self.close()
                    if n_restarts > MOST_RESTARTS:
                        raise InputError(
                            "workers that die again and again",
                            "memory for each of them",
                            "use fewer workers, or a smaller tile; what is done is kept",
                        )
        finally:
            for future in running:
                future.cancel()

    @property
    def executor(self) -> Executor:
        """The executor, started when first needed."""
        if self._executor is None:
            self._executor = self.start()
        return self._executor

    def close(self) -> None:
        """Give up what waits; what runs comes to its end."""
        if self._executor is not None:
            self._executor.shutdown(wait=True, cancel_futures=True)
            self._executor = None


@contextmanager
def kept_threads() -> Iterator[None]:
    """Give PyTorch back its number of threads in the end."""
    before = torch.get_num_threads()
    try:
        yield
    finally:
        torch.set_num_threads(before)


@contextmanager
def open_crew(options: PredictionSettings) -> Iterator[Crew]:
    """The workers that were asked for.

    Raises:
        InputError: no such scheduler, or fewer than one worker.
    """
    if options.workers < 1:
        raise InputError(f"{options.workers} workers", "1 at least", "ask for more")
    if options.scheduler is not None:
        with _dask_crew(options.scheduler) as crew:
            yield crew
        return
    n = options.workers
    if n == 1:
        n_tasks = N_IN_FLIGHT[choose_device(options.device).type]
        crew = Crew(torch.get_num_threads(), lambda: ThreadPoolExecutor(n_tasks), lambda: n_tasks)
    else:
        context = _process_context()
        crew = Crew(
            max(1, torch.get_num_threads() // n),
            lambda: ProcessPoolExecutor(n, context, _follow, (os.getpid(),)),
            lambda: 2 * n,
        )
    try:
        yield crew
    finally:
        crew.close()


@contextmanager
def _interrupted_later() -> Iterator[None]:
    """Keep Ctrl-C until the end: a worker that is just starting would tell of it in many lines."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    caught: list[int] = []
    before = signal.signal(signal.SIGINT, lambda number, _: caught.append(number))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
    if caught:
        raise KeyboardInterrupt


def _follow(process_id: int) -> None:
    """Make a worker end with the process that it works for, killed or not, and not by Ctrl-C."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the other one tells when to stop

    def watch() -> None:
        while psutil.pid_exists(process_id):
            time.sleep(1)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def _process_context() -> BaseContext:
    """Processes that share nothing with this one's threads, and start fast where they can."""
    if "forkserver" not in multiprocessing.get_all_start_methods():
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["biounet.prediction.jobs.files"])
    if threading.current_thread() is threading.main_thread():
        before = signal.signal(signal.SIGINT, signal.SIG_IGN)  # which the server inherits
        forkserver.ensure_running()
        signal.signal(signal.SIGINT, before)
    return context


def _refuse_other_versions(found: Mapping[str, object]) -> None:
    """Refuse workers, given by address, that have another version of biounet, or none."""
    for address, there in found.items():
        if there != VERSION:
            raise InputError(
                f"{f'biounet {there}' if isinstance(there, str) else 'no biounet'} on {address}",
                f"{VERSION}, as here",
                "install the same version on all machines",
            )


@contextmanager
def _dask_crew(address: str) -> Iterator[Crew]:
    try:
        distributed: Any = import_module("distributed")
    except ImportError:
        raise InputError(
            "no dask.distributed", "it, for --scheduler", "pip install 'biounet[cluster]'"
        ) from None
    try:
        distributed.comm.get_address_host_port(address)  # first: a Client would hang at its end
        client: Any = distributed.Client(address, timeout=CONNECT_S, set_as_default=False)
    except (OSError, ValueError) as error:
        raise InputError(
            f"no scheduler at {address} ({error})",
            "the address of a Dask scheduler",
            "start it (dask scheduler), and give its address such as tcp://host:8786",
        ) from None

    def n_threads() -> list[int]:
        """Of each worker, as the scheduler told last; asks nobody."""
        return [w["nthreads"] for w in client.scheduler_info(n_workers=-1)["workers"].values()]

    log = logging.getLogger("distributed.client")
    level = log.level
    log.setLevel(logging.CRITICAL)  # a scheduler that goes away is told below, in a line
    try:
        try:
            client.wait_for_workers(1, timeout=FIRST_WORKER_S)
        except TimeoutError:
            raise InputError(
                f"a scheduler without workers at {address}", "one at least", "start some"
            ) from None
        _refuse_other_versions(client.run(version, "biounet", on_error="return"))
        yield Crew(
            min(n_threads()),
            lambda: client.get_executor(pure=False, retries=2),
            lambda: max(4, 2 * sum(n_threads())),
            (BrokenExecutor, distributed.KilledWorker),
        )
    finally:
        client.close()
        log.setLevel(level)
