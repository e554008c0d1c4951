"""Integers only: legal sizes, margins, tile plans. Nothing here knows an array.

A network of valid convolutions turns an input tile into a smaller output tile::

    |<------------------ input tile ------------------>|
    |<- margin ->|<--------- output tile ------>|<- margin ->|
                 |<------ written ------>|
                 ^ a multiple of `step` from the image's origin

Max pooling has a phase: two tiles give the same numbers for a pixel they share only if their
offsets differ by a multiple of the network's `step` (2^depth for a U-Net). Every tile of a plan
therefore starts on that grid, and the result does not depend on the tiling.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from math import prod

from biounet.errors import InputError

Shape = tuple[int, ...]


@dataclass(frozen=True)
class Footprint:
    """What a network of valid convolutions does to sizes, along each spatial axis (Y before X).

    Attributes:
        margin: pixels lost on each side, so that output = input - 2 * margin.
        step: legal input sizes are `smallest`, `smallest + step`, `smallest + 2 * step`, …;
            also the grid on which tiles must start.
        smallest: the smallest legal input size.
    """

    margin: Shape
    step: Shape
    smallest: Shape

    def __post_init__(self) -> None:
        if not len(self.margin) == len(self.step) == len(self.smallest):
            raise ValueError("margin, step and smallest need one number an axis")
        if any(s <= 2 * m for s, m in zip(self.smallest, self.margin, strict=True)):
            raise ValueError("the smallest input must leave at least one output pixel")

    @property
    def smallest_tile(self) -> Shape:
        """The smallest legal input whose output advances by one `step` at least."""
        return tuple(
            legal_at_least(step + 2 * margin, smallest, step)
            for margin, step, smallest in zip(self.margin, self.step, self.smallest, strict=True)
        )

    def is_legal(self, input_shape: Sequence[int]) -> bool:
        """Whether the network accepts an input of this shape."""
        return len(input_shape) == len(self.step) and all(
            n >= smallest and (n - smallest) % step == 0
            for n, smallest, step in zip(input_shape, self.smallest, self.step, strict=True)
        )

    def output_shape(self, input_shape: Sequence[int]) -> Shape:
        """The output shape of a legal input shape."""
        if not self.is_legal(input_shape):
            raise InputError(
                f"an input of {'x'.join(map(str, input_shape))} px",
                f"sizes of {self.smallest} px plus multiples of {self.step} px",
                "pad or crop it, or let the tile planner choose",
            )
        return tuple(n - 2 * m for n, m in zip(input_shape, self.margin, strict=True))

    def enlarged(self, factors: Shape) -> "Footprint":
        """The footprint of the same network on blocks of pixels in place of pixels."""
        margin, step, smallest = (
            tuple(n * factor for n, factor in zip(sizes, factors, strict=True))
            for sizes in (self.margin, self.step, self.smallest)
        )
        return Footprint(margin, step, smallest)

    def input_for(self, output_shape: Sequence[int]) -> Shape:
        """The smallest legal input shape whose output covers `output_shape`."""
        return tuple(
            legal_at_least(n + 2 * margin, smallest, step)
            for n, margin, smallest, step in zip(
                output_shape, self.margin, self.smallest, self.step, strict=True
            )
        )

    def round_down(self, input_shape: Sequence[int]) -> Shape:
        """The largest legal tile shape not above `input_shape`.

        Raises:
            InputError: where an axis is smaller than the smallest tile.
        """
        if any(n < t for n, t in zip(input_shape, self.smallest_tile, strict=True)):
            raise InputError(
                f"a tile of {'x'.join(map(str, input_shape))} px",
                f"at least {'x'.join(map(str, self.smallest_tile))} px for this network",
                "choose a larger tile, or auto",
            )
        return tuple(
            smallest + (n - smallest) // step * step
            for n, smallest, step in zip(input_shape, self.smallest, self.step, strict=True)
        )


def legal_at_least(size: int, smallest: int, step: int) -> int:
    """The smallest legal size (`smallest` plus a multiple of `step`) not below `size`."""
    return smallest + max(0, -(-(size - smallest) // step)) * step


def unet_footprint(pooling: Sequence[Shape], kernels: Sequence[Shape]) -> Footprint:
    """The footprint of a U-Net (Ronneberger et al. 2015, Fig. 1).

    Args:
        pooling: the pooling factors per axis of each of the `depth` poolings, finest first.
        kernels: the kernel sizes per axis of the convolutions of each of the `depth + 1` levels,
            finest first; every level has two convolutions on its way down and two on its way up
            (the coarsest has two in all).
    """
    losses = [tuple(2 * (k - 1) for k in kernel) for kernel in kernels]
    down = list(zip(losses[:-1], pooling, strict=True))
    return hourglass_footprint(down, losses[-1], [(factor, loss) for loss, factor in down[::-1]])


def hourglass_footprint(
    down: Sequence[tuple[Shape, Shape]], bottom: Shape, up: Sequence[tuple[Shape, Shape]]
) -> Footprint:
    """The footprint of a network that goes down by poolings and comes up to full resolution.

    Every operation is symmetric about the centre of its maps.

    Args:
        down: for each level, finest first, the pixels that its convolutions lose along each axis,
            and the factors of the pooling that follows.
        bottom: the pixels lost at the coarsest level.
        up: for each enlargement, coarsest first, its factors, and the pixels lost after it.
    """
    margin, step, smallest = [], [], []
    for axis, loss_below in enumerate(bottom):
        coarsest = 0
        output = 0
        while output < 1:  # the fewest pixels of the coarsest maps that leave one pixel at the end
            coarsest += 1
            output = coarsest
            for factors, losses in up:
                output = output * factors[axis] - losses[axis]
        size = coarsest + loss_below
        for losses, factors in reversed(down):
            size = size * factors[axis] + losses[axis]
        if (size - output) % 2:
            raise ValueError("a network that loses an odd number of pixels has no centre")
        margin.append((size - output) // 2)
        step.append(prod(factors[axis] for _, factors in down))
        smallest.append(size)
    return Footprint(tuple(margin), tuple(step), tuple(smallest))


@dataclass(frozen=True)
class Tile:
    """One tile of a plan: where it reads and where it writes, in pixels of the image.

    Attributes:
        read_start, read_stop: the input tile; may lie outside the image, where it is mirrored.
        write_start, write_stop: the pixels that this tile alone writes; inside the image. The
            network's output begins at `write_start`.
    """

    read_start: Shape
    read_stop: Shape
    write_start: Shape
    write_stop: Shape

    def moved(self, by: Shape) -> "Tile":
        """The same tile elsewhere."""
        corners = (self.read_start, self.read_stop, self.write_start, self.write_stop)
        return Tile(*(tuple(a + b for a, b in zip(c, by, strict=True)) for c in corners))


@dataclass(frozen=True)
class TilePlan:
    """How an image is cut: every tile has the same input shape, every pixel is written once."""

    image_shape: Shape
    input_shape: Shape
    footprint: Footprint
    stride: Shape
    n_tiles: Shape

    def __len__(self) -> int:
        return prod(self.n_tiles)

    def __iter__(self) -> Iterator[Tile]:
        for position in product(*(range(n) for n in self.n_tiles)):
            yield self.tile(position)

    def tile(self, position: Shape) -> Tile:
        """The tile at a position of the grid of tiles."""
        start = tuple(p * s for p, s in zip(position, self.stride, strict=True))
        read_start = tuple(a - m for a, m in zip(start, self.footprint.margin, strict=True))
        stop = tuple(
            size if p == n - 1 else a + s
            for p, n, a, s, size in zip(
                position, self.n_tiles, start, self.stride, self.image_shape, strict=True
            )
        )
        return Tile(
            read_start=read_start,
            read_stop=tuple(a + n for a, n in zip(read_start, self.input_shape, strict=True)),
            write_start=start,
            write_stop=stop,
        )


def plan_tiles(image_shape: Sequence[int], footprint: Footprint, input_shape: Shape) -> TilePlan:
    """Cut an image into tiles of one legal input shape that start on the network's grid.

    Along each axis the tile shrinks to the smallest one that needs no more tiles, so that little
    is computed outside the image.

    Raises:
        InputError: where the image is empty, or the tile is not legal or too small to advance.
    """
    if any(n < 1 for n in image_shape):
        raise InputError(f"an image of shape {tuple(image_shape)}", "a pixel at least", "check it")
    output_shape = footprint.output_shape(input_shape)
    if any(
        output < min(size, step)
        for size, output, step in zip(image_shape, output_shape, footprint.step, strict=True)
    ):
        footprint.round_down(input_shape)  # refuses what cannot advance by a step
    per_axis = [
        _plan_axis(size, m, step, smallest, n)
        for size, m, step, smallest, n in zip(
            image_shape,
            footprint.margin,
            footprint.step,
            footprint.smallest,
            input_shape,
            strict=True,
        )
    ]
    return TilePlan(
        image_shape=tuple(image_shape),
        input_shape=tuple(a[0] for a in per_axis),
        footprint=footprint,
        stride=tuple(a[1] for a in per_axis),
        n_tiles=tuple(a[2] for a in per_axis),
    )


def _plan_axis(
    size: int, margin: int, step: int, smallest: int, input_size: int
) -> tuple[int, int, int]:
    """(input size, stride, number of tiles) along one axis."""
    output = input_size - 2 * margin
    if size <= output:
        return legal_at_least(size + 2 * margin, smallest, step), output, 1
    stride = output // step * step
    n = 1 + -(-(size - output) // stride)
    # The same number of tiles with the smallest stride; the last tile reaches the image's end.
    while stride > step:
        narrower = legal_at_least(stride - step + 2 * margin, smallest, step)
        if (n - 1) * (stride - step) + narrower - 2 * margin < size:
            break
        stride, input_size = stride - step, narrower
    return input_size, stride, n


def choose_tile(
    image_shape: Sequence[int], footprint: Footprint, costs: Mapping[Shape, float]
) -> Shape:
    """The input tile that predicts an image at the least total cost.

    Args:
        costs: seconds (or any unit) for one tile of each candidate input shape.
    """

    def total(input_shape: Shape) -> float:
        plan = plan_tiles(image_shape, footprint, input_shape)
        shrunk = prod(plan.input_shape) / prod(input_shape)
        return len(plan) * costs[input_shape] * shrunk

    return min(costs, key=total)
