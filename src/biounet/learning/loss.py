"""Pixel-wise soft-max with weighted cross entropy, eq. (1) of the paper.

The paper's equation lacks a minus sign: the loss is minus the weighted log-likelihood.
"""

import torch
from torch import Tensor
from torch.nn import functional


def weighted_log_likelihood(logits: Tensor, class_map: Tensor, weights: Tensor) -> Tensor:
    """The sum over pixels of w(x) * -log p_l(x)(x): the energy of eq. (1), a scalar.

    Args:
        logits: (N, K, …) activations a_k(x), any float dtype; the soft-max is taken in float32.
        class_map: (N, …) integers 0..K-1, the true class l(x); any class where the weight is 0.
        weights: (N, …) w(x) >= 0; 0 where nobody annotated.
    """
    losses = functional.cross_entropy(logits.float(), class_map.long(), reduction="none")
    return (losses * weights).sum()


def segmentation_loss(logits: Tensor, class_map: Tensor, weights: Tensor) -> Tensor:
    """Eq. (1) divided by the number of annotated pixels (those of weight above 0).

    A batch with no annotated pixel has loss 0 and gradient 0.
    """
    n_annotated = torch.count_nonzero(weights).clamp(min=1)
    return weighted_log_likelihood(logits, class_map, weights) / n_annotated
