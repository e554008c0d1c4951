"""A small network with fixed random weights: quick, and its labels have objects and holes."""

from pathlib import Path

import numpy as np
import pytest
import torch

from biounet.config import IntensitySettings, ObjectSettings, Settings
from biounet.model import Intensity, ModelFile, write_model
from biounet.network_settings import UNetSettings
from biounet.networks import build_network


def small_model(dimensions: int = 2, channels: int = 1, seed: int = 0, **objects) -> ModelFile:
    """A U-Net of depth 1 that is sensitive to its input; a third or so is foreground."""
    network = UNetSettings(
        dimensions=dimensions, channels=channels, width=4, depth=1, dropout=0.0
    )
    torch.manual_seed(seed)
    weights = build_network(network).state_dict()
    last = [name for name in weights if name.endswith("weight")][-1]
    weights[last] = weights[last] * 8
    return ModelFile(
        settings=Settings(
            network=network,
            intensity=IntensitySettings(source="image"),
            objects=ObjectSettings(**objects),
        ),
        weights=weights,
        class_names=("background", "cell"),
        intensity=Intensity((100.0,) * channels, (50.0,) * channels),
    )


@pytest.fixture(scope="session")
def model_path(tmp_path_factory) -> Path:
    """The file of a small 2-D network."""
    path = tmp_path_factory.mktemp("model") / "cells.safetensors"
    write_model(small_model(), path)
    return path


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(7)


def blobs(rng: np.random.Generator, *shape: int) -> np.ndarray:
    """A uint8 image with structure at several scales."""
    from scipy import ndimage

    smooth = ndimage.gaussian_filter(rng.normal(size=shape), 2, mode="reflect")
    smooth = smooth / smooth.std() + 0.3 * rng.normal(size=shape)
    return np.clip(128 + 40 * smooth, 0, 255).astype(np.uint8)
