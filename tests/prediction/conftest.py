"""A small network with fixed random weights: quick, and its labels have objects and holes."""

from pathlib import Path

import numpy as np
import pytest
import torch
from scipy import ndimage

from biounet.config import IntensitySettings, ObjectSettings, Settings
from biounet.model import Intensity, ModelFile, write_model
from biounet.network_settings import UNetSettings
from biounet.networks import build_network

OBJECTS = ObjectSettings(threshold=0.3, minimum_size_px=4, grow_px=3, grow_threshold=0.2)


def make_model(
    dimensions: int = 2, channels: int = 1, seed: int = 1, objects: ObjectSettings = OBJECTS
) -> ModelFile:
    """A U-Net of depth 1 that is sensitive to its input; half is foreground or so."""
    network = UNetSettings(dimensions=dimensions, channels=channels, width=4, depth=1, dropout=0.0)
    torch.manual_seed(seed)
    weights = build_network(network).state_dict()
    last = [name for name in weights if name.endswith("weight")][-1]
    weights[last] = weights[last] * 8
    return ModelFile(
        settings=Settings(
            network=network, intensity=IntensitySettings(source="image"), objects=objects
        ),
        weights=weights,
        class_names=("background", "cell"),
        intensity=Intensity((120.0,) * channels, (40.0,) * channels),
    )


def make_image(seed: int, *shape: int) -> np.ndarray:
    """A uint8 image of blobs."""
    noise = np.random.default_rng(seed).normal(size=shape)
    smooth = ndimage.gaussian_filter(noise, [2.5 if n > 8 else 0 for n in shape])
    low, high = smooth.min(), smooth.max()
    return ((smooth - low) / (high - low) * 255).astype(np.uint8)


@pytest.fixture(scope="session")
def small_model():
    """Makes a small model: `small_model(dimensions, channels, seed, objects)`."""
    return make_model


@pytest.fixture(scope="session")
def blobs():
    """Makes an image: `blobs(seed, *shape)`."""
    return make_image


@pytest.fixture(scope="session")
def model_path(tmp_path_factory) -> Path:
    """The file of a small 2-D network."""
    path = tmp_path_factory.mktemp("model") / "cells.safetensors"
    write_model(make_model(), path)
    return path
