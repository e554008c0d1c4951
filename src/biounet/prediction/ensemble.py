"""Several models as one: what they must share, and what becomes of their settings."""

import statistics
from collections.abc import Sequence
from typing import Any

from biounet.config import validated_settings
from biounet.errors import InputError
from biounet.model import ModelFile
from biounet.network_settings import EnsembleSettings

OF_THE_FIRST = ("biounet", "labels_are", "object_px", "pixel_size_um")
"""What is kept of the provenance in one place; all of it is kept a member."""


def make_ensemble(models: Sequence[ModelFile]) -> ModelFile:
    """Several models as one, which predicts the mean of their probabilities.

    Thresholds and sizes of labels are the medians of theirs.

    Raises:
        InputError: fewer than two, an ensemble among them, or models of other networks, classes
            or treatment of grey values than the first.
    """
    if len(models) < 2:
        raise InputError("less than two models", "several", "name more of them")
    first = models[0]
    network = first.settings.network
    if isinstance(network, EnsembleSettings):
        raise InputError("an ensemble in an ensemble", "single models", "name its members")
    for other in models:
        if unlike := _difference(_alike(first), _alike(other)):
            raise InputError(
                f"models with different settings ({unlike})",
                "models trained alike, with another seed or on other images",
                "give `train` the settings of one of them (--settings run/settings.yaml)",
            )
    members = EnsembleSettings(n_members=len(models), member=network)
    objects = _medians([model.settings.objects.model_dump() for model in models])
    settings = {**first.settings.model_dump(), "network": members.model_dump(), "objects": objects}
    return ModelFile(
        settings=validated_settings(settings),
        weights={
            f"members.{number}.{name}": weight
            for number, model in enumerate(models)
            for name, weight in model.weights.items()
        },
        class_names=first.class_names,
        intensity=first.intensity,
        provenance={
            **{name: first.provenance.get(name) for name in OF_THE_FIRST},
            "members": [model.provenance for model in models],
        },
    )


def _alike(model: ModelFile) -> dict[str, Any]:
    """What must be the same in all members."""
    settings = model.settings
    return {
        **settings.network.model_dump(),
        **settings.intensity.model_dump(),
        "grey values": model.intensity if settings.intensity.source == "training-set" else None,
        "classes": ", ".join(model.class_names),
        "objects.method": settings.objects.method,
    }


def _difference(one: dict[str, Any], other: dict[str, Any]) -> str:
    """The settings that differ, with both values; empty where none does."""
    names = [name for name in {**one, **other} if one.get(name) != other.get(name)]
    return ", ".join(f"{name}: {one.get(name)} and {other.get(name)}" for name in names)


def _medians(settings: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The median of each number; of the rest, that of the first."""
    found = dict(settings[0])
    for name, value in found.items():
        if isinstance(value, int | float) and not isinstance(value, bool):
            median = statistics.median(each[name] for each in settings)
            found[name] = round(median) if isinstance(value, int) else median
    return found
