"""The speed benchmark (`benchmarks/speed`): what it compares with is the same network."""

import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from biounet.config import FAST, PAPER, Settings
from biounet.networks import build_network

sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks" / "speed"))

from on_gpu import prediction, training
from plain import PlainUNet


@pytest.mark.parametrize("settings", [PAPER, FAST], ids=["paper", "fast"])
def test_the_plain_network_is_the_same_function(settings: Settings) -> None:
    torch.manual_seed(0)
    narrow = settings.network.model_copy(update={"width": 4})
    ours = build_network(narrow).eval()
    plain = PlainUNet(4, standardised=narrow.normalisation != "none").eval()
    with torch.no_grad():
        for parameter in ours.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.1)
    plain.load_state_dict(ours.state_dict())
    image = torch.randn(1, 1, 204, 220)
    with torch.no_grad():
        expected = ours(image)
        torch.testing.assert_close(plain(image), expected, rtol=1e-4, atol=1e-4)
    assert expected.std() > 0.01


def test_what_is_timed_on_a_gpu_runs_on_the_processor_too() -> None:
    narrow = FAST.network.model_copy(update={"width": 4})
    settings = FAST.model_copy(update={"network": narrow})
    cpu = torch.device("cpu")
    probabilities = prediction(settings, (204, 220), 2, cpu)()
    assert isinstance(probabilities, np.ndarray)
    assert probabilities.shape == (2, 2, 20, 36)
    np.testing.assert_allclose(probabilities.sum(1), 1, atol=1e-5)
    training(settings, (204, 204), 2, cpu)()
