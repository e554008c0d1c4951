"""Engines of other makers, for the CPU: OpenVINO and ONNX Runtime (`pip install biounet[cpu]`)."""

import sys
import threading
from functools import cache, lru_cache
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from biounet.prediction.engines import Engine

if TYPE_CHECKING:
    import openvino

N_SHAPES_KEPT = 4
"""Tile shapes whose compiled network is kept: each holds a copy of the weights."""

OPENVINO_PRECISIONS = {"float32": "f32", "bfloat16": "bf16", "float16": "f16"}


_one_at_a_time = threading.Lock()
"""Two first calls at once would make two cores."""


class NotExpressibleError(ValueError):
    """The network calls an operation without a counterpart, or one that fixes the tile's size."""


@cache
def _openvino_core() -> "openvino.Core":
    """What compiles networks: one for the process, kept to its end.

    With its first network a core gives the thread at work a stack for signals, and with its end
    it frees that stack, even where the thread still points to it: if the end comes in another
    thread, or before that of a later core. Ctrl-C would then be a segmentation fault.
    (OpenVINO, `SigAltStackSetup` in `src/plugins/intel_cpu/src/plugin.cpp`.)
    """
    # OpenVINO tells its makers of each import over the network, where this package is found.
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
    import openvino

    return openvino.Core()


def openvino_engine(graph: bytes, precision: str, n_threads: int) -> Engine:
    """OpenVINO, compiled for each tile shape when it first comes.

    Args:
        graph: from `onnx_graph`, serialised.
        precision: of the computation; one that the processor lacks is replaced by OpenVINO.
        n_threads: threads to use.

    Raises:
        ImportError: OpenVINO is not installed.
        RuntimeError: it does not take the graph.
    """
    with _one_at_a_time:
        core = _openvino_core()
    source = core.read_model(graph)
    options = {
        "INFERENCE_PRECISION_HINT": OPENVINO_PRECISIONS[precision],
        "INFERENCE_NUM_THREADS": n_threads,
        "PERFORMANCE_HINT": "LATENCY",
        "ENABLE_CPU_PINNING": False,  # several workers would be pinned to the same cores
    }
    lock = threading.Lock()  # a compiled network serves one caller at a time

    @lru_cache(N_SHAPES_KEPT)
    def compiled(shape: tuple[int, ...]) -> "openvino.CompiledModel":
        network = source.clone()
        network.reshape(list(shape))
        return core.compile_model(network, "CPU", options)

    def engine(tiles: NDArray[np.float32]) -> NDArray[np.float32]:
        with lock:
            return np.asarray(compiled(tiles.shape)(tiles)[0], np.float32)

    return engine


def onnx_engine(graph: bytes, n_threads: int) -> Engine:
    """ONNX Runtime, float32.

    Args:
        graph: from `onnx_graph`, serialised.
        n_threads: threads to use.

    Raises:
        ImportError: ONNX Runtime is not installed.
        RuntimeError: it does not take the graph.
    """
    import onnxruntime

    onnxruntime.disable_telemetry_events()  # of its builds for Windows
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = n_threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3  # errors; they are raised as well
    # Threads that wait for work sleep: spinning, they would take the cores of other workers.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    session = onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
    (name,) = (node.name for node in session.get_inputs())

    def engine(tiles: NDArray[np.float32]) -> NDArray[np.float32]:
        return np.asarray(session.run(None, {name: tiles})[0], np.float32)

    return engine
