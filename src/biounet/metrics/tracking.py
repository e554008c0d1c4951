"""TRA of the Cell Tracking Challenge: how far the tracks are from the true ones, as graphs.

Every object of every frame is a vertex. Edges join a track's objects in successive frames
(track links) and a track's last object with its children's first (parent links).

Source: Matula et al. 2015, doi:10.1371/journal.pone.0144959.
"""

import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from biounet.errors import InputError
from biounet.metrics.ctc import COST_OF_MISS, FrameMatch
from biounet.metrics.warning import MetricWarning

COST_OF_EXTRA_EDGE, COST_OF_MISSING_EDGE, COST_OF_WRONG_EDGE = 1.0, 1.5, 1.0
"""What it costs to mend a wrong edge of the tracking graph (Matula 2015, table 2)."""

Vertex = tuple[int, int]
"""Frame and label."""


@dataclass(frozen=True)
class Track:
    """A line "L B E P" of `man_track.txt` or `res_track.txt`: one cell from birth to end.

    Attributes:
        label: of the cell in the frames, 1 and up.
        begin, end: first and last frame.
        parent: label of the track that divided, or 0.
    """

    label: int
    begin: int
    end: int
    parent: int


@dataclass(frozen=True)
class TrackingScores:
    """TRA and the edges to mend; the vertices to mend are those of DET (`FrameMatch`).

    Attributes:
        tra: 0..1; NaN if the truth has no object.
        n_extra_edges: ED, in the result only (between objects that each match one).
        n_missing_edges: EA, in the truth only.
        n_wrong_edges: EC, a track link in one and a parent link in the other.
    """

    tra: float
    n_extra_edges: int
    n_missing_edges: int
    n_wrong_edges: int


def tra_score(
    matches: Iterable[FrameMatch], truth: Sequence[Track], result: Sequence[Track]
) -> TrackingScores:
    """TRA = 1 - min(AOGM, AOGM0) / AOGM0, where AOGM0 is the cost of an empty result.

    Args:
        matches: of all frames with tracking truth (`TRA/man_track….tif`), in order.
        truth, result: the tables of tracks.

    Raises:
        InputError: a table has a label twice, an unknown parent, a track that ends before it
            begins or begins before its parent ends, or lacks a label of the frames.

    Warns:
        MetricWarning: the truth has no object.
    """
    matches = tuple(matches)
    _check(truth, [(match.frame, match.truth) for match in matches], "truth")
    _check(result, [(match.frame, match.result) for match in matches], "result")
    truth_edges = _edges(truth, [(match.frame, match.truth) for match in matches])
    result_edges = _edges(result, [(match.frame, match.result) for match in matches])
    truth_of = {
        (match.frame, result_label): (match.frame, truth_label)
        for match in matches
        for result_label, truth_label in match.unique_matches().items()
    }
    found = {
        (truth_of[a], truth_of[b]): is_parent
        for (a, b), is_parent in result_edges.items()
        if a in truth_of and b in truth_of
    }
    n_extra = len(found.keys() - truth_edges.keys())
    n_missing = len(truth_edges.keys() - found.keys())
    n_wrong = sum(found[edge] != truth_edges[edge] for edge in found.keys() & truth_edges.keys())
    cost = (
        sum(match.cost for match in matches)
        + COST_OF_EXTRA_EDGE * n_extra
        + COST_OF_MISSING_EDGE * n_missing
        + COST_OF_WRONG_EDGE * n_wrong
    )
    n_vertices = sum(len(match.truth) for match in matches)
    from_nothing = COST_OF_MISS * n_vertices + COST_OF_MISSING_EDGE * len(truth_edges)
    if from_nothing == 0:
        warnings.warn("the truth has no object: TRA is not defined", MetricWarning, stacklevel=2)
        return TrackingScores(float("nan"), n_extra, n_missing, n_wrong)
    tra = 1 - min(cost, from_nothing) / from_nothing
    return TrackingScores(tra, n_extra, n_missing, n_wrong)


def _edges(
    tracks: Sequence[Track], frames: Sequence[tuple[int, tuple[int, ...]]]
) -> dict[tuple[Vertex, Vertex], bool]:
    """The edges between objects that exist in the frames; True for parent links."""
    edges = {
        ((before, label), (after, label)): False
        for (before, labels), (after, next_labels) in pairwise(frames)
        for label in set(labels) & set(next_labels)
    }
    first: dict[int, int] = {}
    last: dict[int, int] = {}
    for frame, labels in frames:
        for label in labels:
            first.setdefault(label, frame)
            last[label] = frame
    for track in tracks:
        if track.parent in last and track.label in first:
            edges[(last[track.parent], track.parent), (first[track.label], track.label)] = True
    return edges


def _check(
    tracks: Sequence[Track], frames: Sequence[tuple[int, tuple[int, ...]]], name: str
) -> None:
    by_label = {track.label: track for track in tracks}

    def refuse(found: str, wanted: str) -> None:
        raise InputError(f"{found} in the tracks of the {name}", wanted, "mend the table of tracks")

    if len(by_label) < len(tracks):
        refuse("a label twice", "one line per track")
    for track in tracks:
        if track.end < track.begin:
            refuse(f"track {track.label} of frames {track.begin}..{track.end}", "begin <= end")
        if track.parent != 0:
            if track.parent not in by_label:
                refuse(f"the unknown parent {track.parent}", "the label of a track, or 0")
            if by_label[track.parent].end >= track.begin:
                refuse(
                    f"track {track.label} from frame {track.begin}, before its parent "
                    f"{track.parent} has ended",
                    "parents that end before their children begin",
                )
    for frame, labels in frames:
        unknown = set(labels) - by_label.keys()
        if unknown:
            refuse(f"no line for label {min(unknown)} of frame {frame}", "a line for each label")
