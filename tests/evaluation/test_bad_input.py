"""`biounet evaluate` on what is empty, of one class only, or wrong: a value with a warning, or no.

What the organisers' program gives is kept (exit 0, with a warning); what it would take silently
for something else is refused (exit 2, one line).
"""

import json
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tifffile

from biounet.cli import main

Evaluate = Callable[..., tuple[int, str, dict[str, object]]]

LABELS = np.zeros((2, 40, 40), np.uint8)
LABELS[:, 2:18, 2:38] = 255
LABELS[:, 20:38, 2:38] = 255
CELLS = np.zeros((40, 40), np.uint16)
CELLS[2:18, 2:38], CELLS[20:38, 2:38] = 1, 2
PROBABILITIES = np.where(LABELS, 0.9, 0.1).astype(np.float32)
EMPTY = np.zeros_like(CELLS)


def stack(path: Path, pixels: np.ndarray) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    tifffile.imwrite(path, pixels, photometric="minisblack")
    return path


@pytest.fixture
def evaluate(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Evaluate:
    """Run `biounet evaluate`: exit code, standard error, the scores of the JSON file."""

    def run(prediction: Path, truth: Path, metrics: str) -> tuple[int, str, dict[str, object]]:
        scores = tmp_path / "scores.json"
        words = [str(prediction), str(truth), "--metrics", metrics, "--json", str(scores)]
        monkeypatch.setattr(sys, "argv", ["biounet", "evaluate", *words])
        with pytest.raises(SystemExit) as exit_:
            main()
        code = exit_.value.code
        assert isinstance(code, int)
        tree = json.loads(scores.read_text()) if scores.exists() else {}
        return code, capsys.readouterr().err, tree

    return run


@pytest.mark.parametrize(
    ("prediction", "truth", "told", "expected"),
    [
        (PROBABILITIES, LABELS * 0, "the truth has no cell", {"rand_error": 1, "v_rand": 0}),
        (PROBABILITIES * 0, LABELS, "all membrane", {"pixel_error": 1, "warping_error": 0}),
        (PROBABILITIES * 0 + 1, LABELS, "all cell", {"v_info": 0}),
        (PROBABILITIES, LABELS * 0 + 255, "no membrane", {"v_info": 0}),
        (PROBABILITIES * 0, LABELS * 0, "the truth has no cell", {"rand_error": 1}),
    ],
)
def test_isbi2012_of_one_class(
    evaluate: Evaluate,
    tmp_path: Path,
    prediction: np.ndarray,
    truth: np.ndarray,
    told: str,
    expected: dict[str, float],
) -> None:
    paths = stack(tmp_path / "p.tif", prediction), stack(tmp_path / "l.tif", truth)
    code, errors, scores = evaluate(*paths, "isbi2012")
    assert (code, told in errors, "warning" in errors) == (0, True, True), errors
    assert {name: scores[name] for name in expected} == pytest.approx(expected)


@pytest.mark.parametrize(
    ("prediction", "told"),
    [
        ((PROBABILITIES * 65535).astype(np.uint16), "or 8-bit values in 0..255"),
        ((PROBABILITIES > 0.5).astype(np.uint8), "save them as floats"),
        (PROBABILITIES * 2, "0..1"),
        (PROBABILITIES - 0.5, "0..1"),
        (np.where(LABELS, np.nan, PROBABILITIES).astype(np.float32), "NaN"),
        (PROBABILITIES[:1], "2 slices of 40 x 40 px"),
        (PROBABILITIES[:, :39], "2 slices of 39 x 40 px"),
    ],
)
def test_isbi2012_refuses(
    evaluate: Evaluate, tmp_path: Path, prediction: np.ndarray, told: str
) -> None:
    paths = stack(tmp_path / "p.tif", prediction), stack(tmp_path / "l.tif", LABELS)
    code, errors, scores = evaluate(*paths, "isbi2012")
    assert (code, scores, errors.count("\n")) == (2, {}, 1)
    assert told in errors


@pytest.mark.parametrize("metrics", ["matching", "overlap"])
def test_no_object_at_all(evaluate: Evaluate, tmp_path: Path, metrics: str) -> None:
    cells, empty = stack(tmp_path / "c.tif", CELLS), stack(tmp_path / "e.tif", EMPTY)
    for prediction, truth, value in ((cells, empty, 0.0), (empty, cells, 0.0), (empty, empty, 1.0)):
        code, errors, scores = evaluate(prediction, truth, metrics)
        assert (code, "warning" in errors) == (0, True), (prediction.name, truth.name, errors)
        reached = scores["ap"]["0.50"] if metrics == "matching" else scores["dice"]  # type: ignore[index]
        assert reached == value


@pytest.mark.parametrize("metrics", ["matching", "overlap"])
def test_other_shapes_and_probabilities_are_refused(
    evaluate: Evaluate, tmp_path: Path, metrics: str
) -> None:
    cells = stack(tmp_path / "c.tif", CELLS)
    for wrong in (CELLS[:30], PROBABILITIES[0]):
        code, errors, scores = evaluate(stack(tmp_path / "w.tif", wrong), cells, metrics)
        assert (code, scores, errors.count("\n")) == (2, {}, 1)


def sequence(folder: Path, name: str, frames: dict[int, np.ndarray]) -> None:
    for number, labels in frames.items():
        stack(folder / f"{name}{number:03d}.tif", labels)


@pytest.fixture
def truth(tmp_path: Path) -> Path:
    for part, name in (("SEG", "man_seg"), ("TRA", "man_track")):
        sequence(tmp_path / "01_GT" / part, name, dict.fromkeys(range(3), CELLS))
    (tmp_path / "01_GT" / "TRA" / "man_track.txt").write_text("1 0 2 0\n2 0 2 0\n")
    return tmp_path / "01_GT"


def result(tmp_path: Path, frames: dict[int, np.ndarray], tracks: str) -> Path:
    sequence(tmp_path / "01_RES", "mask", frames)
    (tmp_path / "01_RES" / "res_track.txt").write_text(tracks)
    return tmp_path / "01_RES"


TRACKS = "1 0 2 0\n2 0 2 0\n"


def test_ctc_of_a_whole_result(evaluate: Evaluate, tmp_path: Path, truth: Path) -> None:
    code, errors, scores = evaluate(
        result(tmp_path, dict.fromkeys(range(3), CELLS), TRACKS), truth, "ctc"
    )
    assert (code, errors) == (0, "")
    assert [scores[k] for k in ("seg", "det", "tra")] == [1, 1, 1]


def test_ctc_with_a_missing_frame(evaluate: Evaluate, tmp_path: Path, truth: Path) -> None:
    frames = {0: CELLS, 2: CELLS}
    code, errors, scores = evaluate(result(tmp_path, frames, TRACKS), truth, "ctc")
    assert code == 0
    assert errors.count("lacks frame 1") == 1  # told once, though two scores meet it
    assert [scores["seg"], scores["det"]] == pytest.approx([2 / 3, 2 / 3])


def test_ctc_of_empty_frames(evaluate: Evaluate, tmp_path: Path, truth: Path) -> None:
    code, errors, scores = evaluate(
        result(tmp_path, dict.fromkeys(range(3), EMPTY), ""), truth, "ctc"
    )
    assert code == 0
    assert "the result has no object" in errors
    assert [scores[k] for k in ("seg", "det", "tra")] == [0, 0, 0]


def test_ctc_of_an_empty_truth(evaluate: Evaluate, tmp_path: Path) -> None:
    sequence(tmp_path / "01_GT" / "TRA", "man_track", {0: EMPTY})
    sequence(tmp_path / "01_GT" / "SEG", "man_seg", {0: EMPTY})
    code, errors, scores = evaluate(result(tmp_path, {0: CELLS}, TRACKS), tmp_path / "01_GT", "ctc")
    assert code == 0
    assert "the truth has no object" in errors
    assert (scores["seg"], scores["det"]) == (0, None)


def test_ctc_refuses_frames_of_another_size_and_no_frames(
    evaluate: Evaluate, tmp_path: Path, truth: Path
) -> None:
    (tmp_path / "01_RES").mkdir()
    code, errors, _ = evaluate(tmp_path / "01_RES", truth, "ctc")
    assert (code, "an empty folder" in errors) == (2, True)
    code, errors, _ = evaluate(result(tmp_path, {0: CELLS[:30]}, TRACKS), truth, "ctc")
    assert (code, "(30, 40)" in errors) == (2, True)


def test_ctc_with_truth_in_single_slices(evaluate: Evaluate, tmp_path: Path) -> None:
    """Gold truth of volumes: man_seg_T_Z.tif is slice Z of frame T."""
    volume = np.stack([EMPTY, CELLS, CELLS])
    stack(tmp_path / "01_GT" / "SEG" / "man_seg_002_001.tif", CELLS)
    stack(tmp_path / "01_GT" / "SEG" / "man_seg_002_000.tif", np.minimum(CELLS, 1))
    stack(tmp_path / "01_GT" / "SEG" / "man_seg_004_002.tif", CELLS)
    stack(tmp_path / "01_RES" / "mask002.tif", volume)
    code, errors, scores = evaluate(tmp_path / "01_RES", tmp_path / "01_GT", "ctc")
    assert (code, "lacks frame 4" in errors) == (0, True)
    assert scores["seg"] == pytest.approx(2 / 5)
    assert scores["seg_per_frame"] == {"2_0": 0, "2_1": 1, "4_2": 0}
    stack(tmp_path / "01_GT" / "SEG" / "man_seg_002_003.tif", CELLS)
    code, errors, _ = evaluate(tmp_path / "01_RES", tmp_path / "01_GT", "ctc")
    assert (code, errors.count("\n"), "slice 3 of frame 2" in errors) == (2, 1, True)


@pytest.mark.parametrize(
    ("tracks", "told"),
    [
        ("1 0 2\n", "four whole numbers L B E P"),
        ("1 0 2 0\n", "no line for label 2 of frame 0"),
        ("1 0 2 0\n1 0 2 0\n2 0 2 0\n", "a label twice"),
        ("1 0 2 0\n2 2 0 0\n", "begin <= end"),
        ("1 0 2 0\n2 0 2 9\n", "unknown parent 9"),
    ],
)
def test_ctc_refuses_a_wrong_table_of_tracks(
    evaluate: Evaluate, tmp_path: Path, truth: Path, tracks: str, told: str
) -> None:
    found = result(tmp_path, dict.fromkeys(range(3), CELLS), tracks)
    code, errors, scores = evaluate(found, truth, "ctc")
    assert (code, scores, errors.count("\n"), told in errors) == (2, {}, 1, True), errors


def test_ctc_of_tracks_that_no_frame_shows_and_that_pause(
    evaluate: Evaluate, tmp_path: Path, truth: Path
) -> None:
    """A line without pixels is no object; a cell that pauses loses its two links."""
    frames = {0: CELLS, 1: np.where(CELLS == 2, 0, CELLS), 2: CELLS}
    code, _, scores = evaluate(result(tmp_path, frames, TRACKS + "7 0 1 0\n"), truth, "ctc")
    assert code == 0
    assert scores["det"] == pytest.approx(1 - 10 / 60)
    assert scores["tra"] == pytest.approx(1 - (10 + 2 * 1.5) / (60 + 4 * 1.5))
