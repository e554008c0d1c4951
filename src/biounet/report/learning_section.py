"""The part of a page that shows how a network learned: loss, score and learning rate."""

from biounet.config import Settings
from biounet.learning.run_folder import Record
from biounet.report.charts import Curve, curves_svg, smoothed
from biounet.report.page import Picture, Pictures, Section

OPTIMISERS = {"sgd": "SGD", "adamw": "AdamW"}
SCORE_NAMES = {
    "AP": "mean AP",
    "AP50": "AP at IoU 0.5",
    "object_IoU": "IoU of true objects",
    "IoU": "mean IoU",
    "Dice": "mean Dice",
}


def learning_section(records: list[Record], settings: Settings) -> Section | None:
    """Curves of a run's log; None where nothing was logged yet."""
    steps = [record for record in records if record["kind"] == "step"]
    if len(steps) < 2:
        return None
    numbers = [record["step"] for record in steps]
    losses = [record["loss"] for record in steps]
    smooth = smoothed(losses, max(len(losses) // 40, 1))
    pictures = [
        Picture(
            curves_svg(
                "loss",
                [Curve("smoothed", numbers, smooth, raw=losses)],
                "step",
                "weighted loss",
                log=min(losses) > 0 and max(smooth) > 10 * min(smooth),
            ),
            f"The loss falls from {smooth[0]:.3g} to {smooth[-1]:.3g} in {numbers[-1]} steps.",
            f"From {smooth[0]:.3g} to {smooth[-1]:.3g}. Faint: as logged; bold: smoothed."
            + (" Pairs of pixels count, too." if settings.affinities.distances else ""),
            "Loss on training samples",
        )
    ]
    validations = [record for record in records if record["kind"] == "validation"]
    if validations:
        at = [record["step"] for record in validations]
        names = [name for name in SCORE_NAMES if name in validations[0]]
        main = validations[0]["score"]
        curves = [Curve(SCORE_NAMES[main], at, [r["value"] for r in validations], points=True)]
        curves += [
            Curve(SCORE_NAMES[name], at, [r[name] for r in validations], points=True)
            for name in names
        ]
        best = max(validations, key=lambda record: record["value"])
        pictures.append(
            Picture(
                curves_svg("score", curves, "step", "score", y_limits=(0, 1.02)),
                f"{SCORE_NAMES[main]} on the validation images, {len(at)} times during the run; "
                f"best {best['value']:.3f} at step {best['step']}.",
                f"Best {SCORE_NAMES[main]} {best['value']:.3f} at step {best['step']:,}: "
                "the weights that were kept." + _after_tuning(records, main),
                "Score on validation images",
            )
        )
    rates = [record["rate"] for record in steps]
    pictures.append(
        Picture(
            curves_svg("rate", [Curve("rate", numbers, rates)], "step", "learning rate"),
            f"The learning rate, {settings.training.schedule}, at most {max(rates):.2g}.",
            f"{OPTIMISERS[settings.training.optimiser]}, "
            f"{settings.training.schedule} schedule, at most {max(rates):.2g}.",
            "Learning rate",
        )
    )
    return Section("learning", "How it learned", (Pictures(tuple(pictures), width_px=290),))


def _after_tuning(records: list[Record], score: str) -> str:
    """What choosing threshold and the like made of the best score."""
    reached = [record["score"] for record in records if record["kind"] == "end"]
    if not reached or not reached[-1] or score not in reached[-1]:
        return ""
    best = max(r["value"] for r in records if r["kind"] == "validation")
    if abs(reached[-1][score] - best) < 0.0005:
        return ""
    return f" Tuning how labels are made brought it to {reached[-1][score]:.3f}."
