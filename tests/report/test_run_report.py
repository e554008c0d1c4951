"""The page about a run: what is in it, for every kind of run; what is told where it cannot be."""

import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import biounet
from biounet.errors import InputError
from biounet.learning.gallery import ImageResult, ValidationGallery
from biounet.learning.run_folder import RunFolder, read_records
from biounet.report import write_report
from biounet.report.advice import next_steps
from biounet.report.run_report import run_page
from biounet.simulate import simulate_cells

SMALL = {"network": {"width": 4, "depth": 1}, "training": {"patch_px": 40, "validations": 1}}


def test_the_page_of_a_finished_run(run: RunFolder) -> None:
    page = run_page(run)
    assert page.title == "cells <1>"
    assert page.subtitle.endswith("after 12 steps.")
    assert [s.name for s in page.sections] == [
        "predictions",
        "learning",
        "data",
        "samples",
        "tiles",
        "settings",
        "provenance",
    ]
    start = next(r for r in read_records(run) if r["kind"] == "start")
    text = write_report(run.path).read_text(encoding="utf-8")
    for words in (
        start["data_hash"],
        start["version"],
        "network.dimensions",
        "Chosen for this data",
        "Deformation",
        "Weight map",
        "Mask with cut borders",
        "mirrored: outside the image",
        "Scores of each image, worst first",
        "Prediction in colour, truth in yellow",
        "cells &lt;1&gt;",
    ):
        assert words in text, words
    assert text.count("<img") == 4 + 3 + 4 + 4 * 4 + 1  # sheet, comparison, Fig. 3, samples, tile
    assert text.count("<svg") == 5  # loss, score, rate, sizes twice


def test_the_page_reads_the_run_folder_only_and_comes_out_the_same(run: RunFolder) -> None:
    (run.path / "checkpoint" / "state.safetensors").unlink()
    run.best.unlink()
    run.last.unlink()
    before = {p: p.read_bytes() for p in run.path.rglob("*") if p.is_file()}
    first = write_report(run.path).read_bytes()
    assert write_report(run.path).read_bytes() == first
    assert {p: p.read_bytes() for p in before} == before


def test_the_command_says_where_the_page_is(run: RunFolder) -> None:
    code = "import sys; from biounet.cli import main; sys.argv[0] = 'biounet'; main()"
    done = subprocess.run(
        [sys.executable, "-c", code, "report", str(run.path)], capture_output=True, text=True
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.strip() == f"report: {run.report}"
    assert run.report.stat().st_size > 100_000


def test_importing_the_report_draws_nothing() -> None:
    code = "import sys, biounet.report; assert not {'matplotlib', 'torch'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_images_stand_in_the_order_of_the_results() -> None:
    results = [ImageResult(str(k), {"AP": v}, {"missed": 1}, {}) for k, v in enumerate((0.1, 0.7))]
    gallery = ValidationGallery(
        "instances", 2, tuple(results), np.ones(2, int), np.ones(2, int), ()
    )
    from biounet.report.predictions_section import predictions_section, total_objects

    (table,) = [b for b in predictions_section(gallery).blocks if b.kind == "table"]
    assert [row[0] for row in table.rows] == ["0", "1"]
    assert table.rows[0][1] == "0.100"
    assert total_objects(gallery) == (0, 2)


KINDS = ("mask", "classes", "volume", "colour", "one-small", "sliding-window", "empty-validation")


@pytest.mark.filterwarnings("ignore::biounet.metrics.MetricWarning")
@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_run_has_a_page(kind: str, tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    shape = (90, 90) if kind == "one-small" else (110, 130)
    pairs = [simulate_cells("touching-cells", shape, rng) for _ in range(3)]
    images, labels = [i for i, _ in pairs], [t for _, t in pairs]
    settings, labels_are = SMALL, None
    if kind == "mask":
        labels = [(t > 0).astype(np.uint8) for t in labels]
    elif kind == "classes":
        labels = [((t > 0) + (t % 2)).astype(np.uint8) for t in labels]
        labels_are = "classes"
    elif kind == "volume":
        images, labels = ([np.stack(a)[:, :48, :48] for _ in range(2)] for a in (images, labels))
        settings = {"network": {"width": 2}, "training": {"patch_px": 4}}
    elif kind == "colour":
        images = [np.stack([i, i // 2, i // 3], axis=-1) for i in images]
    elif kind == "one-small":
        images, labels = images[:1], labels[:1]
        settings = {**SMALL, "network": {"width": 2, "depth": 3}}
    elif kind == "sliding-window":
        small = {"kind": "sliding-window", "stages": 2, "window_px": 19, "width": 2, "neurons": 4}
        settings = {"network": small, "training": {"patch_px": 1, "validations": 1}}
    else:
        labels[2][:] = 0
        labels_are = "instances"
    biounet.train(
        images,
        labels,
        out=tmp_path / "run",
        steps=2,
        settings=settings,
        labels_are=labels_are,
        device="cpu",
    )
    text = write_report(tmp_path / "run").read_text(encoding="utf-8")
    assert "How it learned" in text and "samples, as the network sees them" in text
    if kind == "one-small":
        assert "No image was held out" in text and 'id="predictions"' not in text
    else:
        assert 'id="predictions"' in text
    if kind == "classes":
        assert "class 2, %" in text and "wrong class" in text


def test_a_run_that_goes_on_has_a_page_of_what_there_is(run: RunFolder) -> None:
    lines = run.log.read_text().splitlines()
    kept = [line for line in lines if json.loads(line)["kind"] in ("choice", "start")]
    (run.path / "gallery" / "validation.npz").unlink()
    run.log.write_text("\n".join(kept) + "\n")
    page = run_page(run)
    assert page.subtitle.startswith("Not finished: the log ends at step 0")
    assert "--resume" in page.advice[0]
    assert [s.name for s in page.sections] == ["data", "samples", "tiles", "settings", "provenance"]
    write_report(run.path)


def test_a_run_without_a_gallery_has_curves_and_settings(run: RunFolder) -> None:
    for path in (run.path / "gallery").iterdir():
        path.unlink()
    assert [s.name for s in run_page(run).sections] == ["learning", "settings", "provenance"]
    write_report(run.path)


def test_mistakes_of_the_user_are_told(run: RunFolder, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"holds no training run.*biounet train"):
        write_report(tmp_path / "nothing")
    gallery = run.path / "gallery" / "validation.npz"
    gallery.write_bytes(gallery.read_bytes()[:100])
    with pytest.raises(InputError, match=r"validation\.npz, which is damaged.*delete it"):
        write_report(run.path)
    assert not run.report.exists()


def result(score: float, **true: int) -> ImageResult:
    extra = true.pop("extra", 0)
    return ImageResult("x", {"AP": score, "AP50": score}, true, {"extra": extra})


def advice(run: RunFolder, *results: ImageResult) -> str:
    sizes = np.zeros(0, int)
    gallery = ValidationGallery("instances", 2, results, sizes, sizes, ())
    from biounet.config import read_settings

    return " ".join(next_steps(read_records(run), read_settings(run.settings), gallery))


def test_what_to_do_next_follows_from_scores_and_mistakes(run: RunFolder) -> None:
    assert "is good" in advice(run, result(0.9, matched=99, missed=1))
    assert "with corrections" in advice(run, result(0.7, matched=10))
    assert "not ready" in advice(run, result(0.1, matched=1, missed=9))
    assert "missed objects (9)" in advice(run, result(0.6, matched=9, missed=9, merged=4))
    assert "extra objects (5)" in advice(run, result(0.6, matched=9, extra=5))
    assert "merged into one (6)" in advice(run, result(0.6, matched=9, merged=6))
    assert "cut into pieces (4)" in advice(run, result(0.6, matched=9, split=4))
    assert "Most mistakes" not in advice(run, result(0.6, matched=99, missed=2))
    with run.log.open("a") as log:
        for step, value in enumerate((0.1, 0.2, 0.5, 0.6, 0.7, 0.8)):
            log.write(json.dumps({"kind": "validation", "step": step, "value": value}) + "\n")
    assert "still rising" in advice(run, result(0.6, matched=9))


def test_resumed_and_stopped_runs_say_so(run: RunFolder) -> None:
    records = read_records(run)
    end = {**next(r for r in records if r["kind"] == "end"), "interrupted": True}
    with run.log.open("a") as log:
        log.write(json.dumps({"kind": "resumed", "step": 7, "resumed_at_step": 7}) + "\n")
        log.write(json.dumps(end) + "\n")
    page = run_page(run)
    assert page.subtitle.startswith("Stopped by hand at step 12")
    assert re.search(
        r"Resumed at step</dt><dd>7<", write_report(run.path).read_text(encoding="utf-8")
    )
