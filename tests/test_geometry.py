"""Sizes, margins and tile plans: hand-worked numbers, a slow oracle, and properties."""

from math import prod

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from biounet.errors import InputError
from biounet.geometry import (
    Footprint,
    choose_tile,
    hourglass_footprint,
    legal_at_least,
    plan_tiles,
    unet_footprint,
)

PAPER = unet_footprint(((2, 2),) * 4, ((3, 3),) * 5)


# ---------------------------------------------------------------------------------- footprints


def test_the_papers_network_loses_92_px_a_side() -> None:
    assert (PAPER.margin, PAPER.step, PAPER.smallest) == ((92, 92), (16, 16), (188, 188))
    assert PAPER.output_shape((572, 572)) == (388, 388)
    assert PAPER.smallest_tile == (204, 204)
    legal = [n for n in range(1, 240) if PAPER.is_legal((n, 572))]
    assert legal == [188, 204, 220, 236]
    assert all(n % 16 == 12 for n in legal)


def test_sizes_of_the_papers_network_up_and_down() -> None:
    assert PAPER.input_for((388, 1)) == (572, 188)
    assert PAPER.input_for((389, 4)) == (588, 188)
    assert PAPER.round_down((587, 588)) == (572, 588)
    assert [legal_at_least(n, 188, 16) for n in (1, 188, 189, 204, 205)] == [
        188,
        188,
        204,
        204,
        220,
    ]


def walk_unet(size: int, factors: list[int], kernels: list[int]) -> int | None:
    """The U-Net's output size, layer by layer; None where a layer refuses its input."""
    skips = []
    for factor, kernel in zip(factors, kernels, strict=False):
        size -= 2 * (kernel - 1)
        if size < 1 or size % factor:
            return None
        skips.append(size)
        size //= factor
    size -= 2 * (kernels[-1] - 1)
    for factor, kernel in zip(reversed(factors), reversed(kernels[:-1]), strict=True):
        if size < 1:
            return None
        size *= factor
        skip = skips.pop()
        assert skip >= size
        assert (skip - size) % 2 == 0  # else the centre of the skipped maps is half a pixel off
        size -= 2 * (kernel - 1)
    return size if size > 0 else None


@given(
    st.lists(st.tuples(st.sampled_from([1, 2, 3]), st.sampled_from([1, 3, 5])), max_size=3),
    st.sampled_from([1, 3, 5]),
)
def test_unet_footprint_is_what_the_layers_do(
    levels: list[tuple[int, int]], coarsest_kernel: int
) -> None:
    factors, kernels = [f for f, _ in levels], [k for _, k in levels] + [coarsest_kernel]
    footprint = unet_footprint([(f,) for f in factors], [(k,) for k in kernels])
    outputs = {n: walk_unet(n, factors, kernels) for n in range(1, 400)}
    assert {n for n, output in outputs.items() if output} == {
        n for n in outputs if footprint.is_legal((n,))
    }
    for n, output in outputs.items():
        if output:
            assert footprint.output_shape((n,)) == (output,)


def test_axes_do_not_mix() -> None:
    footprint = unet_footprint(((1, 2), (2, 2)), ((1, 3), (3, 3), (3, 3)))
    thin = unet_footprint(((1,), (2,)), ((1,), (3,), (3,)))
    wide = unet_footprint(((2,), (2,)), ((3,), (3,), (3,)))
    assert footprint == Footprint(
        margin=thin.margin + wide.margin,
        step=thin.step + wide.step,
        smallest=thin.smallest + wide.smallest,
    )


def test_a_footprint_needs_a_centre_and_an_output() -> None:
    with pytest.raises(ValueError, match="no centre"):
        hourglass_footprint([((1,), (2,))], (0,), [((2,), (0,))])
    with pytest.raises(ValueError, match="at least one output pixel"):
        Footprint(margin=(5,), step=(1,), smallest=(10,))
    with pytest.raises(ValueError, match="one number an axis"):
        Footprint(margin=(5,), step=(1, 1), smallest=(11,))


footprints = st.builds(
    lambda axes: Footprint(
        margin=tuple(a[0] for a in axes),
        step=tuple(a[1] for a in axes),
        smallest=tuple(2 * a[0] + a[2] for a in axes),
    ),
    st.lists(
        st.tuples(st.integers(0, 30), st.sampled_from([1, 2, 4, 6, 8, 16]), st.integers(1, 16)),
        min_size=1,
        max_size=3,
    ),
)


@given(footprints, st.data())
def test_sizes_found_are_legal_and_tight(footprint: Footprint, data: st.DataObject) -> None:
    shape = tuple(data.draw(st.integers(1, 200)) for _ in footprint.step)
    fits = footprint.input_for(shape)
    assert footprint.is_legal(fits)
    assert footprint.is_legal(footprint.smallest_tile)
    for axis, n in enumerate(footprint.output_shape(fits)):
        assert n >= shape[axis]
        one_less = fits[axis] - footprint.step[axis]
        assert one_less < footprint.smallest[axis] or n - footprint.step[axis] < shape[axis]
    advance = footprint.output_shape(footprint.smallest_tile)
    assert all(n >= step for n, step in zip(advance, footprint.step, strict=True))

    wished = tuple(n + data.draw(st.integers(0, 100)) for n in footprint.smallest_tile)
    rounded = footprint.round_down(wished)
    assert footprint.is_legal(rounded)
    for n, wish, step in zip(rounded, wished, footprint.step, strict=True):
        assert wish - step < n <= wish


# ----------------------------------------------------------------------------------- tile plans


@given(footprints, st.data())
def test_a_plan_writes_each_pixel_once_from_tiles_on_the_grid(
    footprint: Footprint, data: st.DataObject
) -> None:
    n_axes = len(footprint.step)
    largest = {1: 400, 2: 120, 3: 40}[n_axes]
    image_shape = tuple(data.draw(st.integers(1, largest)) for _ in range(n_axes))
    wished = tuple(n + data.draw(st.integers(0, 60)) for n in footprint.smallest_tile)
    tile_shape = footprint.round_down(wished)
    plan = plan_tiles(image_shape, footprint, tile_shape)

    assert footprint.is_legal(plan.input_shape)
    assert all(n <= t for n, t in zip(plan.input_shape, tile_shape, strict=True))
    n_written = np.zeros(image_shape, int)
    tiles = list(plan)
    assert len(tiles) == len(plan) == prod(plan.n_tiles)
    for tile in tiles:
        for axis in range(n_axes):
            margin, step = footprint.margin[axis], footprint.step[axis]
            assert tile.read_stop[axis] - tile.read_start[axis] == plan.input_shape[axis]
            assert tile.write_start[axis] % step == 0
            assert tile.write_start[axis] == tile.read_start[axis] + margin
            assert tile.write_start[axis] < tile.write_stop[axis]
            assert tile.write_stop[axis] <= tile.read_stop[axis] - margin
        written = tuple(
            slice(*ends) for ends in zip(tile.write_start, tile.write_stop, strict=True)
        )
        n_written[written] += 1
    assert (n_written == 1).all()


@given(footprints, st.data())
def test_a_plan_has_no_more_tiles_than_the_asked_tile_needs(
    footprint: Footprint, data: st.DataObject
) -> None:
    image_shape = tuple(data.draw(st.integers(1, 300)) for _ in footprint.step)
    wished = tuple(n + data.draw(st.integers(0, 60)) for n in footprint.smallest_tile)
    tile_shape = footprint.round_down(wished)
    plan = plan_tiles(image_shape, footprint, tile_shape)
    for size, output, step, n in zip(
        image_shape,
        footprint.output_shape(tile_shape),
        footprint.step,
        plan.n_tiles,
        strict=True,
    ):
        reach = output  # what one tile, two tiles, … reach, stepping as far as they may
        needed = 1
        while reach < size:
            reach += output // step * step
            needed += 1
        assert n == needed


def test_one_tile_of_572_for_388_pixels_and_two_for_one_more() -> None:
    plan = plan_tiles((388, 389), PAPER, (572, 572))
    assert plan.n_tiles == (1, 2)
    # 388 output px = 24 steps of 16 and 4 more. Two tiles cover 389 px with a stride of 208
    # (13 steps, output 212): 208 + 212 = 420; a stride of 192 would reach 192 + 196 = 388 only.
    assert plan.stride[1] == 208
    assert plan.input_shape == (572, 212 + 184)
    first, second = plan
    assert (first.read_start, first.read_stop) == ((-92, -92), (480, 304))
    assert (first.write_start, first.write_stop) == ((0, 0), (388, 208))
    assert (second.read_start, second.read_stop) == ((-92, 116), (480, 512))
    assert (second.write_start, second.write_stop) == ((0, 208), (388, 389))


def test_the_papers_own_tile_steps_by_384_and_not_by_388() -> None:
    plan = plan_tiles((384 + 388,), unet_footprint(((2,),) * 4, ((3,),) * 5), (572,))
    assert (plan.stride, plan.n_tiles, plan.input_shape) == ((384,), (2,), (572,))
    assert [tile.write_start for tile in plan] == [(0,), (384,)]
    longer = plan_tiles((384 + 389,), unet_footprint(((2,),) * 4, ((3,),) * 5), (572,))
    assert longer.n_tiles == (3,)


def test_the_512_px_image_of_the_paper() -> None:
    plan = plan_tiles((512, 512), PAPER, (572, 572))
    # Two tiles an axis; the narrowest that do: stride 256, output 260, input 444.
    assert (plan.n_tiles, plan.stride, plan.input_shape) == ((2, 2), (256, 256), (444, 444))
    assert [tile.write_start for tile in plan] == [(0, 0), (0, 256), (256, 0), (256, 256)]
    assert plan_tiles((512, 512), PAPER, (700, 700)).n_tiles == (1, 1)


def test_choosing_the_tile_of_least_total_cost() -> None:
    image = (512, 512)
    # One tile of 700 px, or 2 x 2 of 444 px (what a tile of 572 shrinks to).
    area = {(572, 572): 572.0**2, (700, 700): 700.0**2}
    assert choose_tile(image, PAPER, area) == (700, 700)  # 700² < 4 x 444²
    slow = area | {(700, 700): 2 * 700.0**2}
    assert choose_tile(image, PAPER, slow) == (572, 572)


# --------------------------------------------------------------------------------------- errors


def test_errors_say_found_wanted_remedy() -> None:
    with pytest.raises(InputError) as illegal:
        PAPER.output_shape((572, 573))
    assert str(illegal.value) == (
        "found an input of 572x573 px; wanted sizes of (188, 188) px plus multiples of "
        "(16, 16) px; pad or crop it, or let the tile planner choose"
    )
    with pytest.raises(InputError) as small:
        PAPER.round_down((203, 572))
    assert str(small.value) == (
        "found a tile of 203x572 px; wanted at least 204x204 px for this network; "
        "choose a larger tile, or auto"
    )
    with pytest.raises(InputError, match=r"found an image of shape \(0, 512\); wanted a pixel"):
        plan_tiles((0, 512), PAPER, (572, 572))


def test_a_plan_refuses_tiles_that_are_not_legal_or_cannot_advance() -> None:
    with pytest.raises(InputError, match="found an input of 570x572 px"):
        plan_tiles((512, 512), PAPER, (570, 572))
    with pytest.raises(InputError, match="wanted at least 204x204 px"):
        plan_tiles((5, 5), PAPER, (188, 188))  # 4 px of output, and steps of 16
    assert plan_tiles((4, 3), PAPER, (188, 188)).n_tiles == (1, 1)


def test_an_input_of_other_dimensions_is_not_legal() -> None:
    assert not PAPER.is_legal((572, 572, 572))
    with pytest.raises(InputError, match="572x572x572"):
        PAPER.output_shape((572, 572, 572))
