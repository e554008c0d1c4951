"""A model for the tools of bioimage.io (ilastik, deepImageJ, napari): one zip, format 0.5.

Specification: https://bioimage-io.github.io/spec-bioimage-io.

How the tools learn to tile. Their tilings know a border that is cut off each output tile (`halo`),
and want tiles as large as what goes in; an output that is smaller by itself can be described, but
not tiled. So here the valid output lies in a frame of zeros of the network's margin, which the
halo cuts off again. The halo is a little wider than the margin where that makes tiles advance by a
multiple of the network's step: only then do pixels not depend on the tile that they were computed
in. (The paper's network: tiles of 204 + 16 n px, of which 20 + 16 n are valid, and 16 + 16 n are
kept. With a halo of exactly the margin, 3 % of the labels of an ISBI 2012 slice change and seams
show; with this one, none.)
"""

import hashlib
import io
import json
import re
import zipfile
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import yaml
from numpy.typing import NDArray
from PIL import Image

from biounet.errors import InputError
from biounet.export.credits import Credits
from biounet.export.onnx import checked_graph
from biounet.export.words import documentation
from biounet.geometry import Footprint, Shape
from biounet.images.atomic import written_whole
from biounet.model import ModelFile, network_of
from biounet.network_settings import EnsembleSettings
from biounet.prediction.engines import torch_engine
from biounet.prediction.overlap_tile import normalise
from biounet.prediction.predictor import plane_intensity
from biounet.simulate import simulate_cells

if TYPE_CHECKING:
    import onnx

FORMAT_VERSION = "0.5.4"
"""Of the specification; tools that know a later 0.5 read it as well."""

UNET = {
    "text": "Ronneberger, Fischer, Brox 2015: U-Net",
    "doi": "10.1007/978-3-319-24574-4_28",
}
CITE = {
    "unet": [UNET],
    "fcn": [
        UNET,
        {"text": "Long, Shelhamer, Darrell 2015: FCN", "doi": "10.1109/CVPR.2015.7298965"},
    ],
    "sliding-window": [
        UNET,
        {
            "text": "Ciresan, Giusti, Gambardella, Schmidhuber 2012: Deep neural networks segment"
            " neuronal membranes in electron microscopy images",
            "url": "https://papers.nips.cc/paper/4741",
        },
    ],
}
"""The papers of each network."""

TEST_OUTPUT_PX = {2: 128, 3: 16}
"""The side of the test tensor's valid output, at least."""
COVER_PX = 256

EPOCH = (1980, 1, 1, 0, 0, 0)
"""The time stamp of every file of the zip: the same model gives the same bytes."""


def export_bioimageio(model: ModelFile, path: Path, credits: Credits | None = None) -> Path:  # noqa: A002
    """Write a model as a zip for the tools of bioimage.io, with test tensors and a cover.

    Raises:
        InputError: as `export_onnx`; or grey values that are normalised in a way that the
            specification has no words for.
    """
    credits = credits or Credits()  # noqa: A001
    network = model.settings.network
    preprocessing = _preprocessing(model)
    graph = framed(checked_graph(model), network.footprint.margin)
    grey, probabilities = example_tensors(model)
    files = {
        "weights.onnx": graph.SerializeToString(),
        "test_input.npy": _npy(grey),
        "test_output.npy": _npy(probabilities),
        "cover.png": _cover(grey[0], probabilities[0], network.footprint.margin),
        "README.md": documentation(model, credits).encode(),
    }
    description = _description(model, credits, files, preprocessing)
    files["bioimageio.yaml"] = yaml.safe_dump(description, sort_keys=False).encode()
    with written_whole(path) as temporary, zipfile.ZipFile(temporary, "w") as archive:
        for name, data in files.items():
            info = zipfile.ZipInfo(name, EPOCH)
            info.external_attr = 0o644 << 16
            archive.writestr(info, data, zipfile.ZIP_DEFLATED, compresslevel=1)
    return path


def halo(footprint: Footprint) -> Shape:
    """What the tools cut off each side of a tile: the margin, wider to stay on the grid.

    A tile of `smallest + n * step` px, less twice this, is a multiple of `step` along each axis
    wherever what the margin leaves is even.
    """
    widths = []
    for size, margin, step in zip(
        footprint.smallest_tile, footprint.margin, footprint.step, strict=True
    ):
        beyond = (size - 2 * margin) % step
        widths.append(margin + (beyond // 2 if beyond % 2 == 0 else 0))
    return tuple(widths)


def framed(graph: "onnx.ModelProto", margin: Shape) -> "onnx.ModelProto":
    """The graph with its output in a frame of zeros, as large as its input; in place."""
    from onnx import helper, numpy_helper

    last, output = graph.graph.node[-1], graph.graph.output[0]
    last.output[0] = "valid"
    pads = np.array([0, 0, *margin] * 2, np.int64)
    graph.graph.initializer.append(numpy_helper.from_array(pads, "frame"))
    graph.graph.node.append(helper.make_node("Pad", ["valid", "frame"], [output.name]))
    sizes = graph.graph.input[0].type.tensor_type.shape.dim
    for inner, outer in zip(output.type.tensor_type.shape.dim[2:], sizes[2:], strict=True):
        inner.dim_param = outer.dim_param
    return graph


def example_tensors(model: ModelFile) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Simulated grey values (1, C, …), and what PyTorch makes of them, framed (1, K, …)."""
    network = model.settings.network
    footprint = network.footprint
    shape = footprint.input_for(
        [max(TEST_OUTPUT_PX[network.dimensions], step) for step in footprint.step]
    )
    grey = np.stack(
        [
            simulate_cells("touching-cells", shape, np.random.default_rng(channel))[0]
            for channel in range(network.channels)
        ]
    ).astype(np.float32)
    if model.settings.intensity.source == "training-set":  # as bright as those images
        axes = tuple(range(1, grey.ndim))
        grey = (grey - grey.mean(axes, keepdims=True)) / grey.std(axes, keepdims=True)
        per_channel = (-1,) + (1,) * len(shape)
        grey = grey * np.reshape(model.intensity.scale, per_channel)
        grey = (grey + np.reshape(model.intensity.offset, per_channel)).astype(np.float32)
    engine = torch_engine(network_of(model), torch.device("cpu"), "float32")
    valid = engine(normalise(grey, plane_intensity(model, grey))[None])
    frame = [(0, 0), (0, 0), *((m, m) for m in footprint.margin)]
    return grey[None], np.pad(valid, frame)


def _preprocessing(model: ModelFile) -> list[dict[str, Any]]:
    """How grey values become the network's input, in the specification's words."""
    intensity = model.settings.intensity
    spatial = list("zyx"[-model.settings.network.dimensions :])
    if intensity.source == "training-set":
        step: dict[str, Any] = {
            "id": "fixed_zero_mean_unit_variance",
            "kwargs": {
                "axis": "channel",
                "mean": list(model.intensity.offset),
                "std": list(model.intensity.scale),
            },
        }
    elif intensity.method == "mean-std":
        step = {"id": "zero_mean_unit_variance", "kwargs": {"axes": spatial, "eps": 1e-6}}
    else:
        raise InputError(
            "a model that takes grey values by each image's percentiles",
            "mean and standard deviation or the training set's statistics, which bioimage.io has",
            "train with intensity.method=mean-std or intensity.source=training-set; or export ONNX",
        )
    return [{"id": "ensure_dtype", "kwargs": {"dtype": "float32"}}, step]


def _description(
    model: ModelFile,
    credits: Credits,  # noqa: A002
    files: dict[str, bytes],
    preprocessing: Sequence[dict[str, Any]],
) -> dict[str, Any]:
    """The model's `bioimageio.yaml`."""
    network = model.settings.network
    kind = (network.member if isinstance(network, EnsembleSettings) else network).kind
    footprint = network.footprint
    spatial = "zyx"[-network.dimensions :]

    def file(name: str) -> dict[str, Any]:
        return {"source": name, "sha256": hashlib.sha256(files[name]).hexdigest()}

    def channels(names: Sequence[str]) -> dict[str, Any]:
        return {"type": "channel", "channel_names": identifiers(names)}

    input_axes = [
        {"type": "space", "id": axis, "size": {"min": size, "step": step}, "concatenable": True}
        for axis, size, step in zip(spatial, footprint.smallest_tile, footprint.step, strict=True)
    ]
    output_axes = [
        {
            "type": "space",
            "id": axis,
            "size": {"tensor_id": "image", "axis_id": axis},
            **({"halo": width} if width else {}),
        }
        for axis, width in zip(spatial, halo(footprint), strict=True)
    ]
    names = [f"channel {number}" for number in range(network.channels)]
    return {
        "type": "model",
        "format_version": FORMAT_VERSION,
        "name": re.sub(r"[^A-Za-z0-9_+\- ()]", "", credits.name).ljust(5, "_")[:64],
        "description": f"Segments images into {', '.join(model.class_names)}",
        "authors": [{"name": author} for author in credits.authors],
        "license": credits.licence,
        "cite": [*(citation.described() for citation in credits.cite), *CITE[kind]],
        "tags": [kind, "semantic-segmentation", f"{network.dimensions}d", "biounet"],
        "documentation": "README.md",
        "covers": ["cover.png"],
        "inputs": [
            {
                "id": "image",
                "description": "Grey values as they come from the microscope",
                "axes": [{"type": "batch"}, channels(names), *input_axes],
                "data": {"type": "float32"},
                "preprocessing": list(preprocessing),
                "test_tensor": file("test_input.npy"),
            }
        ],
        "outputs": [
            {
                "id": "probabilities",
                "description": "The probability of each class; 0 in the halo",
                "axes": [{"type": "batch"}, channels(model.class_names), *output_axes],
                "data": {"type": "float32", "range": [0.0, 1.0]},
                "postprocessing": [{"id": "ensure_dtype", "kwargs": {"dtype": "float32"}}],
                "test_tensor": file("test_output.npy"),
            }
        ],
        "weights": {"onnx": {**file("weights.onnx"), "opset_version": _opset(files)}},
        "config": {
            "biounet": {
                "footprint": {key: list(value) for key, value in asdict(footprint).items()},
                "settings": model.settings.model_dump(mode="json"),
                "provenance": json.loads(json.dumps(model.provenance)),
            }
        },
    }


def _opset(files: dict[str, bytes]) -> int:
    import onnx

    return int(onnx.load_from_string(files["weights.onnx"]).opset_import[0].version)


def identifiers(names: Sequence[str]) -> list[str]:
    """Names as identifiers, which the specification wants, no two alike."""
    result: list[str] = []
    for name in names:
        word = re.sub(r"\W", "_", name)
        word = word if word.isidentifier() else f"_{word}"
        result.append(word if word not in result else f"{word}_{len(result)}")
    return result


def _npy(array: NDArray[np.float32]) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array)
    return buffer.getvalue()


def _cover(grey: NDArray[np.float32], probabilities: NDArray[np.float32], margin: Shape) -> bytes:
    """The valid part of the test image and the probability of foreground, side by side; PNG."""
    kept = tuple(slice(m, -m or None) for m in margin)
    panels = []
    for picture in (grey[0][kept], 1 - probabilities[0][kept]):
        plane = picture if picture.ndim == 2 else picture[len(picture) // 2]
        low, high = np.percentile(plane, (0.5, 99.5))
        shade = np.clip((plane - low) / max(high - low, 1e-6), 0, 1) * 255
        panel = Image.fromarray(shade.astype(np.uint8)).resize((COVER_PX, COVER_PX))
        panels.append(np.asarray(panel))
    buffer = io.BytesIO()
    Image.fromarray(np.hstack(panels)).save(buffer, "png")
    return buffer.getvalue()
