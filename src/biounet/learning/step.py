"""One step of training: the network, what learns beside it, optimiser and averaged weights."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from biounet.config import Settings, TrainingSettings
from biounet.learning.affinities import Affinities
from biounet.learning.loss import dice_loss, segmentation_loss
from biounet.learning.processes import Processes, add_up
from biounet.learning.sampling import Batch
from biounet.networks.unet import UNet
from biounet.prediction.engines import PRECISIONS, channels_last, channels_last_weights


@dataclass
class Learner:
    """Everything that a step changes.

    Attributes:
        network: in training mode, on the device.
        affinities: what learns pairs of pixels from its feature maps, or None.
        optimiser: over the parameters of both.
        average: exponential averages of the parameters, or None.
        scaler: keeps float16 gradients from vanishing; does nothing in other precisions.
        dtype: the precision of the convolutions.
    """

    network: nn.Module
    affinities: Affinities | None
    optimiser: torch.optim.Optimizer
    average: list[Tensor] | None
    scaler: torch.amp.GradScaler
    dtype: torch.dtype

    @property
    def device(self) -> torch.device:
        """Where the network lies."""
        return next(self.network.parameters()).device

    @property
    def parameters(self) -> list[nn.Parameter]:
        """All that is learned: the network's, then what learns beside it."""
        beside = [] if self.affinities is None else list(self.affinities.parameters())
        return [*self.network.parameters(), *beside]


def make_learner(
    network: nn.Module,
    settings: TrainingSettings,
    device: torch.device,
    precision: str,
    affinities: Affinities | None = None,
) -> Learner:
    """An optimiser, and weight averages if asked, for a network and what learns beside it."""
    network = channels_last_weights(network.to(device)).train()
    modules = [network] if affinities is None else [network, affinities.to(device)]
    learned = [p for module in modules for p in module.parameters() if p.requires_grad]
    filters = [p for p in learned if p.ndim > 1]
    others = [p for p in learned if p.ndim <= 1]  # biases and gains do not decay
    groups = [
        {"params": filters, "weight_decay": settings.weight_decay},
        {"params": others, "weight_decay": 0.0},
    ]
    fused = device.type in ("cpu", "cuda")
    optimiser: torch.optim.Optimizer
    if settings.optimiser == "sgd":
        optimiser = torch.optim.SGD(
            groups, settings.learning_rate, momentum=settings.momentum, fused=fused
        )
    else:
        optimiser = torch.optim.AdamW(
            groups, settings.learning_rate, betas=(settings.momentum, 0.999), fused=fused
        )
    return Learner(
        network=network,
        affinities=affinities,
        optimiser=optimiser,
        average=[p.detach().clone() for p in network.parameters()]
        if settings.average_decay
        else None,
        scaler=torch.amp.GradScaler(device.type, enabled=precision == "float16"),
        dtype=PRECISIONS[precision],
    )


def train_step(
    learner: Learner,
    batch: Batch,
    rate: float,
    step: int,
    settings: Settings,
    processes: Processes,
) -> float:
    """One step down the gradient; returns the loss before it.

    Args:
        batch: this process's share of the step's patches.
    """
    training = settings.training
    for group in learner.optimiser.param_groups:
        group["lr"] = rate
    # Drop-out: the same after a resume, another in each process.
    seed = training.seed * 1_000_003 + step + processes.rank * 15_485_863
    torch.manual_seed(seed % 2**64)
    image = channels_last(batch.image)
    with torch.autocast(learner.device.type, learner.dtype, enabled=learner.dtype != torch.float32):
        logits, pairs = _logits(learner, image)
    loss = segmentation_loss(logits, batch.class_map, batch.weights)
    if settings.weights.dice:
        loss = loss + settings.weights.dice * dice_loss(logits, batch.class_map, batch.weights)
    if learner.affinities is not None and pairs is not None:
        loss = loss + learner.affinities.loss(pairs, batch.objects, batch.weights)
    torch.autograd.backward(learner.scaler.scale(loss))
    loss = add_up(processes, learner.parameters, loss.detach(), batch.weights)
    if training.gradient_norm:
        learner.scaler.unscale_(learner.optimiser)
        nn.utils.clip_grad_norm_(learner.parameters, training.gradient_norm)
    learner.scaler.step(learner.optimiser)
    learner.scaler.update()
    learner.optimiser.zero_grad()
    if learner.average is not None:
        # A short memory at first, so that the random start is forgotten.
        decay = min(training.average_decay, (1 + step) / (10 + step))
        with torch.no_grad():
            torch._foreach_lerp_(learner.average, list(learner.network.parameters()), 1 - decay)
    return float(loss)


def _logits(learner: Learner, image: Tensor) -> tuple[Tensor, Tensor | None]:
    """Of the classes, and of the pairs where they are learned."""
    network, affinities = learner.network, learner.affinities
    if affinities is None or not isinstance(network, UNet):
        return network(image), None
    maps = network.features(image)
    return network.classify(maps), affinities(maps)


def trained_weights(learner: Learner) -> dict[str, Tensor]:
    """A copy of the weights to keep: the averaged ones where there are any."""
    state = {name: value.detach().clone() for name, value in learner.network.state_dict().items()}
    if learner.average is not None:
        names = (name for name, _ in learner.network.named_parameters())
        state.update({n: a.clone() for n, a in zip(names, learner.average, strict=True)})
    return {name: value.cpu().contiguous() for name, value in state.items()}
