"""Put a trained network into the package, in half precision, with a card whose figures are read.

    python benchmarks/accuracy.py run nuclei --data … --out research --part all --minutes 20
    python benchmarks/ship.py nuclei research/results/nuclei-all-fast-20min-seed0.json \\
        --scores research/results/nuclei-report-fast-20min-seed*.json

The scores are of runs with the same settings on the divided set. Refused are: other settings, a
file of 10 MB or more, and half precision that changes more than one label in a thousand.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from accuracy_pages import DECIDING, Result, grouped, markdown_table
from accuracy_splits import UNKNOWN

from biounet.api import Model
from biounet.errors import InputError
from biounet.images.atomic import written_whole
from biounet.images.dataset import Annotated, read_item
from biounet.images.layouts.find import find_dataset
from biounet.learning.derive import look_at
from biounet.model import ModelFile, read_model, write_model
from biounet.prediction.predictor import make_predictor
from biounet.reproduce.tasks import TASKS
from biounet.shipped import FOLDER, SHIPPED

LARGEST_BYTES = 10_000_000

LEAST_AGREEMENT = 0.999
"""Share of the pixels that half precision must give the same label, object or not."""

N_COMPARED = 3
"""Training images that both precisions are compared on."""


def main() -> None:
    """Read the command line, write the network and its card."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("name", choices=list(SHIPPED))
    parser.add_argument("result", type=Path, help="of the run, as accuracy.py wrote it")
    parser.add_argument("--scores", type=Path, nargs="+", required=True, help="of the same recipe")
    parser.add_argument("--out", type=Path, default=FOLDER, help="folder; the package's own")
    said = parser.parse_args()
    path = ship(said.name, said.result, said.scores, said.out)
    print(f"written: {path} ({path.stat().st_size / 1e6:.1f} MB) and its card")


def ship(name: str, result_path: Path, score_paths: Sequence[Path], out: Path) -> Path:
    """Write `out`/NAME.safetensors and NAME.md.

    Args:
        result_path: `results/RUN.json`, beside `runs/RUN/` and `data/`.

    Raises:
        InputError: see above.
    """
    words = yaml.safe_load((Path(__file__).parent / "networks.yaml").read_text())[name]
    result = json.loads(result_path.read_text())
    scores = [json.loads(path.read_text()) for path in score_paths]
    _check_recipe(words["set"], result, scores)
    research = result_path.parents[1]
    model = read_model(research / "runs" / result["name"] / "run" / "best.safetensors")
    small = halved(model)
    training = research / result["commands"][0].split()[2]
    labels_are = TASKS[words["set"]].labels_are
    dataset = find_dataset([training], labels_are=labels_are, ignore_value=UNKNOWN)
    items = [read_item(item) for item in dataset.items]
    alike = agreement(model, small, items[:N_COMPARED])
    if alike < LEAST_AGREEMENT:
        raise InputError(
            f"labels that agree on {alike:.2%} of the pixels in half precision",
            f"at least {LEAST_AGREEMENT:.1%}",
            "train it again, or keep it in single precision elsewhere",
        )
    object_px = look_at(dataset, items).object_px
    provenance = {
        **model.provenance,
        "object_px": object_px,
        "pixel_size_um": words.get("pixel_size_um"),
        "shipped_as": name,
        "commit": result["commit"],
    }
    path = out / f"{name}.safetensors"
    with written_whole(path) as temporary:
        write_model(replace(small, provenance=provenance), temporary)
        if temporary.stat().st_size >= LARGEST_BYTES:
            raise InputError(
                f"a file of {temporary.stat().st_size / 1e6:.1f} MB",
                f"less than {LARGEST_BYTES / 1e6:g} MB",
                "train a narrower network (width 24 at depth 4), or a shallower one",
            )
    with written_whole(out / f"{name}.md") as temporary:
        text = card(name, words, result, scores, model, alike, object_px)
        temporary.write_text(text, encoding="utf-8")
    return path


def _recipe(result: Result) -> tuple[Any, Any]:
    """What must be alike; a run may go on from another, such as one of those that are scored."""
    return result["changes"], result["options"]["truth"]


def _check_recipe(set_name: str, result: Result, scores: Sequence[Result]) -> None:
    for other in scores:
        if other["part"] != "report" or other["set"] != set_name or result["set"] != set_name:
            raise InputError(
                f"{other['name']} for {result['name']}",
                f"scores of {set_name}, part report",
                "name other results",
            )
        if _recipe(other) != _recipe(result):
            raise InputError(
                f"{other['name']} of other settings than {result['name']}",
                "scores of the same recipe",
                "score the recipe that is shipped",
            )


def halved(model: ModelFile) -> ModelFile:
    """The model with weights of half precision.

    Raises:
        InputError: a weight that is too large for it.
    """
    weights = {name: value.half() for name, value in model.weights.items()}
    if not all(bool(value.isfinite().all()) for value in weights.values()):
        raise InputError("weights beyond 65504", "weights that fit half precision", "train again")
    return replace(model, weights=weights)


def agreement(model: ModelFile, small: ModelFile, items: Sequence[Annotated]) -> float:
    """Share of the pixels that both put into an object, or both do not."""
    single = {name: value.float() for name, value in small.weights.items()}  # as it will be read
    both = [
        Model(file, make_predictor(file, "cpu", "float32", None, "none", "torch"))
        for file in (model, replace(small, weights=single))
    ]
    same = total = 0
    for item in items:
        axes = "C" + "ZYX"[-item.labels.ndim :]
        first, second = (one.segment(item.image, axes=axes) > 0 for one in both)
        same, total = same + int(np.sum(first == second)), total + first.size
    return same / total


def card(
    name: str,
    words: dict[str, Any],
    result: Result,
    scores: Sequence[Result],
    model: ModelFile,
    alike: float,
    object_px: float | None,
) -> str:
    """The card, Markdown: words from `networks.yaml`, figures from results and model."""
    network, task = model.settings.network, TASKS[words["set"]]
    table = markdown_table(
        grouped(scores, words["set"], "report"), task.measures, DECIDING[words["set"]], None
    )
    n_weights = sum(value.numel() for value in model.weights.values())
    size = "" if object_px is None else f" The objects are {object_px:g} px across (median)."
    settings = "The settings of labels were found on images it learned from, too."
    goes_on = result["options"]["start_from"] is not None
    began = " It goes on from the network that was scored." if goes_on else ""
    machine = result["machine"]
    changes = json.dumps(result["changes"]) if result["changes"] else "none"
    limits = "\n".join(f"- {limit}" for limit in words["limits"])
    return f"""# {name}

{words["what"]}

    biounet predict {name} images/ --out segmented
    biounet train my-images --from {name} --out my-run

A {network.kind} of {n_weights:,} weights, channels in: {network.channels}, \
classes out: {", ".join(model.class_names)}.

## Data

{words["data"]}

Made of {result["trained_on"]}; held out of these, to score on while it learned: \
{result["held_out"]}. {settings}{began}{size}

Terms: {words["terms"]}

## Scores

Of networks trained alike on a part of the images and scored on others; this one had all of them,
so that nothing is left to score it on.

{table}

## Limits

{limits}

## How it was made

    {result["commands"][0]}

Settings that differ from the preset: {changes}. \
Seed {result["seed"]}, {result["steps"]:,} steps, {result["minutes"]["training"]:.1f} minutes on \
{machine["processor"]} ({machine["device"]}, {machine["threads"]} threads), torch \
{machine["torch"]}, biounet {result["version"]}, commit {result["commit"]}.

Stored in half precision, computed in single: {alike:.3%} of the pixels of {N_COMPARED} training
images are labelled as before.
"""


if __name__ == "__main__":
    try:
        main()
    except (InputError, OSError) as error:
        sys.exit(f"ship.py: {error}")
