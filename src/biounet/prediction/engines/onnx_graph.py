"""A network as an ONNX graph that takes tiles of every legal size.

The network runs once on a small tile, and each operation that it calls becomes a node. PyTorch's
own exporter either writes the size of its example into the graph, or surrounds every crop with
arithmetic of shapes, and takes 5 to 40 s; this takes a fraction of a second, so that an engine can
be built whenever a model is loaded. What makes it safe is that no graph is used before it gave the
numbers that PyTorch gives (`agreement.py`).
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from onnx import TensorProto, helper
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from biounet.network_settings import NetworkSettings
from biounet.networks import fold
from biounet.networks.convolution import Convolution
from biounet.prediction.engines.runtimes import NotExpressibleError

OPSET = 17
"""Of 2022, so that runtimes of some years' age still understand it."""
IR_VERSION = 8
"""The file format that came with it."""

INPUT, OUTPUT = "image", "probabilities"
TO_THE_END = np.iinfo(np.int64).max

ELEMENTWISE = {
    "relu": "Relu",
    "tanh": "Tanh",
    "log": "Log",
    "add": "Add",
    "sub": "Sub",
    "mul": "Mul",
    "maximum": "Max",
}
"""PyTorch's functions and methods, and the nodes that do the same."""


def onnx_graph(network: nn.Module, settings: NetworkSettings) -> onnx.ModelProto:
    """The graph of a network and the softmax after it, standardised filters folded.

    Args:
        network: from `build_network(settings)`; folded in place.
        settings: its settings; it may take more channels (`take_parts`).

    Returns:
        A graph from `image` (N, C, …) float32 to `probabilities` (N, K, …) float32; N and the
        spatial sizes are free.

    Raises:
        NotExpressibleError: the network cannot be written as such a graph.
    """
    folded = fold(network).eval().cpu()
    first = next(layer for layer in folded.modules() if isinstance(layer, Convolution))
    n_channels = first.weight.shape[1]
    # More than one pixel of output: some networks take a single one for a special case.
    tile = settings.footprint.input_for([step + 1 for step in settings.footprint.step])
    opsets = [helper.make_opsetid("", OPSET)]
    graph = helper.make_graph([], type(network).__name__, [], [])
    model = helper.make_model(
        graph, opset_imports=opsets, ir_version=IR_VERSION, producer_name="biounet"
    )
    recorder = Recorder(dict(folded.named_parameters()), model.graph)
    image = torch.zeros((0, n_channels, *tile))  # no image: shapes are all it is about
    recorder.name(image, INPUT)
    with torch.inference_mode(), recorder:
        probabilities = folded(image).softmax(1)
    model.graph.node[-1].output[0] = OUTPUT
    axes = "zyx"[-settings.dimensions :]
    model.graph.input.append(_value(INPUT, n_channels, list(axes)))
    outputs = [f"{axis}_out" for axis in axes]
    model.graph.output.append(_value(OUTPUT, int(probabilities.shape[1]), outputs))
    return model


def _value(name: str, n_channels: int, axes: list[str]) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", n_channels, *axes])


class Recorder(TorchFunctionMode):
    """Turns PyTorch's functions, as they are called, into nodes of a graph."""

    def __init__(self, parameters: dict[str, nn.Parameter], graph: onnx.GraphProto) -> None:
        super().__init__()
        self.graph = graph
        self._parameters = {id(p): name for name, p in parameters.items()}
        self._names: dict[int, str] = {}
        self._kept: list[Tensor] = []  # an id is a name only while its tensor lives

    def name(self, tensor: Tensor, name: str) -> str:
        """Remember what a tensor is called in the graph."""
        self._names[id(tensor)] = name
        self._kept.append(tensor)
        return name

    def known(self, value: Tensor | float) -> str:
        """The name of a tensor, a parameter or a number in the graph."""
        if not isinstance(value, Tensor):
            return self._initializer(np.array(value, np.float32))
        if id(value) in self._names:
            return self._names[id(value)]
        if id(value) not in self._parameters:
            raise NotExpressibleError("a tensor that is neither computed nor a parameter")
        name = self._parameters[id(value)]
        self._initializer(value.detach().contiguous().numpy(), name)
        return self.name(value, name)

    def _initializer(self, value: NDArray[Any], name: str | None = None) -> str:
        """Written where it stays: protobuf copies what it is given, and weights are large."""
        name = name or f"constant_{len(self.graph.initializer)}"
        tensor = self.graph.initializer.add()
        tensor.name = name
        tensor.data_type = helper.np_dtype_to_tensor_dtype(value.dtype)
        tensor.dims.extend(value.shape)
        tensor.raw_data = value.tobytes()
        return name

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        """Let the function run, and record it."""
        result: Any = func(*args, **(kwargs or {}))
        is_plain = not isinstance(result, Tensor | tuple | list)
        if is_plain:
            return result  # a size or the like
        name = getattr(func, "__name__", str(func))
        kwargs = {k: v for k, v in (kwargs or {}).items() if v is not False and k != "inplace"}
        match name:
            case "conv2d" | "conv3d":
                self._convolution("Conv", result, *args, **kwargs)
            case "conv_transpose2d" | "conv_transpose3d":
                self._convolution("ConvTranspose", result, *args, **kwargs)
            case "max_pool2d" | "max_pool3d":
                self._max_pool(result, *args, **kwargs)
            case "narrow":
                self._crop(result, *args)
            case "cat":
                self._node("Concat", args[0], result, axis=kwargs["dim"])
            case "softmax":
                self._node("Softmax", [args[0]], result, axis=args[1])
            case "dropout":  # nothing, when not training
                self.name(result, self.known(args[0]))
            case _ if name in ELEMENTWISE and not kwargs:
                self._node(ELEMENTWISE[name], args, result)
            case _ if name == "__get__" and not isinstance(result, Tensor):  # a tensor's shape
                pass
            case _:
                raise NotExpressibleError(f"{name} has no counterpart that takes every tile size")
        return result

    def _node(
        self, kind: str, inputs: Sequence[Tensor | float], result: Tensor, **attributes: Any
    ) -> None:
        self._named_node(kind, [self.known(value) for value in inputs], result, **attributes)

    def _named_node(self, kind: str, inputs: list[str], result: Tensor, **attributes: Any) -> None:
        output = self.name(result, f"{kind.lower()}_{len(self.graph.node)}")
        self.graph.node.append(helper.make_node(kind, inputs, [output], output, **attributes))

    def _convolution(
        self,
        kind: str,
        result: Tensor,
        maps: Tensor,
        weight: Tensor,
        bias: Tensor | None = None,
        stride: int | tuple[int, ...] = 1,
        padding: int | tuple[int, ...] = 0,
        dilation: int | tuple[int, ...] = 1,
    ) -> None:
        def per_axis(value: int | tuple[int, ...]) -> list[int]:
            return [value] * (maps.ndim - 2) if isinstance(value, int) else list(value)

        self._node(
            kind,
            [maps, weight] if bias is None else [maps, weight, bias],
            result,
            kernel_shape=list(weight.shape[2:]),
            strides=per_axis(stride),
            pads=per_axis(padding) * 2,
            dilations=per_axis(dilation),
        )

    def _max_pool(
        self,
        result: Tensor,
        maps: Tensor,
        kernel_size: tuple[int, ...],
        stride: tuple[int, ...] | None = None,
        padding: int = 0,
        dilation: int = 1,
    ) -> None:
        if padding != 0 or dilation != 1:
            raise NotExpressibleError("max pooling with padding or dilation is not written here")
        factors = list(kernel_size)
        self._node("MaxPool", [maps], result, kernel_shape=factors, strides=list(stride or factors))

    def _crop(self, result: Tensor, maps: Tensor, axis: int, start: int, size: int) -> None:
        """Counted from both ends: what a crop cuts off does not depend on the tile's size."""
        cut_at_end = maps.shape[axis] - start - size
        bounds = (start, -cut_at_end if cut_at_end else TO_THE_END, axis)
        inputs = [self._initializer(np.array([bound], np.int64)) for bound in bounds]
        self._named_node("Slice", [self.known(maps), *inputs], result)
