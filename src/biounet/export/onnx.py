"""The network as an ONNX file: any number of tiles, of any legal size, to probabilities.

What the file says about itself stands in its metadata, as JSON texts:

    classes      names, background first
    footprint    {"margin", "step", "smallest"} in px along each axis: legal sizes of the input are
                 smallest + n * step, the output is smaller by margin on every side
    intensity    what the input is: {"source", "method", "offset", "scale"}; every channel is
                 (value - offset) / scale, with statistics of the whole image, or, for the source
                 "training-set", with those given
    provenance   of the training
"""

import json
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from biounet.errors import InputError
from biounet.images.atomic import written_whole
from biounet.model import ModelFile, network_of
from biounet.prediction.engines import torch_engine
from biounet.prediction.engines.agreement import agreement, is_equal, probe_tile
from biounet.prediction.engines.choice import NO_LOSS, usable_threads
from biounet.prediction.engines.runtimes import NotExpressibleError, onnx_engine

if TYPE_CHECKING:
    import onnx

N_CHECKED = 2
"""Sizes of tile on which the file is compared with PyTorch, each with a batch of its own."""


def export_onnx(model: ModelFile, path: Path) -> Path:
    """Write the network of a model as an ONNX file.

    The sizes of the tile and of the batch are free. The file is written only after ONNX Runtime
    gave PyTorch's numbers for it.

    Raises:
        InputError: ONNX Runtime is missing, the network has no such graph, or no file can be
            written there.
    """
    graph = checked_graph(model)
    data = graph.SerializeToString()
    with written_whole(path) as temporary:
        temporary.write_bytes(data)
    return path


def checked_graph(model: ModelFile) -> "onnx.ModelProto":
    """The graph with its metadata, compared with PyTorch in float32 on tiles of several sizes.

    Raises:
        InputError: as `export_onnx`.
    """
    if missing := [package for package in ("onnx", "onnxruntime") if find_spec(package) is None]:
        raise InputError(f"no {missing[0]}", "it, to export", "pip install 'biounet[cpu]'")
    from biounet.prediction.engines.onnx_graph import onnx_graph

    settings = model.settings.network
    try:
        graph = onnx_graph(network_of(model), settings)
    except NotExpressibleError as error:
        raise InputError(
            f"a network that ONNX cannot hold ({error})",
            "one of plain convolutions and poolings",
            "train a U-Net",
        ) from None
    _describe(graph, model)
    mine = onnx_engine(graph.SerializeToString(), usable_threads())
    reference = torch_engine(network_of(model), torch.device("cpu"), "float32")
    for number in range(1, N_CHECKED + 1):
        shape = settings.footprint.input_for([number * s + 1 for s in settings.footprint.step])
        tiles = probe_tile(number * settings.channels, shape)
        tiles = tiles.reshape(number, settings.channels, *shape)
        found = agreement(mine(tiles), reference(tiles))
        if not is_equal(found, NO_LOSS):
            raise InputError(
                f"other numbers from ONNX Runtime than from PyTorch ({found})",
                "the same",
                "update onnxruntime",
            )
    return graph


def _describe(graph: "onnx.ModelProto", model: ModelFile) -> None:
    settings = model.settings
    footprint = settings.network.footprint
    graph.doc_string = "Tiles of smallest + n * step px to class probabilities; see the metadata."
    texts = {
        "classes": list(model.class_names),
        "footprint": {
            "margin": footprint.margin,
            "step": footprint.step,
            "smallest": footprint.smallest,
        },
        "intensity": {
            **settings.intensity.model_dump(mode="json"),
            "offset": model.intensity.offset,
            "scale": model.intensity.scale,
        },
        "provenance": model.provenance,
    }
    for key, value in texts.items():
        graph.metadata_props.add(key=key, value=json.dumps(value))
