"""The networks: one file each. `build_network` makes the one that settings describe."""

from torch import nn

from biounet.network_settings import (
    EnsembleSettings,
    FCNSettings,
    NetworkSettings,
    SlidingWindowSettings,
    UNetSettings,
)
from biounet.networks.convolution import fold
from biounet.networks.ensemble import Ensemble
from biounet.networks.fcn import FCN
from biounet.networks.sliding_window import SlidingWindow
from biounet.networks.unet import UNet

__all__ = ["build_network", "fold"]


def build_network(settings: NetworkSettings) -> nn.Module:
    """An untrained network; initial weights come from torch's global random state."""
    match settings:
        case UNetSettings():
            return UNet(settings)
        case SlidingWindowSettings():
            return SlidingWindow(settings)
        case FCNSettings():
            return FCN(settings)
        case EnsembleSettings(member=member):
            return Ensemble([build_network(member) for _ in range(settings.n_members)])
