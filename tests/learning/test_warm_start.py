"""Training that starts from another model: what is taken along, what is learned anew."""

import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from biounet.api import train_dataset
from biounet.config import FAST, Settings, merged, validated_settings
from biounet.errors import InputError
from biounet.images import dataset_from_arrays
from biounet.learning.run_folder import RunFolder, read_records
from biounet.learning.setup import Request, initial_network
from biounet.model import Intensity, ModelFile
from biounet.networks import build_network


def settings_of(**network: Any) -> Settings:
    tree = {"network": {"width": 3, "depth": 2, **network}}
    return validated_settings(merged(FAST.model_dump(), tree))


def a_model(**network: Any) -> ModelFile:
    settings = settings_of(**network)
    torch.manual_seed(5)
    weights = build_network(settings.network).state_dict()
    weights = {name: torch.randn_like(value) for name, value in weights.items()}
    names = ("background", *map(str, range(1, settings.network.classes)))
    channels = settings.network.channels
    return ModelFile(settings, weights, names, Intensity((0.0,) * channels, (1.0,) * channels))


def anew(network: torch.nn.Module, model: ModelFile) -> set[str]:
    """The names of the tensors that are not those of a model."""
    return {
        name
        for name, own in network.state_dict().items()
        if not torch.equal(own, model.weights[name])
    }


def test_all_weights_are_taken_along() -> None:
    model = a_model()
    assert anew(initial_network(settings_of(), model), model) == set()


def test_other_channels_and_classes_begin_anew() -> None:
    model = a_model()
    network = initial_network(settings_of(channels=3), model)
    assert anew(network, model) == {"contracting.0.first.weight"}
    network = initial_network(settings_of(classes=4), model)
    assert anew(network, model) == {"classify.weight", "classify.bias"}
    again = initial_network(settings_of(classes=4), model)  # of the run's seed
    assert torch.equal(network.state_dict()["classify.bias"], again.state_dict()["classify.bias"])


@pytest.mark.parametrize("network", [{"width": 4}, {"depth": 1}, {"normalisation": "none"}])
def test_another_network_is_refused(network: dict[str, Any]) -> None:
    """A shallower network has no tensor that does not fit: its settings tell."""
    with pytest.raises(InputError, match="a model of another network"):
        initial_network(settings_of(**network), a_model())


def request(model: ModelFile, **said: Any) -> Request:
    training = {"steps": 1, "patch_px": 16, "validations": 0}
    return Request("fast", {"training": training, **said}, "cpu", model, time.monotonic(), "")


def test_network_and_log_of_a_run(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    images = [rng.integers(0, 200, (40, 40, 3), np.uint8) for _ in range(2)]
    labels = [np.kron(np.arange(4).reshape(2, 2), np.ones((20, 20), int)) for _ in images]
    dataset = dataset_from_arrays(images, labels, "classes")
    model = a_model(width=5)
    trained = train_dataset(
        dataset, request(model), RunFolder(tmp_path / "run").path, False, lambda _: None
    )
    network = trained.file.settings.network
    assert (network.width, network.depth) == (5, 2)
    assert (network.channels, network.classes) == (3, 4)
    records = read_records(RunFolder(tmp_path / "run"))
    said = {r["name"]: r["why"] for r in records if r["kind"] == "choice"}
    assert "as in the model" in said["network.kind"]
    assert "with 1: its first layer is learned anew" in said["network.channels"]
    assert "with 2: its last layer is learned anew" in said["network.classes"]


def test_a_model_of_other_dimensions_is_refused(tmp_path: Path) -> None:
    volume = np.zeros((1, 20, 40, 40), np.uint8)
    labels = np.zeros((1, 20, 40, 40), np.int32)
    labels[0, 5:15, 10:20, 10:20] = 1
    dataset = dataset_from_arrays(list(volume), list(labels), "mask")
    with pytest.raises(InputError, match="a 2-D model to start from, 3-D data"):
        train_dataset(dataset, request(a_model()), tmp_path / "run", False, lambda _: None)
    assert not (tmp_path / "run").exists()
