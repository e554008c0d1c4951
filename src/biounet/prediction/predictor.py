"""A model made ready: engine, precision, tile and averaging, chosen once."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from biounet.config import PREDICTION
from biounet.errors import InputError
from biounet.geometry import Footprint, Shape, TilePlan, plan_tiles
from biounet.images.regions import Pixels
from biounet.images.statistics import intensity_statistics
from biounet.model import Intensity, ModelFile
from biounet.prediction.averaging import average_rotations, d4_engine
from biounet.prediction.engines import Engine, choose_device
from biounet.prediction.engines.choice import choose_engine, usable_threads
from biounet.prediction.engines.timing import timing_key, timings_file
from biounet.prediction.intensity import intensity_of
from biounet.prediction.overlap_tile import (
    normalise,
    predict_tile,
    sample_tile,
    written_slices,
)
from biounet.prediction.rescaling import (
    back_from_network,
    px_before_rescaling,
    scale_per_axis,
    shown_to_network,
)
from biounet.prediction.tile_choice import affordable_tile, measured_tile


@dataclass(frozen=True)
class Predictor:
    """Everything that decides the numbers of a prediction, but the image.

    Attributes:
        model: settings and the training set's intensity.
        engine: turns tiles into probabilities; averages the 8 symmetries if asked.
        input_shape: the largest input tile.
        n_rotations: predicted in that many turned frames; 1: as it is.
        scale: how many times larger, along each axis, the network sees an image.
        engine_name: `torch`, `openvino` or `onnx`.
        precision: `float32`, `bfloat16` or `float16`.
        note: what was measured to choose, for the user; empty if nothing.
    """

    model: ModelFile
    engine: Engine
    input_shape: Shape
    n_rotations: int
    scale: tuple[float, ...]
    engine_name: str
    precision: str
    note: str = ""

    @property
    def footprint(self) -> Footprint:
        """The network's."""
        return self.model.settings.network.footprint

    @property
    def advance_px(self) -> Shape:
        """From one tile to the next, px of the image."""
        step = self.footprint.step
        output = self.footprint.output_shape(self.input_shape)
        whole = tuple(n // s * s for n, s in zip(output, step, strict=True))
        return px_before_rescaling(whole, step, self.scale)

    def plan(self, image_shape: Shape) -> TilePlan:
        """How an image is cut, at the scale that the network sees."""
        return plan_tiles(image_shape, self.footprint, self.input_shape)


@dataclass(frozen=True)
class Ahead:
    """What is going to be predicted.

    Attributes:
        plane: one image (C, …); the others are taken to be like it.
        n_planes: how many there are.
    """

    plane: Pixels
    n_planes: int


def make_predictor(
    model: ModelFile,
    device: str,
    precision: str,
    tile: int | None,
    average: str,
    engine: str = "torch",
    ahead: Ahead | None = None,
    scale: Sequence[float] = PREDICTION.scale,
) -> Predictor:
    """Choose engine, precision and tile.

    Args:
        model: makes labels at the image's own size (`model.at_scale`).
        ahead: what is going to be predicted, where it is known: what bfloat16 changes is measured
            on it if the model does not tell, and the tile is chosen for it.
        scale: one factor, or one for each axis; above 1: the network sees the image enlarged.

    Raises:
        InputError: a tile that is too small; an average, an engine or a precision that does not
            exist, or not on this device; a scale that is none.
    """
    network = model.settings.network
    scale = scale_per_axis(scale, network.dimensions)
    if ahead is not None:
        ahead = Ahead(shown_to_network(ahead.plane, scale), ahead.n_planes)
    footprint = network.footprint
    if tile is None:
        input_shape = affordable_tile(network)
    else:
        input_shape = footprint.round_down((tile,) * network.dimensions)
    turns = n_rotations(average)
    on_cpu = device == "auto" and engine in ("openvino", "onnx")
    where = choose_device("cpu" if on_cpu else device)
    sample = None if ahead is None or precision != "auto" else _sample(model, ahead)
    file = timings_file()
    chosen = choose_engine(model, where, engine, precision, file, sample)
    note = ""
    if tile is None and ahead is not None:
        kept = (chosen.name, chosen.precision, where.type)
        key = timing_key(network, (), usable_threads(), "tiles", kept)
        shape, n = ahead.plane.shape[1:], ahead.n_planes
        input_shape = measured_tile(chosen.engine, network, shape, n, file, key)
        if input_shape != affordable_tile(network):
            note = f"tiles of {'x'.join(map(str, input_shape))} px: the fastest here, measured once"
    compute = d4_engine(chosen.engine) if average == "d4" else chosen.engine
    return Predictor(model, compute, input_shape, turns, scale, chosen.name, chosen.precision, note)


def _sample(model: ModelFile, ahead: Ahead) -> NDArray[np.float32]:
    """A tile of what is to come, normalised by itself: statistics of the whole would take long."""
    raw = Intensity((0.0,) * ahead.plane.shape[0], (1.0,) * ahead.plane.shape[0])
    grey = sample_tile(ahead.plane, model.settings.network.footprint, raw)[0]
    return normalise(grey, plane_intensity(model, grey))[None]


def n_rotations(average: str) -> int:
    """The N of `rotations:N`; 1 for `none` and `d4`."""
    if average in ("none", "d4"):
        return 1
    kind, _, number = average.partition(":")
    if kind != "rotations" or not number.isdecimal() or int(number) < 1:
        raise InputError(f"average {average!r}", "none, d4 or rotations:N", "choose one")
    return int(number)


def plane_intensity(model: ModelFile, source: Pixels) -> Intensity:
    """Offset and scale for one image (C, …): its own, or the training set's."""
    if model.settings.intensity.source == "training-set":
        return model.intensity
    axes = "C" + "ZYX"[1 - source.ndim :]
    return intensity_of(intensity_statistics(source, axes), model.settings.intensity)


def predict_plane(
    predictor: Predictor, source: Pixels, on_tile: Callable[[], None] = lambda: None
) -> NDArray[np.float32]:
    """Probabilities (K, …) of one image (C, …)."""
    intensity = plane_intensity(predictor.model, source)
    size = source.shape[1:]
    return predict_region(predictor, source, intensity, (0,) * len(size), size, on_tile)


def predict_region(
    predictor: Predictor,
    source: Pixels,
    intensity: Intensity,
    start: Shape,
    stop: Shape,
    on_tile: Callable[[], None] = lambda: None,
) -> NDArray[np.float32]:
    """Probabilities (K, …) of the box start..stop of an image (C, …).

    The same numbers, up to rounding, as those of the whole image.
    """

    def probabilities(view: Pixels) -> Pixels:
        shown = shown_to_network(view, predictor.scale)
        predicted = Probabilities(shown, intensity, predictor, on_tile)
        return back_from_network(predicted, predictor.scale, view.shape[1:])

    box = (slice(None), *(slice(a, b) for a, b in zip(start, stop, strict=True)))
    if predictor.n_rotations == 1:
        return np.asarray(probabilities(source)[box])
    return average_rotations(source, predictor.n_rotations, probabilities, box)


@dataclass(frozen=True)
class Probabilities:
    """What a network makes of an image, as an array (K, …) that computes what is read of it.

    Tiles begin on the network's grid, wherever a box begins, so a pixel's numbers do not depend
    on the box.
    """

    source: Pixels
    intensity: Intensity
    predictor: Predictor
    on_tile: Callable[[], None]

    @property
    def shape(self) -> tuple[int, ...]:
        """(K, …)."""
        return (self.predictor.model.settings.network.classes, *self.source.shape[1:])

    @property
    def ndim(self) -> int:
        """The image's."""
        return self.source.ndim

    @property
    def dtype(self) -> np.dtype[np.float32]:
        """Probabilities are 0..1."""
        return np.dtype(np.float32)

    def __getitem__(self, key: tuple[slice, ...]) -> NDArray[np.float32]:
        """A box: one slice an axis, classes first."""
        ranges = [part.indices(n) for part, n in zip(key[1:], self.shape[1:], strict=True)]
        step = self.predictor.footprint.step
        origin = tuple(low // s * s for (low, _, _), s in zip(ranges, step, strict=True))
        size = tuple(high - o for (_, high, _), o in zip(ranges, origin, strict=True))
        result = np.empty((self.shape[0], *size), np.float32)
        for tile in self.predictor.plan(size):
            probabilities = predict_tile(
                self.source, tile.moved(origin), self.intensity, self.predictor.engine
            )
            result[(slice(None), *written_slices(tile))] = probabilities
            self.on_tile()
        inside = (slice(low - o, None) for (low, _, _), o in zip(ranges, origin, strict=True))
        return result[(key[0], *inside)]
