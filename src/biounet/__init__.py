"""biounet: train a U-Net on a handful of annotated images, segment images of any size.

import biounet
model = biounet.train(images, labels, minutes=10)
labels = model.segment(image)
model.save("cells.safetensors")
biounet.load("cells.safetensors")
"""

from typing import TYPE_CHECKING, Any

from biounet.version import __version__

if TYPE_CHECKING:
    from biounet.api import Model, load, train

__all__ = ["Model", "__version__", "load", "train"]


def __getattr__(name: str) -> Any:
    """Import PyTorch only when it is needed: `import biounet` is instant."""
    if name in __all__:
        from biounet import api

        return getattr(api, name)
    raise AttributeError(f"module 'biounet' has no attribute {name!r}")
