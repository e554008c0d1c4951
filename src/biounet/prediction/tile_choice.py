"""The input tile where none is asked for: what memory affords, and what measuring finds best.

Larger tiles compute fewer margins, but leave the caches: which wins depends on network, engine and
machine, so it is measured, once, and remembered.
"""

from math import prod
from pathlib import Path

import psutil

from biounet.geometry import Shape, choose_tile, plan_tiles
from biounet.network_settings import NetworkSettings
from biounet.prediction.engines import Engine
from biounet.prediction.engines.agreement import probe_tile, small_probe
from biounet.prediction.engines.timing import recall, remember, tile_s

OUTPUT_PX = {2: 516, 3: 60}
"""Side of the output tile that is usual."""

TRIALS_PX = {2: (772, 1028, 388), 3: (76, 92, 44)}
"""The others that are tried, in this order."""

TRIALS_S = 2.5
"""What all trials together may take: the first block waits for them."""

PAYS_S = 60.0
"""Work of less time, in usual tiles, is not worth the trials."""

TRIAL_FACTOR = 1.8
"""A trial takes about so many times longer a pixel than a small tile that was computed before: it
is prepared for its shape, and leaves the caches. Measured: 1.2 to 2.3."""

BYTES_PER_VALUE = 4
VALUES_PER_PX = 6
"""Feature values that are alive at once, a pixel of the input and channel of the first level: the
skip, the concatenation, a convolution's input and output. Measured for the U-Net: 3.5 in float32,
2.1 in bfloat16; with room to spare."""

MEMORY_SHARE = 0.4
"""Of the free memory that a tile may take."""


def tile_bytes(network: NetworkSettings, input_shape: Shape) -> int:
    """About the memory that one tile takes."""
    return prod(input_shape) * network.width * VALUES_PER_PX * BYTES_PER_VALUE


def affordable_tile(
    network: NetworkSettings, free_bytes: int | None = None, output_px: int | None = None
) -> Shape:
    """The largest input tile up to the usual one that fits into the free memory.

    Args:
        free_bytes: None: what is free on this machine now.
        output_px: side of the output, in place of the usual one.
    """
    free = psutil.virtual_memory().available if free_bytes is None else free_bytes
    footprint = network.footprint
    side = OUTPUT_PX[network.dimensions] if output_px is None else output_px
    shape = footprint.input_for((side,) * network.dimensions)
    while tile_bytes(network, shape) > free * MEMORY_SHARE:
        smaller = tuple(n - step for n, step in zip(shape, footprint.step, strict=True))
        if any(n < s for n, s in zip(smaller, footprint.smallest_tile, strict=True)):
            break  # the smallest there is: try it
        shape = smaller
    return shape


def measured_tile(
    engine: Engine,
    network: NetworkSettings,
    image_shape: Shape,
    n_images: int,
    remembered: Path,
    key: str,
) -> Shape:
    """The tile that predicts images in the least time, by what each size takes here.

    The usual one where there is little to do, or trials would take too long.

    Args:
        engine: that will compute.
        image_shape: of one image, without channels.
        n_images: how many there are.
        remembered: the file in which timings are remembered.
        key: all that they depend on.
    """
    usual = affordable_tile(network)
    seconds = recall(remembered, key)
    if seconds is not None:
        costs = {tuple(map(int, sides.split("x"))): cost for sides, cost in seconds.items()}
        costs = {shape: cost for shape, cost in costs.items() if fits(network, shape)}
        return choose_tile(image_shape, network.footprint, costs) if costs else usual
    n_tiles = len(plan_tiles(image_shape, network.footprint, usual)) * n_images
    if n_tiles * TRIALS_S < PAYS_S:  # tiles that take longer are not tried
        return usual
    others = (affordable_tile(network, output_px=n) for n in TRIALS_PX[network.dimensions])
    shapes = list(dict.fromkeys([usual, *others]))
    probe = small_probe(network)
    engine(probe)
    px_s = TRIAL_FACTOR * tile_s(engine, probe) / prod(probe.shape[2:])
    if n_tiles * px_s * prod(usual) < PAYS_S or px_s * sum(map(prod, shapes[:2])) > TRIALS_S:
        return usual
    costs = {}
    left_s = TRIALS_S
    for shape in shapes:
        if px_s * prod(shape) <= left_s:
            costs[shape] = tile_s(engine, probe_tile(network.channels, shape))
            left_s -= costs[shape]
            px_s = costs[shape] / prod(shape)
    remember(remembered, key, {"x".join(map(str, s)): cost for s, cost in costs.items()})
    return choose_tile(image_shape, network.footprint, costs)


def fits(network: NetworkSettings, shape: Shape) -> bool:
    """Whether a tile fits into the memory that is free now."""
    return tile_bytes(network, shape) <= psutil.virtual_memory().available * MEMORY_SHARE
