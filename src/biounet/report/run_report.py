"""The page about a training run, from what its folder holds."""

import shlex
import time
from pathlib import Path
from typing import Any

from biounet.config import Settings, read_settings
from biounet.errors import InputError
from biounet.learning.gallery import (
    TrainingGallery,
    ValidationGallery,
    read_training_gallery,
    read_validation_gallery,
)
from biounet.learning.run_folder import Record, RunFolder, read_records
from biounet.report.advice import next_steps
from biounet.report.data_section import data_section
from biounet.report.learning_section import learning_section
from biounet.report.page import (
    Block,
    Code,
    FactGroups,
    Facts,
    Number,
    Page,
    Section,
    Table,
    write_page,
)
from biounet.report.predictions_section import predictions_section, total_objects
from biounet.report.samples_section import samples_section, tiling_section


def write_report(run: Path) -> Path:
    """Write the page about a run into its folder; the page's path.

    A run that is going on, or was stopped, gets a page of what there is so far.

    Raises:
        InputError: no run folder, or the page cannot be written.
    """
    folder = RunFolder(run)
    return write_page(run_page(folder), folder.report)


def run_page(folder: RunFolder) -> Page:
    """The page about a run."""
    records = read_records(folder)
    if not folder.settings.exists() or not records:
        raise InputError(
            f"{folder.path}, which holds no training run",
            "a folder that `biounet train` wrote",
            "give the folder that was named by --out",
        )
    settings = read_settings(folder.settings)
    training = read_training_gallery(folder)
    validation = read_validation_gallery(folder)
    sections = [
        None if validation is None else predictions_section(validation),
        learning_section(records, settings),
        None if training is None else data_section(training, _last(records, "start")),
        None if training is None else samples_section(training, settings),
        None if training is None else tiling_section(training.corner),
        _settings_section(records, settings),
        _provenance_section(records, settings),
    ]
    return Page(
        kicker="Training run",
        title=folder.path.resolve().name,
        subtitle=_subtitle(folder, records),
        numbers=_numbers(records, training, validation),
        advice=next_steps(records, settings, validation),
        command=f"biounet predict {shlex.quote(str(folder.path))} IMAGES --out predicted",
        sections=tuple(section for section in sections if section is not None),
    )


def _last(records: list[Record], kind: str) -> Record:
    """The last record of a kind; empty where there is none."""
    found = [record for record in records if record["kind"] == kind]
    return found[-1] if found else {}


def _subtitle(folder: RunFolder, records: list[Record]) -> str:
    end = _last(records, "end")
    when = time.strftime("%Y-%m-%d %H:%M", time.localtime(folder.log.stat().st_mtime))
    if not end:
        return (
            f"Not finished: the log ends at step {_last(records, 'step').get('step', 0)}, {when}."
        )
    if end["interrupted"]:
        return f"Stopped by hand at step {end['step']}, {when}; what was learned by then is kept."
    return f"Finished {when} after {end['step']:,} steps."


def _numbers(
    records: list[Record],
    training: TrainingGallery | None,
    validation: ValidationGallery | None,
) -> tuple[Number, ...]:
    numbers = []
    end, scored = _last(records, "end"), _last(records, "validation")
    scores = end.get("score") or ({scored["score"]: scored["value"]} if scored else {})
    if validation is not None and validation.labels_are == "instances":
        found, n_true = total_objects(validation)
        numbers.append(
            Number(f"{found} of {n_true}", "objects found", "on images held out from training")
        )
    for name in ("AP50", "AP") if "AP" in scores else tuple(scores)[:2]:
        if name in scores:
            numbers.append(Number(f"{scores[name]:.3f}", *SCORE_NOTES.get(name, (name, ""))))
    seconds = end.get("wall_s") or _last(records, "step").get("used_s", 0)
    minutes = seconds / 60
    numbers.append(
        Number(
            f"{minutes:.0f}" if minutes >= 10 else f"{minutes:.1f}",
            "minutes",
            f"on {_machine(_last(records, 'start'))}",
        )
    )
    if training is not None:
        n_training = sum(fact.part == "training" for fact in training.facts)
        n_objects = sum(fact.n_objects for fact in training.facts if fact.part == "training")
        numbers.append(
            Number(
                str(n_training),
                "training images" if n_training > 1 else "training image",
                f"with {n_objects:,} objects" if n_objects else "",
            )
        )
    return tuple(numbers)


SCORE_NOTES = {
    "AP50": ("AP at IoU 0.5", "found / (found + missed + extra); 1 is perfect"),
    "AP": ("mean AP", "over IoU 0.5 to 0.9: outlines count too"),
    "IoU": ("mean IoU", "over the classes; 1 is perfect"),
    "Dice": ("mean Dice", "over the classes; 1 is perfect"),
}
"""A score's label and what it means."""


def _machine(start: Record) -> str:
    threads = start.get("threads")
    if start.get("device", "cpu") != "cpu":
        return str(start["device"])
    if threads == 1:
        return "one CPU thread"
    return f"{threads} CPU threads" if threads else "a CPU"


def _settings_section(records: list[Record], settings: Settings) -> Section:
    blocks: list[Block] = []
    choices = [record for record in records if record["kind"] == "choice"]
    if choices:
        blocks.append(
            Table(
                ("Setting", "Value", "Why"),
                tuple((c["name"], shown(c["value"]), c["why"]) for c in choices),
                n_text=3,
                caption="Chosen for this data and this machine",
            )
        )
    tree = settings.model_dump(mode="json")
    tuned = _last(records, "end").get("objects")
    if tuned:
        tree["objects"] = tuned
    groups = [
        Facts(tuple((k, shown(v)) for k, v in values.items()), name.capitalize())
        for name, values in tree.items()
        if isinstance(values, dict)
    ]
    blocks.append(FactGroups(tuple(groups)))
    return Section(
        "settings",
        "Settings",
        tuple(blocks),
        f"Preset {settings.preset}. Every setting of the run, as in settings.yaml"
        + ("; those of objects were tuned at its end." if tuned else "."),
    )


def shown(value: Any) -> str:
    """A setting's value as people write it."""
    if value is None:
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, list | tuple):
        return ", ".join(shown(each) for each in value)
    return str(value)


def _provenance_section(records: list[Record], settings: Settings) -> Section:
    start, end = _last(records, "start"), _last(records, "end")
    resumed = [str(record["step"]) for record in records if record["kind"] == "resumed"]
    facts = [
        ("biounet", start.get("version")),
        ("PyTorch", start.get("torch")),
        ("Python", start.get("python")),
        ("System", start.get("system")),
        ("Device", start.get("device")),
        ("Cores, threads", f"{start.get('cores', '?')}, {start.get('threads', '?')}"),
        ("Precision", settings.training.precision),
        ("Seed", settings.training.seed),
        ("Steps", end.get("step", _last(records, "step").get("step"))),
        ("Resumed at step", ", ".join(resumed) or None),
        ("Data, SHA-256", start.get("data_hash")),
    ]
    return Section(
        "provenance",
        "To repeat this run",
        (
            Code(str(start.get("command", ""))),
            Facts(tuple((name, str(value)) for name, value in facts if value is not None)),
        ),
        "The same command on the same data takes the same samples in the same order.",
    )
