"""Scores of segmentations: arrays in, frozen numbers out. Nothing here reads a file.

| question | module |
|---|---|
| ISBI 2012: pixel, Rand and warping error, V_Rand, V_Info | `isbi2012` |
| Cell Tracking Challenge: SEG and DET | `ctc` |
| Cell Tracking Challenge: TRA | `tracking` |
| which cell is which in the next frame | `link` |
| IoU and Dice of classes, areas | `overlap` |
| AP, F1 and panoptic quality of objects | `matching` |
| what became of each object | `outcomes` |
"""

from biounet.metrics.ctc import FrameMatch, det_score, match_frame, match_frames, seg_score
from biounet.metrics.isbi2012 import Isbi2012Scores, evaluate_isbi2012
from biounet.metrics.link import Linked, link_frame
from biounet.metrics.matching import (
    IOU_THRESHOLDS,
    InstanceScores,
    Matching,
    MatchingScores,
    instance_scores,
    match_objects,
)
from biounet.metrics.outcomes import ObjectOutcomes, Outcome, classify_objects
from biounet.metrics.overlap import OverlapScores, confusion, overlap_scores, slice_areas
from biounet.metrics.tracking import Track, TrackingScores, tra_score
from biounet.metrics.warning import MetricWarning

__all__ = [
    "IOU_THRESHOLDS",
    "FrameMatch",
    "InstanceScores",
    "Isbi2012Scores",
    "Linked",
    "Matching",
    "MatchingScores",
    "MetricWarning",
    "ObjectOutcomes",
    "Outcome",
    "OverlapScores",
    "Track",
    "TrackingScores",
    "classify_objects",
    "confusion",
    "det_score",
    "evaluate_isbi2012",
    "instance_scores",
    "link_frame",
    "match_frame",
    "match_frames",
    "match_objects",
    "overlap_scores",
    "seg_score",
    "slice_areas",
    "tra_score",
]
