"""Shared fixtures: the folder of real images, when this checkout has one beside it."""

import os
from pathlib import Path

import pytest

os.environ.setdefault("OMP_NUM_THREADS", "2")  # before torch is imported

SHARED = Path(__file__).resolve().parents[2] / "shared"


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of real images and golden cases; skips the test where there is none."""
    if not SHARED.is_dir():
        pytest.skip("needs the folder of real images beside the checkout")
    return SHARED
