"""A small run, trained once, whose folder the tests read."""

import shutil
from pathlib import Path

import numpy as np
import pytest

import biounet
from biounet.learning.run_folder import RunFolder
from biounet.simulate import simulate_cells

SMALL = {"network": {"width": 4, "depth": 2}, "training": {"patch_px": 60, "validations": 3}}


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    """A finished run on five simulated images."""
    rng = np.random.default_rng(0)
    pairs = [simulate_cells("touching-cells", (150, 180), rng) for _ in range(5)]
    path = tmp_path_factory.mktemp("runs") / "cells <1>"
    images, labels = zip(*pairs, strict=True)
    biounet.train(list(images), list(labels), out=path, steps=12, settings=SMALL, device="cpu")
    return RunFolder(path)


@pytest.fixture
def run(trained: RunFolder, tmp_path: Path) -> RunFolder:
    """A copy of the run, to be changed."""
    return RunFolder(Path(shutil.copytree(trained.path, tmp_path / trained.path.name)))
