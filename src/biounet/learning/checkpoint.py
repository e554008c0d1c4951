"""The checkpoint: everything that training needs to go on, in one safetensors file.

Samples and drop-out are decided by the step number, so weights, optimiser state, averages and the
step are all there is; no random state is stored.
"""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from biounet.errors import InputError
from biounet.learning.step import Learner
from biounet.model import write_tensors


@dataclass(frozen=True)
class Position:
    """Where a run stands.

    Attributes:
        step: steps done.
        used_s: seconds of the budget used, over all sittings.
        n_validations: validations done.
        best_score: the best validation score so far; None before the first.
        finished: whether the run has come to its end.
    """

    step: int = 0
    used_s: float = 0.0
    n_validations: int = 0
    best_score: float | None = None
    finished: bool = False


def write_checkpoint(learner: Learner, position: Position, path: Path) -> None:
    """Write the state of a run; the file is either whole or the one before."""
    tensors = {f"weight.{k}": v for k, v in learner.network.state_dict().items()}
    if learner.affinities is not None:
        tensors |= {f"affinities.{k}": v for k, v in learner.affinities.state_dict().items()}
    for number, state in learner.optimiser.state_dict()["state"].items():
        for name, value in state.items():
            if isinstance(value, Tensor):
                tensors[f"optimiser.{number}.{name}"] = value
    for number, average in enumerate(learner.average or []):
        tensors[f"average.{number}"] = average
    metadata = {
        "position": json.dumps(asdict(position)),
        "scaler": json.dumps(learner.scaler.state_dict()),
    }
    write_tensors({k: v.cpu().contiguous() for k, v in tensors.items()}, metadata, path)


def read_position(path: Path) -> Position:
    """Where the run of a checkpoint stands; the start where there is no checkpoint."""
    if not path.exists():
        return Position()
    with _opened(path) as file:
        return Position(**json.loads(file.metadata()["position"]))


@dataclass(frozen=True)
class Checkpoint:
    """What a checkpoint file holds.

    Attributes:
        position: where the run stands.
        tensors: weights, optimiser state and averages, by name.
        scaler: the state of the gradients' scaler.
    """

    position: Position
    tensors: dict[str, Tensor]
    scaler: dict[str, Any]


def read_checkpoint(path: Path) -> Checkpoint:
    """Read a checkpoint file."""
    with _opened(path) as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        metadata = file.metadata()
    return Checkpoint(
        Position(**json.loads(metadata["position"])), tensors, json.loads(metadata["scaler"])
    )


def restore(learner: Learner, checkpoint: Checkpoint) -> None:
    """Put a learner back to where its run stood."""
    tensors = checkpoint.tensors
    learner.network.load_state_dict(_under("weight.", tensors))
    if learner.affinities is not None:
        learner.affinities.load_state_dict(_under("affinities.", tensors))
    optimiser = learner.optimiser.state_dict()
    states: dict[int, dict[str, Tensor]] = {}
    for name, value in _under("optimiser.", tensors).items():
        parameter, _, key = name.partition(".")
        states.setdefault(int(parameter), {})[key] = value
    parameters = [p for group in learner.optimiser.param_groups for p in group["params"]]
    for parameter_number, state in states.items():
        for key, value in state.items():
            if value.ndim:  # in the parameter's memory layout, which fused optimisers rely on
                like = torch.empty_like(parameters[parameter_number], dtype=value.dtype)
                state[key] = like.copy_(value)
    learner.optimiser.load_state_dict({**optimiser, "state": states})
    if learner.average is not None:
        for number, value in enumerate(learner.average):
            value.copy_(tensors[f"average.{number}"])
    if learner.scaler.is_enabled():
        learner.scaler.load_state_dict(checkpoint.scaler)


def _under(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}


def _opened(path: Path) -> safe_open:
    try:
        return safe_open(path, framework="pt")
    except (SafetensorError, OSError) as error:
        raise InputError(
            f"{path}, which is damaged ({error})", "a checkpoint", "start the run anew"
        ) from None
