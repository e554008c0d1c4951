"""What bfloat16 changes on real images, with a network that was trained."""

from pathlib import Path
from typing import Any

import numpy as np

from biounet.images.reading import read_image
from biounet.model import read_model
from biounet.prediction.engines.agreement import agreement
from biounet.prediction.engines.choice import LABELS_CHANGED
from biounet.prediction.planes import iterate_planes
from biounet.prediction.predictor import make_predictor, predict_plane


def changed_labels(model_path: Path, images: Path) -> dict[str, Any]:
    """The engine that `auto` takes, in bfloat16 against PyTorch in float32, on whole images.

    Args:
        model_path: a model file or a run folder.
        images: an image, a stack, or a folder of them.
    """
    folder = model_path.is_dir()
    model = read_model(model_path / "best.safetensors" if folder else model_path)
    network = model.settings.network
    exact = make_predictor(model, "cpu", "float32", None, "none", "torch")
    rounded = make_predictor(model, "cpu", "bfloat16", None, "none", "auto")
    found, sizes = [], []
    for path in sorted(images.iterdir()) if images.is_dir() else [images]:
        for _, plane in iterate_planes(read_image(path), network.dimensions, network.channels):
            ours, reference = (predict_plane(p, plane)[None] for p in (rounded, exact))
            found.append(agreement(ours, reference))
            sizes.append(reference[0, 0].size)
    changed = float(np.average([one.changed for one in found], weights=sizes))
    return {
        "what": f"{network.kind} of width {network.width}, {len(found)} images",
        "engine": rounded.engine_name,
        "n_px": int(sum(sizes)),
        "changed": round(changed, 6),
        "most_in_one_image": round(max(one.changed for one in found), 6),
        "largest": round(max(one.largest for one in found), 4),
        "auto": "bfloat16" if changed <= LABELS_CHANGED else "float32",
    }
