"""What networks made of the images: the newest labels of every plane, of the last few images."""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from biounet.model import ModelFile
from biounet.prediction.instances import label_objects
from biounet.studio.events import Events
from biounet.studio.patches import LAST_ID
from biounet.studio.regions import Box

N_KEPT_PREDICTIONS = 3
"""Images (with all their planes) whose segmentation is kept, those segmented last."""


@dataclass(frozen=True)
class Sight:
    """What a person looks at: a part of a plane of an image."""

    name: str
    plane: int
    box: Box


@dataclass(frozen=True)
class Prediction:
    """What a network makes of (a part of) a plane of an image.

    Attributes:
        number: grows with every prediction.
        labels: uint16 of the box's shape.
        step: training steps of the weights.
    """

    number: int
    box: Box
    labels: NDArray[np.uint16]
    step: int


class Predictions:
    """What is kept; pages are told of each new one."""

    def __init__(self, events: Events) -> None:
        self._events = events
        self._kept: dict[str, dict[int, Prediction]] = {}
        self._number = 0

    def of(self, name: str) -> dict[int, Prediction]:
        """Those of an image, by plane."""
        return self._kept.get(name, {})

    def keep(self, sight: Sight, probabilities: NDArray[np.float32], model: ModelFile) -> None:
        """Label and keep what a network makes of a part of a plane."""
        labels = label_objects(probabilities, model.settings.objects)
        labels[labels > LAST_ID] = 0  # more cells than ids: the last ones are not shown
        step = int(model.provenance.get("steps", 0))
        self._number += 1
        prediction = Prediction(self._number, sight.box, labels.astype(np.uint16), step)
        others = {name: planes for name, planes in self._kept.items() if name != sight.name}
        newest = list(others)[-N_KEPT_PREDICTIONS + 1 :]
        self._kept = {
            **{name: others[name] for name in newest},
            sight.name: {**self.of(sight.name), sight.plane: prediction},
        }
        told = {"name": sight.name, "plane": sight.plane, "number": prediction.number}
        self._events.publish("prediction", told)


def as_json(prediction: Prediction) -> dict[str, Any]:
    """All but the pixels."""
    return {"number": prediction.number, "step": prediction.step, **asdict(prediction.box)}
