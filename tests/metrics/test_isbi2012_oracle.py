"""All five ISBI 2012 scores of whole stacks against one slow program, in plain Python.

It follows the organisers' definitions step by step and shares no line with the package: single
pixels, dictionaries, float64, every pixel judged by labelling the image again. Stacks of one to
three slices, drawn to hit the corners: probabilities exactly on a threshold, slices of one class,
single pixels, diagonal contacts, cells at the border.
"""

import math
import warnings
from collections import Counter, deque
from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from biounet.metrics import MetricWarning, evaluate_isbi2012

Pixel = tuple[int, int]
EDGES = ((0, -1), (-1, 0), (0, 1), (1, 0))  # (dy, dx): left, up, right, down
AROUND = tuple((dy, dx) for dy in (-1, 0, 1) for dx in (-1, 0, 1) if (dy, dx) != (0, 0))


def thresholds() -> Iterator[float]:
    t = 0.0
    while t <= 1.0:
        yield t
        t = t + 0.1


def components(cells: set[Pixel]) -> dict[Pixel, int]:
    """The number of its 4-connected component for each cell pixel, from 1."""
    label: dict[Pixel, int] = {}
    for start in sorted(cells):
        if start in label:
            continue
        number = 1 + max(label.values(), default=0)
        label[start] = number
        queue = [start]
        while queue:
            y, x = queue.pop()
            for q in ((y + dy, x + dx) for dy, dx in EDGES):
                if q in cells and q not in label:
                    label[q] = number
                    queue.append(q)
    return label


def thinned(cells: set[Pixel], height: int, width: int) -> dict[Pixel, int]:
    """The segment of each pixel after flooding; dams are left out."""
    grid = [(y, x) for x in range(width) for y in range(height)]  # column by column
    if not cells:
        return dict.fromkeys(grid, 1)
    segment = components(cells)
    waiting = {p for p in grid if p not in cells}
    queued: set[Pixel] = set()
    dams: set[Pixel] = set()
    queue: deque[Pixel] = deque()
    for y, x in grid:
        if (y, x) in waiting and any((y + dy, x + dx) in cells for dy, dx in EDGES):
            queue.append((y, x))
    queued.update(queue)
    waiting -= queued
    while queue:
        p = queue.popleft()
        soft = False
        for q in ((p[0] + dy, p[1] + dx) for dy, dx in EDGES):
            if q in segment:
                if p in queued:
                    queued.discard(p)
                    segment[p] = segment[q]
                elif p in dams and soft:
                    dams.discard(p)
                    segment[p] = segment[q]
                elif p in segment and segment[p] != segment[q]:
                    del segment[p]
                    dams.add(p)
                    soft = False
            elif q in dams:
                if p in queued:
                    queued.discard(p)
                    dams.add(p)
                    soft = True
            elif q in waiting:
                waiting.discard(q)
                queued.add(q)
                queue.append(q)
    return segment


def f_score(tp: float, fp: float, fn: float) -> float:
    precision = 1.0 if fp == 0 else tp / (tp + fp)
    recall = 1.0 if fn == 0 else tp / (tp + fn)
    total = precision + recall
    return 2 * precision * recall / total if total > 0 else 0.0


def tables(
    truth: dict[Pixel, int], segment: dict[Pixel, int]
) -> tuple[Counter[tuple[int, int]], Counter[int], Counter[int], int]:
    """Over true cells: pixels by both labels, by the truth's, by the segment's, and alone."""
    both = Counter((truth[p], segment[p]) for p in truth if p in segment)
    inside = Counter(segment[p] for p in truth if p in segment)
    return both, Counter(truth.values()), inside, sum(p not in segment for p in truth)


def rand(truth: dict[Pixel, int], segment: dict[Pixel, int]) -> tuple[float, float, float]:
    if not truth:
        return math.nan, math.nan, math.nan
    both, of_truth, of_segment, alone = tables(truth, segment)
    together = sum(c * c for c in both.values()) + alone
    b = sum(c * c for c in of_segment.values()) + alone
    a = sum(c * c for c in of_truth.values())
    return together, b - together, a - together


def v_info(truth: dict[Pixel, int], segment: dict[Pixel, int]) -> float:
    n = len(truth)
    if n == 0:
        return 0.0
    both, of_truth, of_segment, alone = tables(truth, segment)
    if len(of_truth) == 1 or len(of_segment) + alone == 1:
        return 0.0

    def entropy(counts: Counter[int] | Counter[tuple[int, int]], singles: int) -> float:
        terms = [c / n for c in counts.values()] + [1 / n] * singles
        return -math.fsum(p * math.log(p) for p in terms)

    h_a, h_b = entropy(of_truth, 0), entropy(of_segment, alone)
    mutual = h_a + h_b - entropy(both, alone)
    precision, recall = mutual / h_a, mutual / h_b
    return 2 * precision * recall / (precision + recall)


def is_simple(p: Pixel, s: set[Pixel]) -> bool:
    y, x = p
    n = sum((y + dy, x + dx) in s for dy, dx in EDGES)
    corners = sum(
        {(y + dy, x + dx), (y + dy, x), (y, x + dx)} <= s for dy in (-1, 1) for dx in (-1, 1)
    )
    return n - corners == 1


def warped(truth: set[Pixel], slice_: np.ndarray, t: float) -> tuple[set[Pixel], set[Pixel]]:
    height, width = slice_.shape
    s = set(truth)
    cells = {(y, x) for y in range(height) for x in range(width) if float(slice_[y, x]) > t}
    before = -1
    while True:
        wrong = [
            (y, x)
            for x in range(width)
            for y in range(height)
            if ((y, x) in s) != ((y, x) in cells)
        ]
        if len(wrong) in (0, before):
            return s, set(wrong)
        before = len(wrong)
        key = {p: np.float32(abs(float(slice_[p]) - t)) for p in wrong}
        for p in sorted(wrong, key=lambda p: -key[p]):
            if is_simple(p, s):
                s ^= {p}


def splits_and_mergers(truth: set[Pixel], slice_: np.ndarray, t: float) -> int:
    height, width = slice_.shape
    s, wrong = warped(truth, slice_, t)
    label = {} if len(truth) == slice_.size else components(s)

    def values(labels: dict[Pixel, int], p: Pixel) -> set[int]:
        near = [(p[0] + dy, p[1] + dx) for dy, dx in AROUND]
        return {labels.get(q, 0) for q in near if 0 <= q[0] < height and 0 <= q[1] < width}

    n = 0
    for p in wrong:
        ids = values(label, p)
        if len(ids) >= 3:
            n += 1
        elif len(ids) == 2 and p in label:
            left = s - {p}
            if min(height, width) >= 20:
                left = {q for q in left if abs(q[0] - p[0]) <= 20 and abs(q[1] - p[1]) <= 20}
            n += len(values(components(left), p) | {0}) > 2
    return n


def slow_scores(probabilities: np.ndarray, labels: np.ndarray) -> dict[str, list[float]]:
    """The values at every threshold."""
    height, width = labels.shape[1:]
    found: dict[str, list[float]] = {
        name: [] for name in ("pixel_error", "rand_error", "warping_error", "v_rand", "v_info")
    }
    for k, t in enumerate(thresholds()):
        pixel, pairs, n_wrong = np.zeros(3), np.zeros(3), 0
        f_rand, f_info = [], []
        for slice_, truth_slice in zip(probabilities, labels, strict=True):
            truth = {(int(y), int(x)) for y, x in np.argwhere(truth_slice > 0)}
            cells = {p for p in np.ndindex(height, width) if float(slice_[p]) > t}
            pixel += len(cells & truth), len(cells - truth), len(truth - cells)
            objects = components(truth)
            pairs += rand(objects, components(cells))
            segments = thinned(cells, height, width)
            f_rand.append(f_score(*rand(objects, segments)))
            f_info.append(v_info(objects, segments))
            if k < 10:
                n_wrong += splits_and_mergers(truth, slice_, t)
        found["pixel_error"].append(1 - f_score(*pixel))
        found["rand_error"].append(1 - f_score(*pairs))
        found["v_rand"].append(math.fsum(f_rand) / len(labels))
        found["v_info"].append(math.fsum(f_info) / len(labels))
        if k < 10:
            found["warping_error"].append(n_wrong / labels.size)
    return found


# Where the mutual information is 0 but for rounding, the organisers' own V_Info is noise: such
# shares of independent labels are rare, and only this score is then not compared.
def is_noise(value: float) -> bool:
    return math.isnan(value) or abs(value) < 1e-9


def check(probabilities: np.ndarray, labels: np.ndarray) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", MetricWarning)
        scores = evaluate_isbi2012(probabilities, labels, workers=1)
    slow = slow_scores(probabilities, labels)
    for name, expected in slow.items():
        for found, value in zip(getattr(scores, f"{name}_at"), expected, strict=True):
            if name == "v_info" and is_noise(value):
                assert is_noise(found)
            else:
                assert found == pytest.approx(value, abs=1e-12), name
    for name in ("pixel_error", "rand_error", "warping_error"):
        assert getattr(scores, name) == pytest.approx(min(1.0, *slow[name]), abs=1e-12)
    assert scores.v_rand == pytest.approx(max(slow["v_rand"]), abs=1e-12)
    best = max([0.0, *(v for v in slow["v_info"] if not math.isnan(v))])
    assert scores.v_info == pytest.approx(best, abs=1e-9)


EXACT = [np.float32(k / 10) for k in range(11)]
ON_A_THRESHOLD = [*EXACT, *(np.nextafter(v, np.float32(0.5)) for v in EXACT)]


@st.composite
def stacks(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray]:
    shape = (draw(st.integers(1, 3)), draw(st.integers(1, 11)), draw(st.integers(1, 11)))
    pixels = hnp.arrays(np.bool_, shape)
    labels = draw(pixels) if draw(st.booleans()) else draw(pixels) | draw(pixels) | draw(pixels)
    probabilities = draw(hnp.arrays(np.float32, shape, elements=st.sampled_from(ON_A_THRESHOLD)))
    if draw(st.booleans()):  # near the truth: few mistakes, as in real predictions
        probabilities = np.where(draw(pixels) & draw(pixels), probabilities, labels * 0.75 + 0.125)
    for z in range(shape[0]):
        kind = draw(st.sampled_from(["as is"] * 6 + ["no cell", "all cell", "found nothing"]))
        if kind == "found nothing":
            probabilities[z] = 0
        elif kind != "as is":
            labels[z] = kind == "all cell"
    return probabilities.astype(np.float32), labels


@settings(deadline=None, max_examples=60)
@given(stacks())
def test_every_score_at_every_threshold(stack: tuple[np.ndarray, np.ndarray]) -> None:
    check(*stack)


@pytest.mark.parametrize("shape", [(1, 21, 20), (2, 20, 33), (1, 45, 47)])
def test_images_larger_than_the_window(shape: tuple[int, int, int]) -> None:
    """From 20 px a side on, a cut is looked for within 20 px only."""
    rng = np.random.default_rng(sum(shape))
    labels = np.ones(shape, np.bool_)
    labels[:, ::9], labels[:, :, ::8] = False, False
    labels[:, 5, 5] = False
    noise = rng.random(shape)
    check(np.clip(labels * 0.6 + 0.5 * noise**2 - 0.05, 0, 1).astype(np.float32), labels)


def test_each_corner_by_itself() -> None:
    """Empty and full slices, single pixels, diagonals, the border: alone and in one stack."""
    empty, full = np.zeros((7, 8), np.bool_), np.ones((7, 8), np.bool_)
    dot, diagonal, hole, frame = empty.copy(), empty.copy(), full.copy(), full.copy()
    dot[3, 4], hole[2, 2] = True, False
    diagonal[np.arange(7), np.arange(7)] = True
    frame[1:-1, 1:-1] = False
    kinds = [empty, full, dot, diagonal, ~diagonal, hole, frame]
    for truth in kinds:
        for prediction in kinds:
            check(prediction[None].astype(np.float32), truth[None])
    check(np.stack(kinds[::-1]).astype(np.float32) * np.float32(0.9), np.stack(kinds))
