"""The input tile where none is asked for: what memory affords, and what measuring finds best.

Larger tiles compute fewer margins, but leave the caches: which wins depends on network, engine and
machine, so it is measured, once, and remembered.
"""

import time
from pathlib import Path

import psutil

from biounet.geometry import Shape, choose_tile, plan_tiles
from biounet.network_settings import NetworkSettings
from biounet.prediction.engines import Engine
from biounet.prediction.engines.agreement import probe_tile
from biounet.prediction.engines.timing import recall, remember

OUTPUT_PX = {2: 516, 3: 60}
"""Side of the output tile that is usual."""

TRIALS_PX = {2: (772, 388, 1028), 3: (76, 44, 92)}
"""The others that are measured, in this order."""

TRIALS_S = 2.0
"""No other trial is begun after this time."""

PAYS_S = 60.0
"""Work of less time, in usual tiles, is not worth the trials."""

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

    Args:
        engine: that will compute.
        image_shape: of one image, without channels.
        n_images: how many there are.
        remembered: the file in which timings are remembered.
        key: all that they depend on.
    """
    usual = affordable_tile(network)
    seconds = recall(remembered, key)
    if seconds is None:
        costs = {usual: tile_s(engine, network, usual)}
        if (
            len(plan_tiles(image_shape, network.footprint, usual)) * n_images * costs[usual]
            < PAYS_S
        ):
            return usual
        began = time.perf_counter()
        for output_px in TRIALS_PX[network.dimensions]:
            if time.perf_counter() - began > TRIALS_S:
                break
            shape = affordable_tile(network, output_px=output_px)
            costs[shape] = tile_s(engine, network, shape)
        remember(remembered, key, {"x".join(map(str, s)): cost for s, cost in costs.items()})
    else:
        costs = {tuple(map(int, sides.split("x"))): cost for sides, cost in seconds.items()}
        costs = {shape: cost for shape, cost in costs.items() if fits(network, shape)}
    return choose_tile(image_shape, network.footprint, costs) if costs else usual


def fits(network: NetworkSettings, shape: Shape) -> bool:
    """Whether a tile fits into the memory that is free now."""
    return tile_bytes(network, shape) <= psutil.virtual_memory().available * MEMORY_SHARE


def tile_s(engine: Engine, network: NetworkSettings, shape: Shape) -> float:
    """Seconds for one tile, after one that makes the engine ready."""
    tile = probe_tile(network.channels, shape)
    engine(tile)
    began = time.perf_counter()
    engine(tile)
    return time.perf_counter() - began
