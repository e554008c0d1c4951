"""Pixel-wise soft-max with weighted cross entropy, eq. (1) of the paper; and the overlap.

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


def dice_loss(logits: Tensor, class_map: Tensor, weights: Tensor) -> Tensor:
    """1 - the soft Dice coefficient of the foreground classes, 0..1, a scalar.

    2 sum(p t) / (sum(p) + sum(t)) over the annotated pixels of a patch, 1 px added above and below;
    the mean over the classes that are not background, then over the patches, each of which counts
    for as many pixels as are annotated: so patches may be shared among processes. (Milletari et al.
    2016, doi:10.1109/3DV.2016.79; without their squares.)

    Args:
        logits: (N, K, …) activations, any float dtype.
        class_map: (N, …) integers 0..K-1.
        weights: (N, …) w(x); all that counts is where it is 0: there nobody annotated.
    """
    n_classes = logits.shape[1]
    annotated = (weights > 0).flatten(1)[:, None]
    found = logits.float().softmax(1)[:, 1:].flatten(2) * annotated
    true = functional.one_hot(class_map.long(), n_classes).movedim(-1, 1)[:, 1:].flatten(2)
    true = true * annotated
    overlap = (2 * (found * true).sum(2) + 1) / (found.sum(2) + true.sum(2) + 1)
    n_annotated = annotated.sum((1, 2))
    return ((1 - overlap.mean(1)) * n_annotated).sum() / n_annotated.sum().clamp(min=1)
