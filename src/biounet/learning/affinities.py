"""Whether two pixels are of one object: learned beside the classes, and dropped from the model.

Whether a thin wall is closed, or where two cells touch, decides few pixels, but all pairs of pixels
around. A network that must tell such pairs, too, closes walls and parts cells better by its classes
alone (long-range affinities as an auxiliary task: Lee et al. 2017, arXiv:1706.00120).
"""

from collections.abc import Sequence
from itertools import product

import numpy as np
import torch
from scipy import ndimage
from torch import Tensor, nn
from torch.nn import functional

from biounet.config import AffinitySettings, Settings
from biounet.geometry import Shape
from biounet.network_settings import UNetSettings
from biounet.networks.convolution import Convolution


class Affinities(nn.Module):
    """Tells of pairs of blocks whether both are of one object, from a U-Net's last feature maps.

    Attributes:
        offsets: from the one block of a pair to the other, in blocks.
        strides: pixels of a block.
        weight: of the loss.
    """

    def __init__(self, network: UNetSettings, settings: AffinitySettings) -> None:
        super().__init__()
        self.offsets = pair_offsets(settings.distances, network.dimensions)
        self.strides = network.strides
        self.weight = settings.weight
        one = (1,) * network.dimensions
        self.tell = Convolution(network.width, len(self.offsets), one, standardised=False)
        nn.init.zeros_(self.tell.weight)

    def forward(self, maps: Tensor) -> Tensor:
        """Logits (N, offsets, …): is a block of one object with the one at the offset from it?"""
        logits: Tensor = self.tell(maps)
        return logits

    def loss(self, logits: Tensor, objects: Tensor, weights: Tensor) -> Tensor:
        """The loss of the pairs of a batch, weighted: see `affinity_loss`.

        Args:
            logits: as returned for the batch.
            objects, weights: (N, …) ids and w(x), of the output's size.
        """
        middle = (slice(None), *(slice(s // 2, None, s) for s in self.strides))
        pieces = connected_pieces(objects, weights)[middle]
        n_annotated = torch.count_nonzero(weights.flatten(1), 1)
        loss = affinity_loss(logits, pieces, objects[middle], self.offsets, n_annotated)
        return self.weight * loss


def make_affinities(settings: Settings) -> Affinities | None:
    """What learns pairs beside the network; None where the settings name no distances."""
    if not settings.affinities.distances or not isinstance(settings.network, UNetSettings):
        return None
    return Affinities(settings.network, settings.affinities)


def pair_offsets(distances: Sequence[int], dimensions: int) -> tuple[Shape, ...]:
    """Steps of these lengths along the axes and their diagonals, each pair named once."""
    directions = [d for d in product((-1, 0, 1), repeat=dimensions) if d > (0,) * dimensions]
    return tuple(
        tuple(distance * step for step in direction)
        for distance in distances
        for direction in directions
    )


def connected_pieces(objects: Tensor, weights: Tensor) -> Tensor:
    """The pieces of objects that are seen in each patch, numbered; (N, …) int64.

    4- or 6-connected, as borders between touching cells are cut; 0: background, and what nobody
    annotated.
    """
    foreground = ((objects > 0) & (weights > 0)).cpu().numpy()
    pieces = np.stack([ndimage.label(patch)[0] for patch in foreground])
    return torch.from_numpy(pieces.astype(np.int64)).to(objects.device)


def affinity_loss(
    logits: Tensor,
    pieces: Tensor,
    objects: Tensor,
    offsets: Sequence[Shape],
    n_annotated: Tensor,
) -> Tensor:
    """Cross entropy of "of one object", over the pairs whose two ends are both of some object.

    Two pieces of the same id do not count: what joins them lies outside the patch, nobody annotated
    it, or one is the other's mirror image. The mean over the pairs of each offset, then over the
    offsets, then over the patches, each of which counts for as many pixels as are annotated: so
    patches may be shared among processes.

    Args:
        logits: (N, offsets, …).
        pieces: (N, …), connected in the patch, 0 where none.
        objects: (N, …) ids.
        offsets: from one end to the other.
        n_annotated: (N,) annotated pixels of each patch.
    """
    shape = pieces.shape[1:]
    total = logits.new_zeros(len(pieces), dtype=torch.float32)
    for number, offset in enumerate(offsets):
        if any(abs(o) >= n for o, n in zip(offset, shape, strict=True)):
            continue
        here, there = _overlap(shape, offset), _overlap(shape, tuple(-o for o in offset))
        connected, alike = pieces[here] == pieces[there], objects[here] == objects[there]
        both = (pieces[here] > 0) & (pieces[there] > 0)
        counted = (both & (connected | ~alike)).float()
        losses = functional.binary_cross_entropy_with_logits(
            logits[:, number][here].float(),
            (connected & alike).float(),
            weight=counted,
            reduction="none",
        )
        total = total + losses.flatten(1).sum(1) / counted.flatten(1).sum(1).clamp(min=1)
    return (total / len(offsets) * n_annotated).sum() / n_annotated.sum().clamp(min=1)


def _overlap(shape: Shape, offset: Shape) -> tuple[slice, ...]:
    """Where a block has another one at the offset from it, of (N, …)."""
    inside = [slice(max(0, -o), n - max(0, o)) for n, o in zip(shape, offset, strict=True)]
    return slice(None), *inside
