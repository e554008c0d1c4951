"""Linking cells over time."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from biounet.errors import InputError
from biounet.metrics import Linked, Track, link_frame, match_frames, tra_score


def link(*rows: list[int]) -> tuple[list[list[int]], list[Track]]:
    linked: Linked | None = None
    labels = []
    for k, row in enumerate(rows):
        linked = link_frame(linked, k, np.array(row))
        labels.append(linked.labels.tolist())
    assert linked is not None
    return labels, list(linked.tracks)


def test_a_cell_keeps_its_label_and_others_begin() -> None:
    labels, tracks = link([5, 5, 0, 0], [0, 9, 0, 3], [0, 0, 0, 7])
    assert labels == [[1, 1, 0, 0], [0, 1, 0, 2], [0, 0, 0, 2]]
    assert tracks == [Track(1, 0, 1, 0), Track(2, 1, 2, 0)]


def test_the_greatest_overlap_wins() -> None:
    """Cell 4 overlaps track 1 by three and track 2 by one; cell 5 gets track 2."""
    labels, tracks = link([1, 1, 1, 2, 2], [4, 4, 4, 4, 5])
    assert labels[1] == [1, 1, 1, 1, 2]
    assert tracks == [Track(1, 0, 1, 0), Track(2, 0, 1, 0)]


def test_a_division_ends_the_mother() -> None:
    labels, tracks = link([8, 8, 8, 8, 8, 0], [1, 1, 0, 2, 2, 2], [1, 1, 0, 2, 2, 2])
    assert labels[1:] == [[2, 2, 0, 3, 3, 3]] * 2
    assert tracks == [Track(1, 0, 0, 0), Track(2, 1, 2, 1), Track(3, 1, 2, 1)]


def test_a_neighbour_does_not_take_the_track_of_a_mother() -> None:
    """Cell 4 touches the mother's place, but lies mostly beside it."""
    labels, tracks = link([1] * 6 + [0] * 3, [2, 2, 3, 3, 4, 4, 4, 4, 4])
    assert labels[1] == [2, 2, 3, 3, 4, 4, 4, 4, 4]
    assert tracks[3] == Track(4, 1, 1, 0)


def test_a_cell_that_is_gone_for_a_frame_begins_anew() -> None:
    _, tracks = link([1], [0], [1])
    assert tracks == [Track(1, 0, 0, 0), Track(2, 2, 2, 0)]


sequences = hnp.arrays(
    np.uint16, st.tuples(st.integers(1, 4), st.just(8)), elements=st.integers(0, 4)
)


@settings(deadline=None)
@given(sequences)
def test_tables_are_valid_and_cells_stay_what_they_were(sequence: np.ndarray) -> None:
    linked: Linked | None = None
    relabelled = []
    for k, labels in enumerate(sequence):
        linked = link_frame(linked, k, labels)
        relabelled.append((k, linked.labels))
        pairs = set(zip(labels.tolist(), linked.labels.tolist(), strict=True))
        assert len(pairs) == len({a for a, _ in pairs}) == len({b for _, b in pairs})
        np.testing.assert_array_equal(labels == 0, linked.labels == 0)
    assert linked is not None
    for track in linked.tracks:
        there = [k for k, labels in relabelled if (labels == track.label).any()]
        assert there == list(range(track.begin, track.end + 1))
    if linked.tracks:  # the challenge's own checks of a table, and a perfect score
        found = tra_score(match_frames(relabelled, relabelled), linked.tracks, linked.tracks)
        assert found.tra == 1


@settings(deadline=None)
@given(sequences, st.permutations([1, 2, 3, 4]))
def test_ids_mean_nothing_unless_overlaps_tie(sequence: np.ndarray, ids: list[int]) -> None:
    first = link_frame(None, 0, sequence[0])
    renamed = link_frame(None, 0, np.array([0, *ids], np.uint16)[sequence[0]])
    assert len(first.tracks) == len(renamed.tracks)


def test_more_tracks_than_16_bits_are_refused() -> None:
    with pytest.raises(InputError, match="65536 tracks by frame 0"):
        link_frame(None, 0, np.arange(65537))


def test_another_shape_is_refused() -> None:
    linked = link_frame(None, 0, np.ones((2, 2), int))
    with pytest.raises(InputError, match="one shape"):
        link_frame(linked, 1, np.ones((2, 3), int))
