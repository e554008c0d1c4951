"""Precision, recall, F-score (Dice) and Jaccard index (IoU) of a count of right and wrong."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Counts:
    """How many pixels, pairs of pixels or objects are right, too many, or missing.

    Nothing to find and nothing found is perfect: every score of (0, 0, 0) is 1. Counts that are
    NaN (not a number) give an F-score of 0, as in the challenge organisers' program.
    """

    tp: float
    fp: float
    fn: float

    def __add__(self, other: "Counts") -> "Counts":
        return Counts(self.tp + other.tp, self.fp + other.fp, self.fn + other.fn)

    @property
    def precision(self) -> float:
        """Right among those predicted; 1 where nothing is predicted wrongly."""
        return 1.0 if self.fp == 0 else self.tp / (self.tp + self.fp)

    @property
    def recall(self) -> float:
        """Found among those that exist; 1 where nothing is missing."""
        return 1.0 if self.fn == 0 else self.tp / (self.tp + self.fn)

    @property
    def f_score(self) -> float:
        """Harmonic mean of precision and recall: F1 of objects, Dice of pixels."""
        total = self.precision + self.recall
        return 2 * self.precision * self.recall / total if total > 0 else 0.0

    @property
    def jaccard(self) -> float:
        """tp / (tp + fp + fn): IoU of pixels, AP of objects."""
        total = self.tp + self.fp + self.fn
        return 1.0 if total == 0 else self.tp / total
