"""How a large image is cut into blocks of work. Integers only.

A block is what one worker computes and writes: whole chunks of the output (one shard, where a
block has several chunks), so no two workers ever write one file.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from math import prod

from biounet.geometry import Shape

SMALLEST_CHUNK_PX = {2: 256, 3: 32}
"""Chunks hold as many strides of the tile as it takes to be this large along every axis, or as the
image."""

CHUNKS_PER_BLOCK = {"cpu": 1, "cuda": 4, "mps": 2}
"""Along each axis: a GPU is done with a chunk before the next task could be handed out."""

BLOCKS_PER_SLOT = 16
"""On a cluster blocks may grow until there are about so many for each that is done at once: one
scheduler hands out a few hundred a second."""

LARGEST_BLOCK_CHUNKS = 4
"""Along each axis, on a cluster."""


@dataclass(frozen=True)
class BlockGrid:
    """The blocks of one plane or volume.

    Attributes:
        shape: of the plane or volume, px.
        chunk: of the output, px.
        block: whole chunks, px.
    """

    shape: Shape
    chunk: Shape
    block: Shape

    @property
    def n_blocks(self) -> Shape:
        """Along each axis."""
        return tuple(-(-n // b) for n, b in zip(self.shape, self.block, strict=True))

    def __iter__(self) -> Iterator[Shape]:
        """The positions of all blocks, in storage order."""
        return product(*(range(n) for n in self.n_blocks))

    def box(self, position: Shape) -> tuple[Shape, Shape]:
        """Where a block starts and stops, px."""
        start = tuple(p * b for p, b in zip(position, self.block, strict=True))
        stop = tuple(min(a + b, n) for a, b, n in zip(start, self.block, self.shape, strict=True))
        return start, stop

    def around(self, start: Shape, stop: Shape) -> Iterator[Shape]:
        """The positions of the blocks that a box touches."""
        ranges = (
            range(max(0, a) // b, -(-min(z, n) // b))
            for a, z, b, n in zip(start, stop, self.block, self.shape, strict=True)
        )
        return product(*ranges)


def plan_blocks(
    shape: Shape, advance: Shape, chunks_per_block: int, block_px: int | None
) -> BlockGrid:
    """Blocks of whole tiles.

    Args:
        shape: of the plane or volume, px.
        advance: from one tile to the next, px.
        chunks_per_block: along each axis.
        block_px: about how long a block is to be; None: as many tiles as make a good chunk.
    """
    smallest = SMALLEST_CHUNK_PX[len(shape)] if block_px is None else block_px
    chunk = tuple(s * -(-min(smallest, n) // s) for s, n in zip(advance, shape, strict=True))
    return BlockGrid(
        shape,
        chunk,
        tuple(c * min(chunks_per_block, -(-n // c)) for c, n in zip(chunk, shape, strict=True)),
    )


def enlarged(grid: BlockGrid, n_wanted: int) -> BlockGrid:
    """The same chunks in larger blocks, as long as there are so many blocks."""
    for n_chunks in range(LARGEST_BLOCK_CHUNKS, 1, -1):
        block = tuple(
            max(b, c * min(n_chunks, -(-n // c)))
            for b, c, n in zip(grid.block, grid.chunk, grid.shape, strict=True)
        )
        larger = BlockGrid(grid.shape, grid.chunk, block)
        if prod(larger.n_blocks) >= n_wanted:
            return larger
    return grid
