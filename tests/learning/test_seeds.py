"""Seeds that people give: also a time of day, with as many digits as it has."""

import numpy as np
import pytest
import torch

from biounet.config import Settings, TrainingSettings, validated_settings
from biounet.errors import InputError
from biounet.learning.augmentation import sample_rng
from biounet.learning.processes import ALONE
from biounet.learning.sampling import Batch
from biounet.learning.step import make_learner, train_step
from biounet.networks.convolution import Convolution


@pytest.mark.parametrize("seed", [20240101123456, 2**63 - 1])
def test_a_seed_of_many_digits(seed: int) -> None:
    settings = Settings(training=TrainingSettings(seed=seed))
    network = Convolution(1, 2, (1, 1), standardised=False)
    learner = make_learner(network, settings.training, torch.device("cpu"), "float32")
    none, all_ = torch.zeros(1, 4, 4), torch.ones(1, 4, 4)
    batch = Batch(torch.ones(1, 1, 4, 4), none, all_, none)
    assert np.isfinite(train_step(learner, batch, 1e-3, 5, settings, ALONE))
    one, other = (sample_rng(s, 0).random() for s in (seed, seed - 1))
    assert one != other


def test_a_seed_that_cannot_be_counted_is_refused() -> None:
    with pytest.raises(InputError, match=r"training\.seed"):
        validated_settings({"training": {"seed": 2**63}})
