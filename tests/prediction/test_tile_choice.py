"""The tile follows the free memory, and the memory it takes is not underestimated."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from biounet.network_settings import FCNSettings, SlidingWindowSettings, UNetSettings
from biounet.prediction import tile_choice
from biounet.prediction.tile_choice import affordable_tile, measured_tile, tile_bytes

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


class Clock:
    """An engine that takes a given time for each side of a tile, and its clock."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, seconds: dict[int, float]) -> None:
        self.now, self.seconds, self.sides = 0.0, seconds, []
        monkeypatch.setattr("time.perf_counter", lambda: self.now)

    def __call__(self, tiles: np.ndarray) -> np.ndarray:
        side = tiles.shape[-1]
        self.sides.append(side)
        self.now += self.seconds[side]
        return tiles


PROBE = 316
# a tile's seconds: 956 px are the best for a pixel, 1212 px have left the caches
COSTS = {PROBE: 0.03, 700: 0.3, 956: 0.5, 572: 0.25, 1212: 1.6}


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tile_choice, "TRIALS_S", 10.0)


@pytest.mark.usefixtures("patient")
def test_the_tile_is_measured_once_for_a_large_image(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    network, file = UNetSettings(), tmp_path / "cache" / "t.json"
    clock = Clock(monkeypatch, COSTS)
    found = measured_tile(clock, network, (8192, 8192), 1, file, "key")
    assert found == (956, 956)
    assert clock.sides == [PROBE, PROBE, 700, 956, 1212, 572]
    again = Clock(monkeypatch, COSTS)
    assert measured_tile(again, network, (8192, 8192), 1, file, "key") == (956, 956)
    assert again.sides == []
    measured_tile(again, network, (8192, 8192), 1, file, "another machine")
    assert again.sides == clock.sides


def test_images_of_little_work_are_not_measured_for(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    clock = Clock(monkeypatch, COSTS)
    network, file = UNetSettings(), tmp_path / "t.json"
    assert measured_tile(clock, network, (512, 512), 23, file, "key") == (700, 700)
    assert clock.sides == []  # as long a tile as the trials may take, and still less than a minute
    assert measured_tile(clock, network, (512, 512), 100, file, "key") == (700, 700)
    assert clock.sides == [PROBE, PROBE]
    assert not file.exists()
    measured_tile(clock, network, (512, 512), 250, file, "key")
    assert file.exists()  # many small ones are as much work


@pytest.mark.parametrize(
    ("trials_s", "tried"),
    [
        (3.0, [700, 956, 1212, 572]),
        (2.5, [700, 956, 1212]),  # 0.1 s are left: 572 px are thought to take 0.36 s
        (1.5, [700, 956, 572]),  # 0.7 s are left: 1212 px are thought to take 0.80 s
    ],
)
def test_a_trial_is_begun_only_where_it_fits_the_time(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, trials_s: float, tried: list[int]
) -> None:
    monkeypatch.setattr(tile_choice, "TRIALS_S", trials_s)
    clock = Clock(monkeypatch, COSTS)
    found = measured_tile(clock, UNetSettings(), (8192, 8192), 1, tmp_path / "t.json", "key")
    assert clock.sides == [PROBE, PROBE, *tried]
    assert found == (956, 956)


def test_tiles_that_take_long_are_not_tried(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The usual one and another would take 1.8 x 0.15 s x (700² + 956²) / 316² = 3.8 s."""
    clock = Clock(monkeypatch, {PROBE: 0.15})
    file = tmp_path / "t.json"
    assert measured_tile(clock, UNetSettings(), (8192, 8192), 1, file, "key") == (700, 700)
    assert clock.sides == [PROBE, PROBE]
    assert not file.exists()


@pytest.mark.usefixtures("patient")
def test_a_remembered_tile_must_fit_the_memory_of_now(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    clock, file = Clock(monkeypatch, COSTS), tmp_path / "t.json"
    measured_tile(clock, UNetSettings(), (8192, 8192), 1, file, "key")
    monkeypatch.setattr(tile_choice, "fits", lambda _, shape: shape[0] < 900)
    assert measured_tile(clock, UNetSettings(), (8192, 8192), 1, file, "key") == (700, 700)


@pytest.mark.skipif(sys.platform != "linux", reason="reads the peak from /proc")
def test_a_tile_takes_no_more_than_it_is_thought_to() -> None:
    done = subprocess.run(
        [sys.executable, "-c", PEAK, "32", "572"], capture_output=True, text=True, check=True
    )
    thought = tile_bytes(UNetSettings(width=32), (572, 572))
    assert 0.2 * thought < int(done.stdout) < thought
