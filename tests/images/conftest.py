"""Small data sets on disk."""

from pathlib import Path

import numpy as np
import pytest
import tifffile

from biounet.images.writing import write_image


class Maker:
    """Writes small images and labels below a folder."""

    def __init__(self, folder):
        self.folder = folder
        self.rng = np.random.default_rng(0)

    def image(self, name, shape=(12, 16), dtype=np.uint8):
        """A noisy image; returns its pixels."""
        pixels = self.rng.integers(0, 200, shape).astype(dtype)
        return self.write(name, pixels)

    def write(self, name, pixels):
        """These pixels, as TIFF without any axes, or as PNG."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        pixels = np.asarray(pixels)
        if path.suffix == ".png":
            write_image(path, pixels, "YX" if pixels.ndim == 2 else "YXC")
        else:
            tifffile.imwrite(path, pixels, photometric="minisblack", metadata=None)
        return pixels

    def labels(self, name, ids=(1, 2, 3), shape=(12, 16), dtype=np.uint16):
        """One square per id, from left to right; returns the label image."""
        pixels = np.zeros(shape, dtype)
        for k, i in enumerate(ids):
            pixels[..., 2:5, 1 + 4 * k : 4 + 4 * k] = i
        return self.write(name, pixels)


@pytest.fixture
def make(tmp_path: Path) -> Maker:
    """Writes small images and labels below the test's folder."""
    return Maker(tmp_path)
