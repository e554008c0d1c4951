"""Scores during a run, and the model files at its end."""

import math
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from biounet.config import merged, validated_settings
from biounet.errors import InputError
from biounet.images.dataset import Annotated
from biounet.learning.checkpoint import Position, write_checkpoint
from biounet.learning.gallery import write_validation_gallery
from biounet.learning.gallery_views import validation_gallery
from biounet.learning.run import Run, engine_of, log, model_of
from biounet.learning.step import Learner, trained_weights
from biounet.learning.validation import Score, best_score, predict_items, score, tune_objects
from biounet.model import Intensity, ModelFile, read_model, write_model
from biounet.prediction.engines import choose_precision
from biounet.prediction.engines.rounding import measure_rounding, rounding_record
from biounet.prediction.overlap_tile import sample_tile
from biounet.prediction.predictor import plane_intensity

ROUNDING_IMAGES = 3
"""Images of which a piece shows what a lower precision changes."""

TUNING_PREDICTION_SHARE = 0.4
"""Of the time left after the last step: for predicting training images; trials take the rest."""

REPORT_S = 4.0
"""Seconds of the budget kept for the files at its end and for the report."""


def validate(run: Run, learner: Learner, step: int) -> Score:
    """Score the present weights on the validation images."""
    began = time.monotonic()
    model = model_of(run, trained_weights(learner), step, None)
    probabilities = _predict(run, model, run.data.validation)
    result = best_score(
        probabilities, run.data.validation, run.dataset.labels_are, run.settings.objects
    )
    record = {
        "kind": "validation",
        "step": step,
        "score": result.name,
        "value": result.value,
        "took_s": time.monotonic() - began,
    }
    log(run, {**record, **result.details})
    return result


def finish(run: Run, learner: Learner, position: Position, interrupted: bool) -> ModelFile:
    """Write the last and the best model, with the labels' settings found on annotated images."""
    last = model_of(run, trained_weights(learner), position.step, None)
    best = last
    if position.best_score is not None:  # else a file is that of an earlier sitting's end
        with suppress(InputError):  # damaged by a crash: the last weights stand in
            best = read_model(run.folder.best)
    if not interrupted:
        best = _tuned(run, best)
    if not interrupted and not out_of_time(run):
        best = _with_rounding(run, best)
    write_model(replace(last, settings=best.settings), run.folder.last)
    write_model(best, run.folder.best)
    write_checkpoint(learner, replace(position, finished=not interrupted), run.folder.checkpoint)
    log(
        run,
        {
            "kind": "end",
            "step": position.step,
            "interrupted": interrupted,
            "used_s": position.used_s,
            "wall_s": time.monotonic() - run.started,
            "objects": best.settings.objects.model_dump(),
            "score": best.provenance["score"],
        },
    )
    return best


def _tuned(run: Run, best: ModelFile) -> ModelFile:
    """The best model with the labels' settings that score best on annotated images.

    Training images take part: held-out ones alone are too few to tell. Thresholds rank alike on
    both (`docs/research.md`); only scores of images learned from are too good to be reported.
    """
    held_out, labels_are = run.data.validation, run.dataset.labels_are
    items, probabilities = list(held_out), _predict(run, best, held_out)
    enough = time.monotonic() + TUNING_PREDICTION_SHARE * _left_s(run)
    for item in run.data.tuning:
        if time.monotonic() > enough:
            break
        items.append(item)
        probabilities += _predict(run, best, [item])
    objects = tune_objects(
        probabilities,
        items,
        labels_are,
        run.settings.objects,
        run.fixed_objects,
        lambda: out_of_time(run),
    )
    tuned = replace(
        best,
        settings=validated_settings(
            merged(best.settings.model_dump(), {"objects": objects.model_dump()})
        ),
    )
    if not held_out:
        return tuned
    gallery = validation_gallery(held_out, probabilities[: len(held_out)], labels_are, objects)
    write_validation_gallery(gallery, run.folder)
    reached = score(probabilities[: len(held_out)], held_out, labels_are, objects)
    return replace(
        tuned,
        provenance={**best.provenance, "score": {reached.name: reached.value, **reached.details}},
    )


def out_of_time(run: Run) -> bool:
    """Whether only the time for the files and the report is left."""
    return _left_s(run) < 0


def _left_s(run: Run) -> float:
    """Seconds until only the time for the files and the report is left."""
    if run.total_s is None:
        return math.inf
    return run.started + run.total_s - REPORT_S - time.monotonic()


def _with_rounding(run: Run, best: ModelFile) -> ModelFile:
    """The model, with what this device's low precision changes on images of the data set."""
    precision = choose_precision("auto", run.device)
    if precision == "float32":
        return best
    footprint = best.settings.network.footprint
    if run.data.validation:
        tiles = [
            sample_tile(item.image, footprint, plane_intensity(best, item.image))
            for item in run.data.validation[:ROUNDING_IMAGES]
        ]
    else:
        plain = Intensity(*((x,) * best.settings.network.channels for x in (0.0, 1.0)))
        images = [image.image.numpy() for image in run.data.training[:ROUNDING_IMAGES]]
        tiles = [sample_tile(image, footprint, plain) for image in images]
    found = measure_rounding(best, run.device, precision, tiles)
    return replace(best, provenance={**best.provenance, **rounding_record(precision, found)})


def _predict(run: Run, model: ModelFile, items: Sequence[Annotated]) -> list[NDArray[np.float32]]:
    return predict_items(items, model, engine_of(run, model))
