"""Several processes that train one network together, begun by `torchrun`.

Every process holds the whole network and takes its share of each step's patches; the gradients
are added up over all of them, so every one makes the same step. Process 0 decides (settings,
budget, when to score and to stop) and is the only one that writes. One process alone runs through
none of this.
"""

import os
import signal
import sys
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from threading import Event
from types import FrameType
from typing import TypeVar

import torch
from torch import Tensor, distributed, nn

from biounet.errors import InputError
from biounet.prediction.engines import choose_device

T = TypeVar("T")

PATIENCE = timedelta(days=2)
"""How long a process waits for another: process 0 may take long to score. One that dies is noticed
at once, for its connections close."""

FIRST_SPEAKS_S = 3.0
"""Process 0 tells of a mistake that all have met; the others wait this long to be ended by then."""

LEAVE_S = 0.5
"""Time for gloo's threads to let go of the last message. One that Python's end meets at work
aborts the process (seen with PyTorch 2.13, on a loaded machine)."""


@dataclass(frozen=True)
class Processes:
    """Which process this is, of how many.

    Attributes:
        rank: 0 is the one that decides and writes.
        n: how many train together.
        n_here: how many of them are on this machine.
    """

    rank: int = 0
    n: int = 1
    n_here: int = 1

    @property
    def is_first(self) -> bool:
        """Whether this is the one that decides and writes."""
        return self.rank == 0


ALONE = Processes()


@contextmanager
def joined_processes(device: str) -> Iterator[Processes]:
    """Join the other processes that `torchrun` began; `ALONE` where it did not begin this one.

    Gradients travel by NCCL on CUDA, where every process takes a GPU of its own, else by gloo;
    all else by gloo. Ctrl-C is process 0's to answer: the others end with it, silently.

    Args:
        device: the name that the user gave.

    Raises:
        InputError: a device that several processes cannot share, or (later, from what is
            done in the block) another process has ended.
    """
    launched = distributed.is_available() and distributed.is_torchelastic_launched()
    n = int(os.environ["WORLD_SIZE"]) if launched else 1
    if n == 1:
        yield ALONE
        return
    rank, n_here = int(os.environ["RANK"]), int(os.environ["LOCAL_WORLD_SIZE"])
    processes, stopped = Processes(rank, n, n_here), Event()

    def told_to_end(_signal: int, _frame: FrameType | None) -> None:
        raise _lost(processes, "SIGTERM: another process ended, or the job was cancelled")

    if processes.is_first:
        signal.signal(signal.SIGTERM, told_to_end)
    else:
        signal.signal(signal.SIGINT, lambda *_: stopped.set())
        warnings.simplefilter("ignore")  # process 0 shows the same ones
    try:
        backend = _take_device(device, int(os.environ["LOCAL_RANK"]), n_here)
        distributed.init_process_group(backend, timeout=PATIENCE)
        yield processes
        time.sleep(LEAVE_S)
        distributed.destroy_process_group()
    except InputError as error:
        if processes.is_first:
            raise
        time.sleep(FIRST_SPEAKS_S)
        if stopped.is_set():
            sys.exit(130)
        found = f"{error.found} (process {rank} of {n})"
        raise InputError(found, error.wanted, error.remedy) from None
    finally:
        if processes.is_first:
            signal.signal(signal.SIGTERM, signal.SIG_IGN)  # it is ending, with words of its own


def _take_device(wanted: str, local_rank: int, n_here: int) -> str:
    """Take this process's own GPU, if it is to be one; the backend to talk by."""
    device = choose_device(wanted)
    if device.type == "cpu":
        return "gloo"
    if device.type != "cuda" or device.index is not None:
        raise InputError(
            f"device {device} for several processes",
            "cpu, or cuda without a number: each process takes a GPU of its own",
            "say --device cuda or --device cpu",
        )
    n_devices = torch.cuda.device_count()
    if n_here > n_devices:
        raise InputError(
            f"{n_here} processes on a machine of {n_devices} GPUs",
            "no more than one process a GPU",
            f"say --nproc-per-node {n_devices}, or --device cpu",
        )
    torch.cuda.set_device(local_rank)
    return "cpu:gloo,cuda:nccl"


def from_first(processes: Processes, make: Callable[[], T]) -> T:
    """What process 0 makes, given to all. Every process must come here."""
    if processes.n == 1:
        return make()
    box = [make() if processes.is_first else None]
    with _answers(processes):
        distributed.broadcast_object_list(box, src=0, device=torch.device("cpu"))
    return box[0]  # type: ignore[return-value]


def from_all(processes: Processes, value: T) -> list[T]:
    """The values of all processes, by rank. Every process must come here."""
    values = [value] * processes.n
    if processes.n > 1:
        with _answers(processes):
            distributed.all_gather_object(values, value)
    return values


def share_of(processes: Processes, n_patches: int) -> range:
    """Which of a step's patches this process takes.

    Raises:
        InputError: they cannot be shared evenly.
    """
    if n_patches % processes.n:
        fitting = max(k for k in range(1, processes.n) if n_patches % k == 0)
        raise InputError(
            f"{processes.n} processes for a run of {n_patches} patches a step",
            "a number of processes that divides them",
            f"start {fitting} (torchrun's --nproc-per-node times --nnodes)",
        )
    n_each = n_patches // processes.n
    return range(processes.rank * n_each, (processes.rank + 1) * n_each)


def add_up(
    processes: Processes, parameters: Sequence[nn.Parameter], loss: Tensor, weights: Tensor
) -> Tensor:
    """Turn the gradients into those of one batch of all processes' patches; returns its loss.

    Each process comes with the mean over its own annotated pixels. Weighed by their number and
    divided by that of all, they become the mean over all annotated pixels.

    Args:
        loss: this process's mean, a scalar.
        weights: w(x) of its patches: 0 where nobody annotated.
    """
    if processes.n == 1:
        return loss
    gradients = [p.grad for p in parameters if p.grad is not None]
    parts = [*gradients, loss, torch.ones_like(loss)]
    flat = torch.cat([part.flatten() for part in parts]) * torch.count_nonzero(weights)
    with _answers(processes):
        distributed.all_reduce(flat)
    flat /= flat[-1].clamp(min=1)
    for gradient, mean in zip(
        gradients, torch.split(flat, [p.numel() for p in parts]), strict=False
    ):
        gradient.copy_(mean.view(gradient.shape))
    return flat[-2]


def refuse_running_statistics(processes: Processes, network: nn.Module) -> None:
    """Refuse layers whose statistics each process would gather over its own share alone."""
    if processes.n > 1 and any(hasattr(module, "running_mean") for module in network.modules()):
        raise InputError(
            f"a network with statistics over the batch, and {processes.n} processes",
            "one without (weight standardisation needs none)",
            "train it in one process",
        )


@contextmanager
def _answers(processes: Processes) -> Iterator[None]:
    """Around all that waits for other processes: says so where one of them has ended."""
    try:
        yield
    except RuntimeError as error:
        where_and_what = str(error).splitlines()[0]
        raise _lost(processes, where_and_what.split("] ", 1)[-1].strip(": ")[:100]) from None


def _lost(processes: Processes, why: str) -> InputError:
    return InputError(
        f"that not all processes are there any more ({why})",
        f"{processes.n} of them at work",
        "give the same command with --resume: it goes on from the last checkpoint",
    )
