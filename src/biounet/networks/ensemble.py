"""Several networks as one: the mean of their probabilities."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn


class Ensemble(nn.Module):
    """Networks of the same settings.

    Takes what each of them takes; its logits are those whose softmax is the mean of theirs.
    """

    def __init__(self, members: Sequence[nn.Module]) -> None:
        super().__init__()
        self.members = nn.ModuleList(members)

    def forward(self, image: Tensor) -> Tensor:
        """Logits of an image of legal size."""
        total: Tensor | None = None
        for member in self.members:
            probabilities = member(image).softmax(1)
            total = probabilities if total is None else total + probabilities
        assert total is not None
        return torch.log(total * (1 / len(self.members)))
