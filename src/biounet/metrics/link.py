"""Tracks from segmented frames: each cell keeps the label of the cell that it overlaps most."""

from collections import Counter
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from biounet.errors import InputError
from biounet.metrics.contingency import Labels, ObjectPairs, contingency
from biounet.metrics.tracking import Track

LARGEST_LABEL = 65535
"""The challenge's label images have 16 bits."""


@dataclass(frozen=True)
class Linked:
    """What linking knows after a frame: its labels, and the tracks up to it.

    Attributes:
        labels: uint16, the frame with the label of each cell's track.
        tracks: the lines "L B E P" of `res_track.txt`, by label 1, 2, ….
    """

    labels: NDArray[np.uint16]
    tracks: tuple[Track, ...]


def link_frame(previous: Linked | None, frame: int, labels: Labels) -> Linked:
    """Link the cells of a frame to those of the frame before it.

    Cells that lie, two or more, by more than half within one cell of the previous frame are its
    daughters: they begin tracks of which it is the parent. All others are linked one to one,
    the most overlapping pixels first (ties: the smaller labels first), and what finds no
    partner begins a track. Only the previous frame is looked at:

        linked = None
        for number, labels in frames:
            linked = link_frame(linked, number, labels)
            write(number, linked.labels)
        write_table(linked.tracks)

    Args:
        previous: what this function returned for the frame before; None for the first.
        frame: the number of this frame.
        labels: integer labels of its cells, 0 = background, any shape; ids mean nothing.

    Raises:
        InputError: another shape than the previous frame's, labels that are not integers >= 0,
            or more tracks than 16 bits can number.
    """
    if previous is None:
        previous = Linked(np.zeros(labels.shape, np.uint16), ())
    table = contingency(labels, previous.labels)
    parent_of = _divisions(table.objects())
    track_of = _partners(table.objects(), parent_of)
    tracks = {track.label: track for track in previous.tracks}
    for cell in table.prediction_labels[table.prediction_labels != 0].tolist():
        if cell in track_of:
            tracks[track_of[cell]] = replace(tracks[track_of[cell]], end=frame)
        else:
            track_of[cell] = len(tracks) + 1
            tracks[track_of[cell]] = Track(track_of[cell], frame, frame, parent_of.get(cell, 0))
    if len(tracks) > LARGEST_LABEL:
        raise InputError(
            f"{len(tracks)} tracks by frame {frame}",
            f"at most {LARGEST_LABEL}, the labels of a 16-bit image",
            "drop specks from the segmentation by a minimum size",
        )
    places = np.searchsorted(table.prediction_labels, labels)
    new = np.array([track_of.get(cell, 0) for cell in table.prediction_labels.tolist()], np.uint16)
    return Linked(new[places], tuple(tracks.values()))


def _divisions(pairs: ObjectPairs) -> dict[int, int]:
    """Daughter to mother, for cells that share a mother."""
    mother_of = dict(
        zip(
            pairs.prediction[pairs.fills_prediction].tolist(),
            pairs.truth[pairs.fills_prediction].tolist(),
            strict=True,
        )
    )
    n_daughters = Counter(mother_of.values())
    return {cell: mother for cell, mother in mother_of.items() if n_daughters[mother] > 1}


def _partners(pairs: ObjectPairs, parent_of: dict[int, int]) -> dict[int, int]:
    """Cell to track, greedily by overlap, without the cells and tracks of a division."""
    track_of: dict[int, int] = {}
    taken = set(parent_of.values())
    for i in np.lexsort((pairs.prediction, pairs.truth, -pairs.pixels)).tolist():
        cell, track = int(pairs.prediction[i]), int(pairs.truth[i])
        if cell not in track_of and cell not in parent_of and track not in taken:
            track_of[cell] = track
            taken.add(track)
    return track_of
