"""The model file, only that: weights, settings and provenance in one `.safetensors`.

Nothing else is needed to predict, nothing in it is executed. The metadata of the file holds one
JSON text under the key `biounet`.
"""

import contextlib
import json
import os
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from math import prod
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from biounet.config import Settings, merged, validated_settings
from biounet.errors import InputError
from biounet.networks import build_network

FORMAT_VERSION = 1


@dataclass(frozen=True)
class Intensity:
    """Grey values to network input: (value - offset) / scale, one of each a channel."""

    offset: tuple[float, ...]
    scale: tuple[float, ...]


@dataclass(frozen=True)
class ModelFile:
    """What a model file holds.

    Attributes:
        settings: every setting of the run, derived ones included.
        weights: the network's state, as `build_network(settings.network)` names it.
        class_names: one a class, background first.
        intensity: of the training set; used where `settings.intensity.source` says so.
        provenance: data hashes, versions, seed, scores: plain JSON values.
    """

    settings: Settings
    weights: dict[str, Tensor]
    class_names: tuple[str, ...]
    intensity: Intensity
    provenance: dict[str, Any] = field(default_factory=dict)


def write_model(model: ModelFile, path: Path) -> None:
    """Write a model file: under a temporary name, then renamed."""
    header = {
        "format_version": FORMAT_VERSION,
        "settings": model.settings.model_dump(mode="json"),
        "class_names": list(model.class_names),
        "intensity": {"offset": model.intensity.offset, "scale": model.intensity.scale},
        "provenance": model.provenance,
    }
    weights = {name: value.detach().cpu().contiguous() for name, value in model.weights.items()}
    write_tensors(weights, {"biounet": json.dumps(header)}, path)


def write_tensors(tensors: dict[str, Tensor], metadata: dict[str, str], path: Path) -> None:
    """Write a safetensors file that is either whole or not there."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(prefix=".tmp-", suffix=path.name, dir=path.parent)
        os.close(handle)
        try:
            save_file(tensors, temporary, metadata)
            Path(temporary).chmod(0o644)
            Path(temporary).replace(path)
        finally:
            with contextlib.suppress(FileNotFoundError):
                Path(temporary).unlink()
    except (OSError, SafetensorError) as error:
        raise InputError(
            f"{path} cannot be written ({error})", "a folder with room to write in", "choose one"
        ) from None


def read_model(path: Path) -> ModelFile:
    """Read a model file.

    Raises:
        InputError: no such file, truncated, not a model of ours, made by a newer version, or
            tensors that do not fit the settings.
    """
    if not path.is_file():
        raise InputError(f"no file {path}", "a model file", "check the path")
    try:
        with safe_open(path, framework="pt") as file:
            text = (file.metadata() or {}).get("biounet")
            weights = {name: file.get_tensor(name).float() for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise InputError(
            f"{path}, which is damaged or no safetensors file ({error})",
            "a model file",
            "copy or train it again",
        ) from None
    if text is None:
        raise InputError(f"{path} without biounet's settings", "a biounet model", "check the path")
    try:
        header = json.loads(text)
        version = int(header["format_version"])
        if version > FORMAT_VERSION:
            raise InputError(
                f"{path} of format {version}", f"format {FORMAT_VERSION} or older", "update biounet"
            )
        model = ModelFile(
            settings=validated_settings(header["settings"]),
            weights=weights,
            class_names=tuple(header["class_names"]),
            intensity=Intensity(
                tuple(header["intensity"]["offset"]), tuple(header["intensity"]["scale"])
            ),
            provenance=header["provenance"],
        )
    except (json.JSONDecodeError, KeyError, TypeError) as error:
        raise InputError(
            f"{path} with a damaged header ({error})", "a model file", "copy or train it again"
        ) from None
    _check_tensors(path, weights, model.settings)
    return model


def with_objects(model: ModelFile, said: dict[str, Any]) -> ModelFile:
    """A model that makes labels in another way: `said` are names and values of `ObjectSettings`.

    Raises:
        InputError: a wrong name or value, or single objects of a model of several classes.
    """
    settings = validated_settings(merged(model.settings.model_dump(), {"objects": said}))
    before, after = model.settings.objects.method, settings.objects.method
    n_classes = settings.network.classes
    if before == "classes" and after != "classes" and n_classes > 2:
        raise InputError(
            f"objects.method = {after!r} for a model of {n_classes} classes",
            "'classes', since single objects are of background and one class",
            "leave the method as it is",
        )
    return replace(model, settings=settings)


def at_scale(model: ModelFile, scale: Sequence[float]) -> ModelFile:
    """A model whose settings of labels fit images that its network sees `scale` times larger.

    `scale` has a factor for each spatial axis.
    """
    volume = prod(scale)
    before = model.settings.objects
    if volume == 1:
        return model
    grow_px = round(before.grow_px / volume ** (1 / len(scale)))
    smallest = round(before.minimum_size_px / volume)
    return with_objects(
        model,
        {"grow_px": max(grow_px, min(1, before.grow_px)), "minimum_size_px": smallest},
    )


def _check_tensors(path: Path, weights: dict[str, Tensor], settings: Settings) -> None:
    with torch.device("meta"):
        expected = build_network(settings.network).state_dict()
    wrong = sorted(
        name
        for name in expected.keys() | weights.keys()
        if name not in expected
        or name not in weights
        or expected[name].shape != weights[name].shape
    )
    if wrong:
        raise InputError(
            f"{path}, whose tensors do not fit its settings ({wrong[0]} and {len(wrong) - 1} more)",
            "the tensors of the network that its settings describe",
            "copy or train it again",
        )


def network_of(model: ModelFile) -> nn.Module:
    """The trained network of a model file, in evaluation mode, on the very weights of the file."""
    with torch.device("meta"):
        network = build_network(model.settings.network)
    if list(network.buffers()):  # computed from the settings, so they need their numbers
        network = build_network(model.settings.network)
    network.load_state_dict(model.weights, assign=True)
    return network.eval()
