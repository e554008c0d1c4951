"""Grey values to network input, from statistics of whole images, never of a tile."""

from biounet.config import IntensitySettings
from biounet.images.statistics import IntensityStatistics
from biounet.model import Intensity


def intensity_of(statistics: IntensityStatistics, settings: IntensitySettings) -> Intensity:
    """Offset and scale of each channel; a constant channel is only shifted.

    Images of more than 16 bits have no percentiles: their range stands in.
    """
    if settings.method == "mean-std":
        offset, scale = statistics.mean, statistics.std
    elif statistics.percentiles is not None:
        offset = tuple(p[1] for p in statistics.percentiles)
        scale = tuple(p[2] - p[0] for p in statistics.percentiles)
    else:
        offset = statistics.mean
        scale = tuple(b - a for a, b in zip(statistics.minimum, statistics.maximum, strict=True))
    return Intensity(offset, tuple(s if s > 0 else 1.0 for s in scale))
