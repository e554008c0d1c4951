"""The demonstration on a real set: how it is divided, what is scored, and fetching one."""

import functools
import hashlib
import http.server
import re
import sys
import threading
import time
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from biounet import demo
from biounet.api import train_dataset
from biounet.cli import main
from biounet.errors import InputError
from biounet.images.dataset import DataSet
from biounet.images.layouts.find import find_dataset
from biounet.images.public.sets import PUBLIC_SETS, PublicSet
from biounet.images.reading import read_image
from biounet.images.writing import write_image
from biounet.learning.setup import Request

KNOWN = np.zeros((40, 44), np.uint16)
KNOWN[4:16, 4:16], KNOWN[22:36, 20:40] = 1, 2


def write(path: Path, array: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_image(path, array, "YX")


def a_film(folder: Path, sequences: tuple[str, ...], unknown: bool = False) -> Path:
    """Three gold frames a sequence; `unknown`: of one cell only the marker, nobody outlined it."""
    for sequence in sequences:
        for frame in range(3):
            write(folder / sequence / f"t{frame:03d}.tif", (KNOWN > 0).astype(np.uint8) * 100)
            gold = np.where(KNOWN == 2, 0, KNOWN) if unknown else KNOWN
            write(folder / f"{sequence}_GT" / "SEG" / f"man_seg{frame:03d}.tif", gold)
            if unknown:
                write(folder / f"{sequence}_GT" / "TRA" / f"man_track{frame:03d}.tif", KNOWN)
    return folder


class Truth:
    """In place of a trained network: finds both cells in every image."""

    def segment(self, path: Path) -> np.ndarray:
        assert read_image(path).data.shape == KNOWN.shape
        return KNOWN.astype(np.int32)


@pytest.fixture
def training(monkeypatch: pytest.MonkeyPatch) -> list[DataSet]:
    """What would be trained on; a run is made in two steps, and the truth is predicted."""
    seen: list[DataSet] = []

    def train_shortly(dataset: DataSet, request: Request, out: Path, *rest: Any) -> Truth:
        seen.append(dataset)
        said = {
            "network": {"width": 4, "depth": 1},
            "training": {"steps": 2, "patch_px": 24, "validations": 1},
        }
        request = Request("fast", said, "cpu", None, request.started, request.command)
        train_dataset(dataset, request, out, *rest)
        return Truth()

    monkeypatch.setattr(demo, "train_dataset", train_shortly)
    return seen


def names(items: Any) -> list[str]:
    return [item.name for item in items]


def test_other_sequences_are_held_out(training: list[DataSet], tmp_path: Path) -> None:
    film = a_film(tmp_path / "film", ("01", "02"))
    out = tmp_path / "out"
    result = demo.run_demo(out, None, time.monotonic(), lambda _: None, film)
    assert names(training[0].items) == ["01/t000", "01/t001", "01/t002"]
    assert result.ap50 == 1.0
    assert sorted(p.stem for p in (out / "predicted").iterdir()) == [
        f"02_t00{k}_labels" for k in range(3)
    ]
    page = result.report.read_text(encoding="utf-8")
    assert ">film<" in page
    assert "3 images with their truth to learn from; 3 others" in page
    assert re.search(r"biounet demo --real \S*film", page)


def test_what_nobody_annotated_is_no_mistake(training: list[DataSet], tmp_path: Path) -> None:
    film = a_film(tmp_path / "film", ("01",), unknown=True)
    result = demo.run_demo(tmp_path / "out", None, time.monotonic(), lambda _: None, film)
    assert len(training[0].items) == 2
    assert result.ap50 == 1.0  # the second cell counts neither for nor against
    page = result.report.read_text(encoding="utf-8")
    assert "1 of 1 found. AP50 1.00" in page
    assert ", 1 extra" not in page


@pytest.mark.usefixtures("training")
def test_ids_of_more_than_16_bits_are_kept(tmp_path: Path) -> None:
    for number in range(3):
        write(tmp_path / "set/images" / f"{number}.tif", (KNOWN * 50).astype(np.uint8))
        write(tmp_path / "set/labels" / f"{number}.tif", KNOWN.astype(np.uint32) * 65537)
    demo.run_demo(tmp_path / "out", None, time.monotonic(), lambda _: None, tmp_path / "set")
    written = np.asarray(read_image(tmp_path / "out/test/labels/2.tif").data)
    assert np.unique(written).tolist() == [0, 65537, 2 * 65537]


def test_the_pieces_of_a_mask_are_its_objects(training: list[DataSet], tmp_path: Path) -> None:
    for number in range(6):
        write(tmp_path / "set/images" / f"{number}.tif", (KNOWN * 50).astype(np.uint8))
        write(tmp_path / "set/labels" / f"{number}.tif", (KNOWN > 0).astype(np.uint8) * 255)
    result = demo.run_demo(
        tmp_path / "out", None, time.monotonic(), lambda _: None, tmp_path / "set"
    )
    assert (names(training[0].items), result.ap50) == (["0", "1", "2", "3"], 1.0)


def test_sets_that_cannot_be_divided(tmp_path: Path) -> None:
    write(tmp_path / "one/images/a.tif", KNOWN.astype(np.uint8))
    write(tmp_path / "one/labels/a.tif", KNOWN)
    with pytest.raises(InputError, match="1 annotated image"):
        demo._divided(find_dataset([tmp_path / "one"]), tmp_path / "test")
    classes = find_dataset([tmp_path / "one"], labels_are="classes")
    with pytest.raises(InputError, match="class maps"):
        demo._divided(classes, tmp_path / "test")


def run(monkeypatch: pytest.MonkeyPatch, *words: str | Path) -> int:
    monkeypatch.setattr(sys, "argv", ["biounet", *map(str, words)])
    with pytest.raises(SystemExit) as exit_:
        main()
    return int(exit_.value.code or 0)


@pytest.mark.usefixtures("training")
def test_a_public_set_is_fetched_when_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    film = a_film(tmp_path / "made", ("01", "02"))
    archive = tmp_path / "served" / "film.zip"
    archive.parent.mkdir()
    with zipfile.ZipFile(archive, "w") as file:
        for path in film.rglob("*.tif"):
            file.write(path, Path("film") / path.relative_to(film))
    handler = functools.partial(
        type("Quiet", (http.server.SimpleHTTPRequestHandler,), {"log_message": lambda *_: None}),
        directory=str(archive.parent),
    )
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}/film.zip"
        digest = hashlib.sha256(archive.read_bytes()).hexdigest()
        monkeypatch.setitem(PUBLIC_SETS, "film", PublicSet("film", url, "Cite us.", digest))
        words = ("demo", "--out", tmp_path / "out", "--real", tmp_path / "sets" / "film")
        assert run(monkeypatch, *words) == 2
        assert "add --download to fetch one of isbi2012" in capsys.readouterr().err
        assert not (tmp_path / "sets").exists()
        assert run(monkeypatch, *words, "--download") == 0
        server.shutdown()
    told = capsys.readouterr().out
    assert f"verified: sha256 {digest}. Cite us." in told
    assert "AP50 1.00" in told
    assert (tmp_path / "sets/film/02_GT").is_dir()


def test_download_needs_a_name(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, "demo", "--download") == 2
    assert "add --real" in capsys.readouterr().err
