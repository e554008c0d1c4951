"""The tile follows the free memory, and the memory it takes is not underestimated."""

import subprocess
import sys

import pytest

from biounet.network_settings import FCNSettings, SlidingWindowSettings, UNetSettings
from biounet.prediction.tile_choice import affordable_tile, tile_bytes

PEAK = """
import re, sys
from pathlib import Path
import numpy as np, torch
from biounet.network_settings import UNetSettings
from biounet.networks import build_network
from biounet.prediction.engines import torch_engine
width, side = map(int, sys.argv[1:])
engine = torch_engine(build_network(UNetSettings(width=width)), torch.device("cpu"), "float32")
engine(np.zeros((1, 1, 204, 204), np.float32))
def status(name):
    return int(re.search(name + r":\\s+(\\d+)", Path("/proc/self/status").read_text())[1])
before = status("VmRSS")
Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
engine(np.zeros((1, 1, side, side), np.float32))
print((status("VmHWM") - before) * 1024)
"""


def test_less_memory_smaller_tiles() -> None:
    network = UNetSettings()
    plenty, little, none = (affordable_tile(network, n) for n in (10**12, 10**9, 1))
    assert plenty == (700, 700)
    assert plenty > little > none == network.footprint.smallest_tile
    assert tile_bytes(network, little) <= 0.4e9


def test_every_network_gets_a_legal_tile() -> None:
    for network in (UNetSettings(dimensions=3, depth=2), FCNSettings(), SlidingWindowSettings()):
        for free in (10**12, 3 * 10**8):
            assert network.footprint.is_legal(affordable_tile(network, free))


@pytest.mark.skipif(sys.platform != "linux", reason="reads the peak from /proc")
def test_a_tile_takes_no_more_than_it_is_thought_to() -> None:
    done = subprocess.run(
        [sys.executable, "-c", PEAK, "32", "572"], capture_output=True, text=True, check=True
    )
    thought = tile_bytes(UNetSettings(width=32), (572, 572))
    assert 0.2 * thought < int(done.stdout) < thought
