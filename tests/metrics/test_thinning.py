"""Border thinning: the compiled flood against one written anew from the definition."""

import inspect
from collections import deque
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import ndimage

from biounet.metrics import thinning
from biounet.metrics.thinning import thin

masks = hnp.arrays(np.bool_, st.tuples(st.integers(1, 14), st.integers(1, 14)))


def thin_slowly(cells: np.ndarray) -> np.ndarray:
    """A transcript of the definition: dictionaries by (x, y), one state a pixel."""
    height, width = cells.shape
    if not cells.any():
        return np.ones(cells.shape, int)
    labels = ndimage.label(cells)[0]
    grid = [(x, y) for x in range(width) for y in range(height)]
    state: dict[tuple[int, int], int | str] = {
        (x, y): int(labels[y, x]) if cells[y, x] else "waiting" for x, y in grid
    }

    def neighbours(x: int, y: int) -> list[tuple[int, int]]:
        around = [(x - 1, y), (x, y - 1), (x + 1, y), (x, y + 1)]
        return [q for q in around if q in state]

    queue = deque(p for p in grid if not cells[p[1], p[0]])
    queue = deque(p for p in queue if any(cells[y, x] for x, y in neighbours(*p)))
    state.update(dict.fromkeys(queue, "queued"))
    while queue:
        p = queue.popleft()
        soft = False
        for q in neighbours(*p):
            if isinstance(state[q], int):
                if state[p] == "queued" or (state[p] == "dam" and soft):
                    state[p] = state[q]
                elif state[p] not in ("dam", state[q]):
                    state[p] = "dam"
                    soft = False
            elif state[q] == "dam":
                if state[p] == "queued":
                    state[p] = "dam"
                    soft = True
            elif state[q] == "waiting":
                state[q] = "queued"
                queue.append(q)
    thinned = np.zeros(cells.shape, int)
    for (x, y), value in state.items():
        assert value == "dam" or isinstance(value, int)
        thinned[y, x] = 0 if value == "dam" else value
    return thinned


def same_partition(a: np.ndarray, b: np.ndarray) -> bool:
    pairs = set(zip(a.ravel().tolist(), b.ravel().tolist(), strict=True))
    return len(pairs) == len({p for p, _ in pairs}) == len({q for _, q in pairs})


@settings(deadline=None, max_examples=300)
@given(masks)
def test_is_the_definition(cells: np.ndarray) -> None:
    thinned, expected = thin(cells), thin_slowly(cells)
    np.testing.assert_array_equal(thinned == 0, expected == 0)
    assert same_partition(thinned, expected)


@settings(deadline=None, max_examples=100)
@given(masks)
def test_plain_python_gives_the_same(cells: np.ndarray) -> None:
    compiled = thin(cells)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(thinning, "flood", inspect.unwrap(thinning.flood))
        np.testing.assert_array_equal(thin(cells), compiled)


@settings(deadline=None, max_examples=100)
@given(masks)
def test_segments_keep_their_cells_and_never_touch(cells: np.ndarray) -> None:
    thinned = thin(cells)
    assert (thinned[cells] > 0).all()
    assert thinned.max() == max(1, ndimage.label(cells)[1])
    for axis in (thinned, thinned.T):
        for one, next_one in pairwise(axis):
            assert ((one == next_one) | (one == 0) | (next_one == 0)).all()


def test_even_membrane_leaves_the_dam_that_the_scan_order_decides() -> None:
    cells = np.array([[1, 0, 0, 1], [1, 0, 0, 1]], np.bool_)
    np.testing.assert_array_equal(thin(cells), [[1, 1, 0, 2], [1, 1, 0, 2]])


def test_membrane_within_a_cell_vanishes_and_no_cell_is_one_segment() -> None:
    cells = np.ones((5, 5), np.bool_)
    cells[2, 1:] = False
    np.testing.assert_array_equal(thin(cells), np.ones((5, 5)))
    np.testing.assert_array_equal(thin(np.zeros((3, 4), np.bool_)), np.ones((3, 4)))
