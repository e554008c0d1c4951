"""`biounet evaluate --report`: a page for every kind of score, with pictures of the worst."""

import re
import sys
from pathlib import Path

import numpy as np
import pytest
import tifffile

from biounet.cli import main
from biounet.images.writing import write_image


def cells(n_missing: int = 0, n_extra: int = 0) -> np.ndarray:
    """Nine squares on a grid, the first ones missing; more below them."""
    labels = np.zeros((80, 80), np.uint16)
    for k in range(n_missing, 9 + n_extra):
        y, x = 4 + 18 * (k // 3), 4 + 25 * (k % 3)
        labels[y : y + 12, x : x + 18] = k + 1
    return labels


def run(monkeypatch: pytest.MonkeyPatch, *words: object) -> int:
    monkeypatch.setattr(sys, "argv", ["biounet", "evaluate", *map(str, words)])
    with pytest.raises(SystemExit) as exit_:
        main()
    assert isinstance(exit_.value.code, int)
    return exit_.value.code


@pytest.fixture
def folders(tmp_path: Path) -> Path:
    """predicted/, labels/ and images/ of three images; b is the worst."""
    for name, missing, extra in (("a", 0, 0), ("b", 3, 2), ("c", 0, 1)):
        write_image(
            folder(tmp_path / "predicted") / f"{name}_labels.tif", cells(missing, extra), "YX"
        )
        write_image(folder(tmp_path / "labels") / f"{name}.tif", cells(), "YX")
        grey = 100 + 50 * (cells() > 0).astype(np.uint8)
        write_image(folder(tmp_path / "images") / f"{name}.tif", grey, "YX")
    return tmp_path


def folder(path: Path) -> Path:
    path.mkdir(exist_ok=True)
    return path


def test_objects(
    folders: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(folders)
    assert run(monkeypatch, "predicted", "labels", "--report", "scores.html") == 0
    told = capsys.readouterr().out.splitlines()
    assert told[0] == "report: scores.html"
    text = Path("scores.html").read_text(encoding="utf-8")
    assert re.findall(r'<th scope="row">([abc])</th>', text) == ["b", "c", "a"]
    assert "6 of 9 found, 3 missed, 2 extra." in text
    assert "9 of 9 found, 1 extra." in text
    assert text.count("<img") == 9
    ap50 = 24 / (24 + 3 + 3)
    assert f"<dd>{ap50:.3f}" in text
    assert told[1].startswith(f"AP50 {ap50:.4f}")
    assert "biounet evaluate predicted labels --report scores.html" in text
    assert run(monkeypatch, "predicted", "labels", "--report", "2.html", "--images", "images") == 0
    with_images = Path("2.html").read_text(encoding="utf-8")
    pictures = [re.findall(r'<img src="([^"]*)', page) for page in (text, with_images)]
    assert not set(pictures[0]) & set(pictures[1])  # drawn on the images now


def test_what_nobody_annotated_is_no_mistake(
    folders: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folders)
    for name in "abc":
        truth = cells()
        truth[58:] = 99
        write_image(folders / "labels" / f"{name}.tif", truth, "YX")
    words = ("predicted", "labels", "--report", "a/new/s.html", "--ignore-value", "99")
    assert run(monkeypatch, *words) == 0
    text = Path("a/new/s.html").read_text(encoding="utf-8")
    assert "6 of 9 found, 3 missed." in text
    assert "extra." not in text


def test_masks_membranes_and_frames(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_image(tmp_path / "p.tif", (cells(1) > 0).astype(np.uint8) * 255, "YX")
    write_image(tmp_path / "t.tif", (cells() > 0).astype(np.uint8) * 255, "YX")
    assert run(monkeypatch, "p.tif", "t.tif", "--report", "mask.html", "--images", "t.tif") == 0
    mask = Path("mask.html").read_text(encoding="utf-8")
    assert "missed pixels" in mask and "wrong class" not in mask
    assert mask.count("<img") == 3

    truth = np.stack([cells(), cells()]) > 0
    membranes = np.where([cells() > 0, cells(4) > 0], 0.9, 0.1).astype(np.float32)
    tifffile.imwrite("m.tif", membranes, photometric="minisblack")
    tifffile.imwrite("stack.tif", truth.astype(np.uint8) * 255, photometric="minisblack")
    words = ["m.tif", "stack.tif", "--report", "isbi.html", "--images", "stack.tif"]
    assert run(monkeypatch, *words) == 0
    isbi = Path("isbi.html").read_text(encoding="utf-8")
    slices = re.findall(r'<th scope="row">(stack, slice \d)</th>', isbi)
    assert slices == ["stack, slice 1", "stack, slice 0"]
    assert "5 of 9 found, 4 missed." in isbi
    assert "9 of 9 found." in isbi

    for k in (3, 7):
        tifffile.imwrite(folder(tmp_path / "01_RES") / f"mask00{k}.tif", cells(k))
        (tmp_path / "01_GT").mkdir(exist_ok=True)
        tifffile.imwrite(folder(tmp_path / "01_GT/SEG") / f"man_seg00{k}.tif", cells())
        tifffile.imwrite(folder(tmp_path / "01") / f"t00{k}.tif", cells())
    assert run(monkeypatch, "01_RES", "01_GT", "--report", "ctc.html", "--images", "01") == 0
    ctc = Path("ctc.html").read_text(encoding="utf-8")
    assert re.findall(r'<th scope="row">(Frame \d)</th>', ctc) == ["Frame 7", "Frame 3"]
    assert "2 of 9 found, 7 missed." in ctc


def test_frames_and_slices_that_the_result_or_the_images_lack(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    folder(tmp_path / "01_GT")
    volume = np.stack([cells(9), cells(4), cells()])
    tifffile.imwrite(folder(tmp_path / "01_RES") / "mask002.tif", volume, photometric="minisblack")
    tifffile.imwrite(folder(tmp_path / "01") / "t002.tif", volume, photometric="minisblack")
    seg = folder(tmp_path / "01_GT" / "SEG")
    for name in ("002_001", "002_002", "005_000"):
        tifffile.imwrite(seg / f"man_seg_{name}.tif", cells())
    assert run(monkeypatch, "01_RES", "01_GT", "--report", "c.html", "--images", "01") == 0
    assert "lacks frame 5: it counts" in capsys.readouterr().err
    text = Path("c.html").read_text(encoding="utf-8")
    frames = re.findall(r'<th scope="row">(Frame \w+)</th>', text)
    assert frames == ["Frame 5_0", "Frame 2_1", "Frame 2_2"]
    assert "0 of 9 found, 9 missed." in text
    assert "5 of 9 found, 4 missed." in text
    assert "9 of 9 found." in text
    assert text.count("<img") == 9


def test_classes_and_stacks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    volume = np.stack([cells(), cells()])
    write_image(tmp_path / "v.tif", volume, "ZYX")
    write_image(tmp_path / "grey.tif", volume.astype(np.float32), "ZYX")
    assert run(monkeypatch, "v.tif", "v.tif", "--report", "v.html", "--images", "grey.tif") == 0
    assert "One slice or part of it is shown." in Path("v.html").read_text(encoding="utf-8")
    classes = np.minimum(cells(), 2).astype(np.uint8)
    write_image(tmp_path / "c.tif", classes, "YX")
    words = ["c.tif", "c.tif", "--metrics", "overlap", "--report", "c.html"]
    assert run(monkeypatch, *words) == 0
    assert "wrong class" in Path("c.html").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--report", "scores.json"], r"--report scores.json; wanted a name in \*.html"),
        (["--images", "images"], "--images without --report"),
        (["--report", "s.html", "--images", "none"], "no file or folder none"),
        (["--report", "s.html", "--images", "wide"], r"as its labels"),
    ],
)
def test_what_is_wrong_is_told_and_no_page_is_left(
    words: list[str],
    told: str,
    folders: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(folders)
    for name in "abc":
        write_image(folder(folders / "wide") / f"{name}.tif", np.zeros((80, 90), np.uint8), "YX")
    assert run(monkeypatch, "predicted", "labels", *words) == 2
    errors = capsys.readouterr().err
    assert re.search(told, errors), errors
    assert not list(folders.glob("*.html"))
