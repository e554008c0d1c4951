"""What to do next, in plain words, from how a run went."""

from biounet.config import Settings
from biounet.learning.gallery import ValidationGallery
from biounet.learning.run_folder import Record
from biounet.metrics.outcomes import Outcome

GOOD, USABLE = 0.85, 0.5
"""Share of objects (or overlap) right, from which a network is called good, and usable."""


def next_steps(
    records: list[Record], settings: Settings, validation: ValidationGallery | None
) -> tuple[str, ...]:
    """One to three sentences, the most important first."""
    ends = [record for record in records if record["kind"] == "end"]
    if not ends or ends[-1]["interrupted"]:
        return ("The run did not reach its end. Go on with the same command and --resume.",)
    if validation is None or not validation.results:
        return (
            "No image was held out, so nothing here says how well the network does. Look at its "
            "labels on a new image, or annotate another one and train again.",
        )
    advice = [_verdict(validation)]
    mistake = _main_mistake(validation)
    if mistake and _mean(validation) >= USABLE:
        advice.append(mistake)
    if _still_rising(records):
        advice.append(
            "The score was still rising when the time was up: more minutes "
            f"(this run: {_budget(settings)}) will probably help."
        )
    return tuple(advice)


def _verdict(validation: ValidationGallery) -> str:
    value = _mean(validation)
    if value >= GOOD:
        return "This network is good: use it on new images, and look at a few of its labels."
    if value >= USABLE:
        return (
            "This network is usable, with corrections by hand. Look at the worst images first; "
            "annotating two or three more like them usually helps most."
        )
    return (
        "This network is not ready. Check below that outlines and images belong together; then "
        "train longer, or annotate more images like the worst ones."
    )


def _mean(validation: ValidationGallery) -> float:
    """The share of objects (or overlap) right, on average over images."""
    name = "AP50" if validation.labels_are == "instances" else "IoU"
    return sum(result.scores[name] for result in validation.results) / len(validation.results)


def _main_mistake(validation: ValidationGallery) -> str:
    """What most of the mistakes are, if there are enough of them to say so."""
    counts = {
        Outcome.MISSED: sum(r.true_objects.get("missed", 0) for r in validation.results),
        Outcome.EXTRA: sum(r.predicted_objects.get("extra", 0) for r in validation.results),
        Outcome.MERGED: sum(r.true_objects.get("merged", 0) for r in validation.results),
        Outcome.SPLIT: sum(r.true_objects.get("split", 0) for r in validation.results),
    }
    n_true = sum(sum(r.true_objects.values()) for r in validation.results)
    outcome = max(counts, key=lambda o: counts[o])
    if counts[outcome] < max(3, 0.05 * n_true):
        return ""
    n = counts[outcome]
    return {
        Outcome.MISSED: f"Most mistakes are missed objects ({n}): annotate more of that kind, and "
        "check that no training image has objects that were left out.",
        Outcome.EXTRA: f"Most mistakes are extra objects ({n}): check that all objects of the "
        "training images are annotated, and add an image with empty background.",
        Outcome.MERGED: f"Most mistakes are neighbours merged into one ({n}): annotate more "
        "touching objects, or widen the border between them (weights.border_width_px).",
        Outcome.SPLIT: f"Most mistakes are objects cut into pieces ({n}): annotate more large "
        "objects, or train longer.",
    }[outcome]


def _still_rising(records: list[Record]) -> bool:
    values = [record["value"] for record in records if record["kind"] == "validation"]
    return len(values) >= 4 and min(values[-2:]) > max(values[:-2]) + 0.01


def _budget(settings: Settings) -> str:
    training = settings.training
    return f"{training.minutes:g}" if training.minutes else f"{training.steps:,} steps"
