"""A thousand workers of uneven speed, some of them dying: how long the last blocks take.

    python benchmarks/scheduler_simulation.py [--workers 1000] [--blocks 200000] [--json FILE]

An event simulation of what `prediction/jobs/workers.py` and a Dask scheduler do: each worker is
handed a second block while it computes the first; handing out takes the scheduler's time, one
block after another; a worker that dies loses the blocks that it holds, and they go to others when
that is noticed. The costs are those measured with `block_overhead.py`.
"""

import argparse
import heapq
import json
from collections import deque
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np


@dataclass(frozen=True)
class Cluster:
    """What is simulated.

    Attributes:
        n_workers: one block at a time each.
        n_blocks: of equal size.
        block_s: of a worker of usual speed.
        speed_spread: standard deviation of the logarithm of the workers' speeds.
        jitter: the same from block to block.
        dying: share of the workers that die, at any moment of the ideal duration.
        noticed_s: from a death to its blocks being handed out again.
        handing_out_s: of the scheduler's time, a block.
        held: blocks that a worker has at a time, the one in work included.
    """

    n_workers: int = 1000
    n_blocks: int = 200_000
    block_s: float = 30.0
    speed_spread: float = 0.35
    jitter: float = 0.1
    dying: float = 0.01
    noticed_s: float = 60.0
    handing_out_s: float = 0.006
    held: int = 2


@dataclass(frozen=True)
class Run:
    """What came of it.

    Attributes:
        seconds: until the last block.
        ideal_s: all work divided by the speed of all workers that live.
        tail_s: from 99 % of the blocks to the last.
        longest_wait_s: the 99.9th percentile of the time from handing out a block to its end.
        lost: share of all work that was done twice.
        scheduler_busy: share of the time that the scheduler worked.
    """

    seconds: float
    ideal_s: float
    tail_s: float
    longest_wait_s: float
    lost: float
    scheduler_busy: float


def simulate(cluster: Cluster, rng: np.random.Generator) -> Run:
    """Follow every block from the scheduler to its end."""
    n = cluster.n_workers
    speed = np.exp(rng.normal(0, cluster.speed_spread, n))
    ideal = cluster.n_blocks * cluster.block_s / speed.sum()
    death = np.full(n, np.inf)
    doomed = rng.choice(n, round(cluster.dying * n), replace=False)
    death[doomed] = rng.uniform(0, ideal, len(doomed))
    waiting = cluster.n_blocks
    queues: list[deque[float]] = [deque() for _ in range(n)]  # when each block was handed out
    free_since = 0.0
    busy = 0.0
    events: list[tuple[float, int, int, float]] = []  # time, kind, worker, begun
    arrive, finish, notice = 0, 1, 2
    ends, waits = [], []
    lost_s = 0.0
    hungry: deque[int] = deque()

    def hand_out(now: float, worker: int) -> None:
        nonlocal waiting, free_since, busy
        if waiting == 0:
            hungry.append(worker)
            return
        waiting -= 1
        free_since = max(now, free_since) + cluster.handing_out_s
        busy += cluster.handing_out_s
        heapq.heappush(events, (free_since, arrive, worker, now))

    def begin(now: float, worker: int) -> None:
        seconds = cluster.block_s / speed[worker] * np.exp(rng.normal(0, cluster.jitter))
        heapq.heappush(events, (now + seconds, finish, worker, now))

    holding = np.zeros(n, int)
    for worker in np.repeat(np.arange(n), cluster.held):
        hand_out(0.0, int(worker))
    for worker in doomed:
        heapq.heappush(events, (death[worker] + cluster.noticed_s, notice, int(worker), 0.0))
    while len(ends) < cluster.n_blocks:
        now, kind, worker, begun = heapq.heappop(events)
        if kind == notice:
            waiting += int(holding[worker])
            holding[worker] = 0
            for _ in range(min(len(hungry), waiting)):
                hand_out(now, hungry.popleft())
        elif now >= death[worker]:
            if kind == arrive:  # handed to a worker that is dead: noticed with the others
                if now >= death[worker] + cluster.noticed_s:
                    waiting += 1
                    if hungry:
                        hand_out(now, hungry.popleft())
                else:
                    holding[worker] += 1
            else:
                lost_s += max(0.0, death[worker] - begun) * speed[worker]
        elif kind == arrive:
            holding[worker] += 1
            queues[worker].append(begun)
            if holding[worker] == 1:
                begin(now, worker)
        else:
            holding[worker] -= 1
            ends.append(now)
            waits.append(now - queues[worker].popleft())
            if holding[worker]:
                begin(now, worker)
            hand_out(now, worker)
    ends.sort()
    return Run(
        seconds=ends[-1],
        ideal_s=ideal,
        tail_s=ends[-1] - ends[int(0.99 * cluster.n_blocks)],
        longest_wait_s=float(np.quantile(waits, 0.999)),
        lost=lost_s / (cluster.n_blocks * cluster.block_s),
        scheduler_busy=busy / ends[-1],
    )


def cases(base: Cluster) -> Iterator[tuple[str, Cluster]]:
    """The same number of pixels in blocks of different sizes, and other ways to go wrong."""
    for factor in (15, 4, 1):
        blocks = replace(base, n_blocks=base.n_blocks * factor, block_s=base.block_s / factor)
        yield f"blocks of {blocks.block_s:g} s", blocks
    yield "nobody dies", replace(base, dying=0.0)
    yield "a tenth dies", replace(base, dying=0.1)
    yield "deaths noticed after 5 minutes", replace(base, noticed_s=300.0)
    yield "equal speeds", replace(base, speed_spread=0.0)
    yield "very uneven speeds", replace(base, speed_spread=0.8)
    yield "one block held", replace(base, held=1)
    yield "ten times fewer blocks", replace(base, n_blocks=base.n_blocks // 10)


def main() -> None:
    """Simulate and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--workers", type=int, default=Cluster.n_workers)
    parser.add_argument("--blocks", type=int, default=Cluster.n_blocks)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    base = Cluster(n_workers=arguments.workers, n_blocks=arguments.blocks)
    found = {}
    for name, cluster in cases(base):
        run = simulate(cluster, np.random.default_rng(0))
        found[name] = asdict(run)
        print(
            f"{name:32} {run.seconds:8.0f} s, {run.seconds / run.ideal_s - 1:6.1%} over the ideal; "
            f"tail {run.tail_s:5.0f} s; lost {run.lost:.3%}; "
            f"scheduler busy {run.scheduler_busy:4.0%}"
        )
    if arguments.json is not None:
        arguments.json.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
