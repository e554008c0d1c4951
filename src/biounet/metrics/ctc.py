"""SEG and DET of the Cell Tracking Challenge, as its official software defines them.

A result object is the match of a truth object when it covers more than half of it. So a truth
object has one match at most, and a result object may match several truth objects.

Sources: Maška et al. 2014, doi:10.1093/bioinformatics/btu080 (SEG); Matula et al. 2015,
doi:10.1371/journal.pone.0144959 (DET: AOGM-D, normalised). TRA stands in `tracking.py`.
"""

import warnings
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np

from biounet.errors import InputError
from biounet.metrics.contingency import Labels, contingency
from biounet.metrics.warning import MetricWarning

Frames = Iterable[tuple[int, Labels]]
"""Frame numbers, ascending, with the labels of each: (Y, X) or (Z, Y, X), 0 = background."""

AnnotatedFrames = Iterable[tuple[int, Labels | Mapping[int, Labels]]]
"""The same of a truth; of a volume perhaps single slices only, (Y, X) each, by their number."""

Found = TypeVar("Found")

COST_OF_SPLIT, COST_OF_MISS, COST_OF_EXTRA = 5.0, 10.0, 1.0
"""What it costs to mend a wrong vertex of the tracking graph (Matula 2015, table 2)."""


@dataclass(frozen=True)
class ObjectMatch:
    """A truth object and the result object that covers more than half of it."""

    truth: int
    result: int
    iou: float


@dataclass(frozen=True)
class FrameMatch:
    """The objects of one frame: those of truth and result, and which match.

    `z` is the slice that was annotated; None: the whole frame was.
    """

    frame: int
    truth: tuple[int, ...]
    result: tuple[int, ...]
    matches: tuple[ObjectMatch, ...]
    z: int | None = None

    @property
    def n_splits(self) -> int:
        """NS: cuts that part result objects matched by several truth objects."""
        return len(self.matches) - len({match.result for match in self.matches})

    @property
    def n_missed(self) -> int:
        """FN: truth objects without a match."""
        return len(self.truth) - len(self.matches)

    @property
    def n_extra(self) -> int:
        """FP: result objects that match nothing."""
        return len(self.result) - len({match.result for match in self.matches})

    @property
    def cost(self) -> float:
        """AOGM-D: what it costs to mend the detections."""
        return (
            COST_OF_SPLIT * self.n_splits
            + COST_OF_MISS * self.n_missed
            + COST_OF_EXTRA * self.n_extra
        )

    def unique_matches(self) -> dict[int, int]:
        """Result label to truth label, of result objects that match exactly one."""
        n = Counter(match.result for match in self.matches)
        return {match.result: match.truth for match in self.matches if n[match.result] == 1}


def match_frame(frame: int, truth: Labels, result: Labels) -> FrameMatch:
    """Match the objects of one frame.

    Args:
        frame: its number.
        truth: integer labels, 0 = background, (Y, X) or (Z, Y, X). Cells that nobody annotated
            may be missing: SEG looks at the annotated ones only.
        result: the same shape.

    Raises:
        InputError: shapes differ, or labels are not integers >= 0.
    """
    table = contingency(result, truth)
    pairs = table.objects()
    matched = pairs.fills_truth
    return FrameMatch(
        frame,
        truth=tuple(table.truth_labels[table.truth_labels != 0].tolist()),
        result=tuple(table.prediction_labels[table.prediction_labels != 0].tolist()),
        matches=tuple(
            ObjectMatch(*match)
            for match in zip(
                pairs.truth[matched].tolist(),
                pairs.prediction[matched].tolist(),
                pairs.iou[matched].tolist(),
                strict=True,
            )
        ),
    )


def match_frames(truth: AnnotatedFrames, result: Frames) -> Iterator[FrameMatch]:
    """Match a sequence frame by frame; only one frame of each is held at a time.

    Frames of the result that the truth lacks are passed over (gold truth covers a few only).
    Where only slices of a frame are annotated, each is matched with that slice of the result
    alone, as by the official software: an object is what of it lies in the slice.

    Raises:
        InputError: frame numbers do not ascend, the result has no such slice, or as in
            `match_frame`.

    Warns:
        MetricWarning: at the end, of frames that the result lacks; they count as frames without
            objects.
    """
    lacking: list[int] = []
    results = _ascending(result, "result")
    number, labels = next(results, (None, None))
    for frame, annotated in _ascending(truth, "truth"):
        while number is not None and number < frame:
            number, labels = next(results, (None, None))
        found = labels if number == frame else None
        if found is None:
            lacking.append(frame)
        if isinstance(annotated, Mapping):
            for z, truth_slice in annotated.items():
                found_slice = None if found is None else _slice_of(found, z, frame)
                yield replace(_match_or_missed(frame, truth_slice, found_slice), z=z)
        else:
            yield _match_or_missed(frame, annotated, found)
    if len(lacking) == 1:
        told = f"the result lacks frame {lacking[0]}: it counts as a frame without objects"
        warnings.warn(told, MetricWarning, stacklevel=2)
    elif lacking:
        shown = ", ".join(map(str, lacking[:5])) + (", …" if len(lacking) > 5 else "")
        told = f"the result lacks {len(lacking)} frames ({shown}): they count as without objects"
        warnings.warn(told, MetricWarning, stacklevel=2)


def _match_or_missed(frame: int, truth: Labels, result: Labels | None) -> FrameMatch:
    return match_frame(frame, truth, np.zeros(truth.shape, np.uint8) if result is None else result)


def _slice_of(labels: Labels, z: int, frame: int) -> Labels:
    volume = labels[np.newaxis] if labels.ndim == 2 else labels
    if z >= len(volume):
        raise InputError(
            f"truth for slice {z} of frame {frame}",
            f"a result of more than the {len(volume)} {'slice' if len(volume) == 1 else 'slices'}"
            " that it has",
            "give the result of these volumes",
        )
    chosen: Labels = volume[z]
    return chosen


def seg_score(matches: Iterable[FrameMatch]) -> float:
    """SEG: the mean IoU of truth objects with their match, 0 for those without.

    Args:
        matches: of the frames that have segmentation truth (`SEG/man_seg….tif`); a single one
            gives the SEG of that frame.

    Returns:
        0..1; 0, with a MetricWarning, if there is no truth object.
    """
    matches = tuple(matches)
    n_truth = sum(len(match.truth) for match in matches)
    if n_truth == 0:
        _warn_of_empty_truth("SEG is 0 by definition")
        return 0.0
    return sum(m.iou for match in matches for m in match.matches) / n_truth


def det_score(matches: Iterable[FrameMatch]) -> float:
    """DET = 1 - min(AOGM-D, AOGM-D0) / AOGM-D0, where AOGM-D0 is the cost of an empty result.

    Args:
        matches: of the frames that have detection truth (`TRA/man_track….tif`); a single one
            gives the DET of that frame.

    Returns:
        0..1; NaN, with a MetricWarning, if there is no truth object.
    """
    matches = tuple(matches)
    from_nothing = COST_OF_MISS * sum(len(match.truth) for match in matches)
    if from_nothing == 0:
        _warn_of_empty_truth("DET is not defined")
        return float("nan")
    return 1 - min(sum(match.cost for match in matches), from_nothing) / from_nothing


def _warn_of_empty_truth(consequence: str) -> None:
    warnings.warn(f"the truth has no object: {consequence}", MetricWarning, stacklevel=3)


def _ascending(frames: Iterable[tuple[int, Found]], name: str) -> Iterator[tuple[int, Found]]:
    last = None
    for frame, labels in frames:
        if last is not None and frame <= last:
            raise InputError(
                f"frame {frame} after frame {last} in the {name}",
                "frame numbers that ascend",
                "sort the files by their number",
            )
        last = frame
        yield frame, labels
