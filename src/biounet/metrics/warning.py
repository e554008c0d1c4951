"""The warning of every metric: the value is defined, but says less than it seems to."""


class MetricWarning(UserWarning):
    """A score of an empty or one-class image, of a missing frame, and the like."""
