"""Freed memory is kept while training: no page is asked for twice; then it is given back."""

import platform
import subprocess
import sys

import pytest

SCRIPT = """
import resource, torch
from biounet.learning.memory import kept_memory

def counted():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt

def faults():
    least = counted()  # the system may take pages of its own accord: the block it touched least
    for _ in range(8):
        before = counted()
        torch.empty(64 * 2**20, dtype=torch.uint8).fill_(1)
        least = min(least, counted() - before)
    return least

def resident():
    return int(open("/proc/self/statm").read().split()[1])

outside = faults()
before = resident()
with kept_memory():
    faults()
    inside = faults()
    kept = resident() - before
print(64 * 2**20 // resource.getpagesize(), outside, inside, kept, resident() - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="needs glibc's allocator")
def test_large_blocks_are_kept_while_it_lasts_and_not_afterwards() -> None:
    done = subprocess.run([sys.executable, "-c", SCRIPT], check=True, stdout=subprocess.PIPE)
    n_pages, outside, inside, kept, left = map(int, done.stdout.split())
    assert inside < n_pages / 8 < n_pages * 7 / 8 < outside
    assert left < n_pages / 4 < kept
