"""TRA against py-ctcmetrics on random tracks, and by hand."""

import math

import numpy as np
import pytest
from ctc_metrics.metrics import tra
from ctc_metrics.utils.representations import count_acyclic_graph_correction_operations
from hypothesis import given, settings
from hypothesis import strategies as st

from biounet.errors import InputError
from biounet.metrics import FrameMatch, MetricWarning, Track, match_frames, tra_score
from biounet.metrics.ctc import ObjectMatch

N_FRAMES = 6


@st.composite
def tracks(draw: st.DrawFn) -> list[Track]:
    """Valid tables: a parent ends before its children begin."""
    table: list[Track] = []
    for label in range(1, draw(st.integers(1, 7)) + 1):
        begin = draw(st.integers(0, N_FRAMES - 1))
        end = draw(st.integers(begin, N_FRAMES - 1))
        parents = [0, *(t.label for t in table if t.end < begin)]
        table.append(Track(label, begin, end, draw(st.sampled_from(parents))))
    return table


@st.composite
def matched_tracks(draw: st.DrawFn) -> tuple[list[Track], list[Track], list[FrameMatch]]:
    """Each true object is matched by the result's of the same number, another, or none."""
    truth, result = draw(tracks()), draw(tracks())
    matches = []
    for frame in range(N_FRAMES):
        true = tuple(t.label for t in truth if t.begin <= frame <= t.end)
        found = tuple(t.label for t in result if t.begin <= frame <= t.end)
        pairs = []
        for label in true:
            likely = [label] * 4 if label in found else []
            match = draw(st.sampled_from([0, *likely, *found]))
            if match:
                pairs.append(ObjectMatch(label, match, 0.5))
        matches.append(FrameMatch(frame, true, found, tuple(pairs)))
    return truth, result, matches


def oracle(
    truth: list[Track], result: list[Track], matches: list[FrameMatch]
) -> tuple[float, int, int, int]:
    def table(tracks: list[Track]) -> np.ndarray:
        return np.array([(t.label, t.begin, t.end, t.parent) for t in tracks])

    operations = count_acyclic_graph_correction_operations(
        table(truth),
        table(result),
        [np.array(match.truth, int) for match in matches],
        [np.array(match.result, int) for match in matches],
        [[m.truth for m in match.matches] for match in matches],
        [[m.result for m in match.matches] for match in matches],
    )
    score, _, _ = tra(**operations)
    return score, operations["ED"], operations["EA"], operations["EC"]


@settings(deadline=None, max_examples=200)
@given(matched_tracks())
def test_same_as_the_oracle(case: tuple[list[Track], list[Track], list[FrameMatch]]) -> None:
    truth, result, matches = case
    expected = oracle(truth, result, matches)
    found = tra_score(matches, truth, result)
    assert found.tra == pytest.approx(expected[0], abs=1e-12)
    assert (found.n_extra_edges, found.n_missing_edges, found.n_wrong_edges) == expected[1:]


def frames(*rows: list[int]) -> list[tuple[int, np.ndarray]]:
    return [(k, np.repeat(np.array(row, np.uint8), 3)) for k, row in enumerate(rows)]


DIVISION = [Track(1, 0, 0, 0), Track(2, 1, 1, 1), Track(3, 1, 1, 1)]


def test_perfect_tracks() -> None:
    truth = frames([1, 0], [2, 3])
    assert tra_score(match_frames(truth, truth), DIVISION, DIVISION).tra == 1


def test_hand_worked_division() -> None:
    """The result lets the cell live on as its first daughter, and starts the other anew."""
    truth, result = frames([1, 0], [2, 3]), frames([1, 0], [1, 3])
    found = tra_score(match_frames(truth, result), DIVISION, [Track(1, 0, 1, 0), Track(3, 1, 1, 0)])
    assert (found.n_extra_edges, found.n_missing_edges, found.n_wrong_edges) == (0, 1, 1)
    assert found.tra == pytest.approx(1 - (1.5 + 1) / (3 * 10 + 2 * 1.5))


def test_gaps_in_the_truth_are_bridged() -> None:
    """Sequences with tracking truth at every fifth frame: tracks run on between them."""
    frame = np.ones(4, np.uint8)
    truth = [(10, frame), (15, frame)]
    track = [Track(1, 10, 15, 0)]
    with_link = tra_score(match_frames(truth, truth), track, track)
    assert with_link.tra == 1
    assert with_link.n_missing_edges == 0
    other = [(10, frame), (15, 2 * frame)]
    broken = tra_score(
        match_frames(truth, other), track, [Track(1, 10, 10, 0), Track(2, 15, 15, 0)]
    )
    assert broken.n_missing_edges == 1


def test_missing_frame_breaks_tracks() -> None:
    truth = frames([1], [1], [1])
    with pytest.warns(MetricWarning, match="lacks frame 1"):
        matches = list(match_frames(truth, [truth[0], truth[2]]))
    found = tra_score(matches, [Track(1, 0, 2, 0)], [Track(1, 0, 2, 0)])
    assert found.n_missing_edges == 2
    assert found.tra == pytest.approx(1 - (10 + 2 * 1.5) / (30 + 2 * 1.5))


@pytest.mark.parametrize(
    ("tracks", "message"),
    [
        ([Track(1, 0, 1, 0), Track(1, 0, 1, 0)], "a label twice"),
        ([Track(1, 1, 0, 0)], "track 1 of frames 1..0"),
        ([Track(1, 0, 1, 5)], "the unknown parent 5"),
        ([Track(1, 0, 1, 2), Track(2, 0, 0, 0)], "before its parent 2 has ended"),
        ([Track(2, 0, 1, 0)], "no line for label 1 of frame 0"),
    ],
)
def test_wrong_tables_are_refused(tracks: list[Track], message: str) -> None:
    matches = list(match_frames(frames([1], [1]), frames([1], [1])))
    right = [Track(1, 0, 1, 0)]
    with pytest.raises(InputError, match=f"{message}.* tracks of the truth"):
        tra_score(matches, tracks, right)
    with pytest.raises(InputError, match=f"{message}.* tracks of the result"):
        tra_score(matches, right, tracks)


def test_empty_truth_is_told() -> None:
    matches = list(match_frames(frames([0]), frames([0])))
    with pytest.warns(MetricWarning, match="TRA is not defined"):
        assert math.isnan(tra_score(matches, [], []).tra)
