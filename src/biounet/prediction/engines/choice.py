"""Which engine computes, and in which precision.

No engine is used before it gave PyTorch's numbers for the model at hand (`agreement.py`); which
of those is the fastest is measured once a machine (`timing.py`).
"""

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, cached_property
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from biounet.errors import InputError
from biounet.model import ModelFile, network_of
from biounet.networks import fold
from biounet.prediction.engines import (
    PRECISIONS,
    Engine,
    choose_precision,
    parts,
    take_parts,
    torch_engine,
    usable_cores,
)
from biounet.prediction.engines.agreement import Agreement, agreement, is_equal, small_probe
from biounet.prediction.engines.rounding import compare_rounding, recorded_rounding
from biounet.prediction.engines.runtimes import NotExpressibleError, onnx_engine, openvino_engine
from biounet.prediction.engines.timing import measure, recall, remember, timing_key

PACKAGES = {"torch": (), "openvino": ("openvino", "onnx"), "onnx": ("onnxruntime", "onnx")}
"""The engines, and what they need besides PyTorch."""

LABELS_CHANGED = 1e-3
"""The share of labels that `auto` lets a lower precision change."""

NO_LOSS = Agreement(0.0, 0.0)


@dataclass(frozen=True)
class Choice:
    """An engine that is ready, and what it is: neither name is `auto`."""

    engine: Engine
    name: str
    precision: str


@dataclass(frozen=True)
class Judge:
    """What the other engines for the CPU are held against.

    Attributes:
        model: the model.
        pytorch: PyTorch, ready, which needs no judging.
        precision: of all engines.
        n_threads: of each.
        probe: the tile on which engines are compared, and timed.
        reference: PyTorch's probabilities for it, in float32.
        lost: how far PyTorch itself is from them at this precision.
    """

    model: ModelFile
    pytorch: Engine
    precision: str
    n_threads: int
    probe: NDArray[np.float32]
    reference: NDArray[np.float32]
    lost: Agreement

    @cached_property
    def graph(self) -> bytes:
        """The network as the other engines take it; in bfloat16 it takes tiles in parts."""
        from biounet.prediction.engines.onnx_graph import onnx_graph

        network, settings = network_of(self.model), self.model.settings.network
        if self.precision == "bfloat16":
            network = take_parts(fold(network))
        graph: bytes = onnx_graph(network, settings).SerializeToString()
        return graph


def choose_engine(
    model: ModelFile,
    device: torch.device,
    engine: str,
    precision: str,
    timings: Path,
    sample: NDArray[np.float32] | None = None,
) -> Choice:
    """The engine and the precision for a model, from what was asked.

    Args:
        model: the model.
        device: where PyTorch computes; the other engines are for the CPU.
        engine: `auto` (the fastest of those installed), `torch`, `openvino` or `onnx`. One that
            is missing, fails, or gives other numbers is replaced by PyTorch, with a warning.
        precision: `auto` (bfloat16 where the device computes it natively and it changes no more
            than 0.1 % of the labels of real images; else float32), `float32`, `bfloat16` or
            `float16`. The images are those that the model was validated on; those to come, if its
            file does not tell.
        timings: the file in which timings are remembered.
        sample: a tile (1, C, …) of the images to come, normalised; without it, a model that does
            not tell what it loses computes in float32.

    Raises:
        InputError: an engine or precision that does not exist, or not on this device.
    """
    _refuse(device, engine, precision)
    if engine == "onnx":
        precision = "float32"

    @cache
    def pytorch(at: str) -> Engine:
        return torch_engine(network_of(model), device, at)

    chosen = _settle(model, pytorch, device, precision, sample)
    if engine == "torch" or device.type != "cpu":
        return Choice(pytorch(chosen), "torch", chosen)
    probe = small_probe(model.settings.network)
    reference = pytorch("float32")(probe)
    lost = NO_LOSS
    if chosen != "float32":
        lost = agreement(pytorch(chosen)(probe), reference)
    judge = Judge(model, pytorch(chosen), chosen, usable_threads(), probe, reference, lost)
    if engine == "auto":
        return _fastest(judge, timings)
    try:
        return Choice(_checked(engine, judge), engine, chosen)
    except EngineError as error:
        warnings.warn(f"{error}; PyTorch computes instead", stacklevel=2)
    return Choice(judge.pytorch, "torch", chosen)


class EngineError(RuntimeError):
    """An engine that cannot be used for a model; says which and why."""


def _settle(
    model: ModelFile,
    pytorch: Callable[[str], Engine],
    device: torch.device,
    precision: str,
    sample: NDArray[np.float32] | None,
) -> str:
    """The precision of a name; `auto` goes by what PyTorch loses at the lower one."""
    chosen = choose_precision(precision, device)
    if precision != "auto" or chosen == "float32":
        return chosen
    known = recorded_rounding(model, chosen)
    if known is None and sample is not None:
        known = compare_rounding(pytorch("float32"), pytorch(chosen), [sample])
    return "float32" if known is None or known.changed > LABELS_CHANGED else chosen


def _fastest(judge: Judge, timings: Path) -> Choice:
    """The fastest engine of those that are installed and give the right numbers."""
    names = _installed(judge.precision)
    settings = judge.model.settings.network
    key = timing_key(settings, judge.probe.shape[2:], judge.n_threads, judge.precision, names)
    seconds = recall(timings, key) if len(names) > 1 else {"torch": 0.0}
    ready: dict[str, Engine] = {}
    if seconds is None:
        for name in names:
            try:
                ready[name] = _checked(name, judge)
            except EngineError as error:
                if not isinstance(error.__cause__, NotExpressibleError):  # that is no fault
                    warnings.warn(str(error), stacklevel=3)
        seconds = measure(ready, judge.probe)
        if len(ready) == len(names):
            remember(timings, key, seconds)
    for name in sorted(seconds, key=seconds.__getitem__):
        try:
            return Choice(ready.get(name) or _checked(name, judge), name, judge.precision)
        except EngineError as error:
            warnings.warn(str(error), stacklevel=3)
    raise AssertionError("PyTorch is always among the engines")


def _installed(precision: str) -> tuple[str, ...]:
    """The engines that can be candidates; ONNX Runtime computes in float32 only."""
    return tuple(
        name
        for name, packages in PACKAGES.items()
        if all(map(find_spec, packages)) and (name != "onnx" or precision == "float32")
    )


def _checked(name: str, judge: Judge) -> Engine:
    """An engine that gave the right numbers on the probe.

    Raises:
        EngineError: it is not installed, does not take the network, or gives other numbers.
    """
    if name == "torch":
        return judge.pytorch
    try:
        engine = _build(name, judge)
        found = agreement(engine(judge.probe), judge.reference)
    except Exception as error:  # whatever the runtimes of other makers raise
        if isinstance(error.__cause__, KeyboardInterrupt):  # Ctrl-C during their import
            raise error.__cause__ from None
        raise EngineError(f"{name} cannot be used: {' '.join(str(error).split())}") from error
    if not is_equal(found, judge.lost):
        raise EngineError(f"{name} cannot be used: its numbers are not PyTorch's ({found})")
    return engine


def _build(name: str, judge: Judge) -> Engine:
    if missing := [package for package in PACKAGES[name] if find_spec(package) is None]:
        raise EngineError(f"{missing[0]} is not installed (pip install 'biounet[cpu]')")
    if name == "onnx":
        return onnx_engine(judge.graph, judge.n_threads)
    engine = openvino_engine(judge.graph, judge.precision, judge.n_threads)
    return (lambda tiles: engine(parts(tiles))) if judge.precision == "bfloat16" else engine


def usable_threads() -> int:
    """PyTorch's number of threads, but no more than the cores that this process may use."""
    return min(torch.get_num_threads(), usable_cores())


def _refuse(device: torch.device, engine: str, precision: str) -> None:
    engines, precisions = ("auto", *PACKAGES), ("auto", *PRECISIONS)
    if engine not in engines:
        raise InputError(f"engine {engine!r}", ", ".join(engines), "choose one")
    if precision not in precisions:
        raise InputError(f"precision {precision!r}", ", ".join(precisions), "choose one")
    if PACKAGES.get(engine) and device.type != "cpu":
        raise InputError(
            f"engine {engine} on device {device.type}", "the CPU for it", "add --device cpu"
        )
    if engine == "onnx" and precision not in ("auto", "float32"):
        raise InputError(f"engine onnx in {precision}", "float32", "leave the precision out")
