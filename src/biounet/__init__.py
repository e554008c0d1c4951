"""biounet: train a U-Net on a handful of annotated images, segment images of any size."""

__version__ = "0.1.0"
