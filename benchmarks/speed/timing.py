"""Contenders in processes of their own, run in turns, and how undisturbed each run was.

Machines drift, so contenders are never timed one after the other: each round runs every one of
them once. A process of its own gives each the memory settings and threads that its users have.
"""

import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import psutil

HERE = Path(__file__).parent

UNDISTURBED = 0.04
"""Share of the machine's processors that others may use during a run."""


@dataclass(frozen=True)
class Run:
    """One run of one contender: seconds, and what others used of the machine meanwhile, 0..1."""

    seconds: float
    others: float


class Contender:
    """A process that waits for its turn: `contender.py` with these arguments."""

    def __init__(self, arguments: Sequence[str], python: str = sys.executable) -> None:
        self._process = subprocess.Popen(
            [python, str(HERE / "contender.py"), *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.about = self._answer()

    def run(self) -> Run:
        """One turn."""
        before = _processor_s(self._process.pid)
        began = time.perf_counter()
        assert self._process.stdin is not None
        self._process.stdin.write("go\n")
        self._process.stdin.flush()
        seconds = self._answer()["seconds"]
        wall = time.perf_counter() - began
        after = _processor_s(self._process.pid)
        others = (after[0] - before[0]) - (after[1] - before[1])
        return Run(seconds, max(0.0, others / wall / (psutil.cpu_count() or 1)))

    def close(self) -> None:
        """End the process."""
        self._process.communicate()

    def _answer(self) -> dict[str, float]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"{self._process.args} ended")
        answer: dict[str, float] = json.loads(line)
        return answer


def _processor_s(pid: int) -> tuple[float, float]:
    """Seconds of all processors so far, and of this process, the contender and its children."""
    machine = psutil.cpu_times()
    busy = sum(machine) - machine.idle - getattr(machine, "iowait", 0.0)
    busy -= getattr(machine, "guest", 0.0) + getattr(machine, "guest_nice", 0.0)
    contender = psutil.Process(pid)
    own = [psutil.Process(os.getpid()), contender, *contender.children(recursive=True)]
    return busy, sum(sum(process.cpu_times()[:2]) for process in own)


def in_turns(
    contenders: dict[str, Sequence[str]],
    n_rounds: int,
    pythons: dict[str, str] | None = None,
    most: int | None = None,
) -> dict[str, list[Run]]:
    """Runs of each contender, in rounds; of up to `most` the least disturbed are kept.

    Args:
        contenders: name, and arguments of `contender.py`.
        n_rounds: to keep.
        pythons: of contenders in another environment.
        most: rounds to try until enough of them are undisturbed; None: half as many more.
    """
    with ExitStack() as stack:
        ready = {}
        for name, arguments in contenders.items():
            ready[name] = Contender(arguments, (pythons or {}).get(name, sys.executable))
            stack.callback(ready[name].close)
        runs: dict[str, list[Run]] = {name: [] for name in ready}
        for n_done in range(1, (most or n_rounds + n_rounds // 2) + 1):
            for name, contender in ready.items():
                runs[name].append(contender.run())
            calm = [sum(r.others <= UNDISTURBED for r in done) for done in runs.values()]
            if n_done >= n_rounds and min(calm) >= n_rounds:
                break
    return {name: sorted(r, key=lambda run: run.others)[:n_rounds] for name, r in runs.items()}


def summary(runs: Sequence[Run]) -> dict[str, float | int]:
    """Median, smallest and largest seconds, and the largest share that others used."""
    seconds = [run.seconds for run in runs]
    return {
        "median_s": round(statistics.median(seconds), 4),
        "least_s": round(min(seconds), 4),
        "most_s": round(max(seconds), 4),
        "n": len(seconds),
        "others": round(max(run.others for run in runs), 3),
    }
