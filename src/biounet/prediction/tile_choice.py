"""The input tile that the free memory affords, where none is asked for."""

import psutil

from biounet.geometry import Shape
from biounet.network_settings import NetworkSettings

OUTPUT_PX = {2: 516, 3: 60}
"""Side of the output tile where memory is no matter: larger ones leave the caches."""

BYTES_PER_VALUE = 4
VALUES_PER_PX = 6
"""Feature values that are alive at once, a pixel of the input and channel of the first level: the
skip, the concatenation, a convolution's input and output. Measured for the U-Net: 3.5 in float32,
2.1 in bfloat16; with room to spare."""

MEMORY_SHARE = 0.4
"""Of the free memory that a tile may take."""


def tile_bytes(network: NetworkSettings, input_shape: Shape) -> int:
    """About the memory that one tile takes."""
    n_pixels = 1
    for n in input_shape:
        n_pixels *= n
    return n_pixels * network.width * VALUES_PER_PX * BYTES_PER_VALUE


def affordable_tile(network: NetworkSettings, free_bytes: int | None = None) -> Shape:
    """The largest input tile up to the usual one that fits into the free memory.

    Args:
        free_bytes: None: what is free on this machine now.
    """
    free = psutil.virtual_memory().available if free_bytes is None else free_bytes
    footprint = network.footprint
    shape = footprint.input_for((OUTPUT_PX[network.dimensions],) * network.dimensions)
    while tile_bytes(network, shape) > free * MEMORY_SHARE:
        smaller = tuple(n - step for n, step in zip(shape, footprint.step, strict=True))
        if any(n < s for n, s in zip(smaller, footprint.smallest_tile, strict=True)):
            break  # the smallest there is: try it
        shape = smaller
    return shape
