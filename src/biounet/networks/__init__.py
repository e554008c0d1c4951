"""The networks: one file each. `build_network` makes the one that settings describe."""

from torch import nn

from biounet.config import NetworkSettings
from biounet.networks.convolution import fold
from biounet.networks.unet import UNet

__all__ = ["build_network", "fold"]


def build_network(settings: NetworkSettings) -> nn.Module:
    """An untrained network; initial weights come from torch's global random state."""
    return UNet(settings)
