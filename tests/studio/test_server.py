"""The addresses, asked over a real socket."""

import gzip
import http.client
import io
import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
import pytest
import tifffile


@pytest.fixture
def folder(write_images: Callable[..., Path], tmp_path: Path) -> Path:
    return write_images(tmp_path / "data")


@pytest.fixture
def served(serve: Callable[[Path], Any], folder: Path) -> Any:
    return serve(folder)


def test_an_image_and_its_tiles(served: Any, folder: Path) -> None:
    about = served.get("api/image?name=a.tif").json
    assert (about["height"], about["width"], about["n_bits"]) == (60, 80, 16)
    tile = served.get("api/tile?name=a.tif&level=0&row=0&column=0&channel=0")
    image = tifffile.imread(folder / "a.tif")
    assert np.array_equal(np.frombuffer(tile.body, "<u2").reshape(60, 80), image)
    outside = served.get("api/tile?name=a.tif&level=0&row=1&column=0&channel=0")
    assert outside.status == 422
    assert "tile 0/1/0" in outside.json["found"]
    for wrong in ("level=x", "level=-1", "level=99999999999", ""):
        assert served.get(f"api/tile?name=a.tif&row=0&column=0&{wrong}").status == 422


@pytest.mark.parametrize("name", ["../data/a.tif", "/etc/passwd", "..%2f..", "labels", "x" * 9000])
def test_names_outside_the_folder(served: Any, name: str) -> None:
    for path in ("api/image", "api/tile", "api/labels", "export/segmentation.tif"):
        answer = served.get(f"{path}?name={quote(name)}&level=0&row=0&column=0")
        assert answer.status == 422
        assert answer.json["found"].startswith("no image")
    for path, more in (("segment", {}), ("rest", {"version": 1, "is_background": True})):
        assert served.post(f"api/{path}", {"name": name, **more}).status == 422


def test_two_tabs(served: Any, sent_patch: Callable[..., Any], folder: Path) -> None:
    patch = sent_patch(3, 4, np.full((5, 6), 1))
    first = {"name": "a.tif", "version": 1, "patches": [patch]}
    assert served.post("api/strokes", first).json == {"version": 2}
    late = served.post("api/strokes", {**first, "patches": [sent_patch(0, 0, np.full((2, 2), 9))]})
    assert late.status == 409
    assert "changed elsewhere" in late.json["found"]
    labels = served.get("api/labels?name=a.tif")
    about = json.loads(labels.headers["x-about"])
    assert about == {"version": 2, "rest_is_background": False, "last_id": 1}
    seen = np.frombuffer(gzip.decompress(labels.body), "<u2").reshape(60, 80)
    assert np.array_equal(seen, tifffile.imread(folder / "labels/a_labels.tif"))
    assert 9 not in seen
    served.post("api/rest", {"name": "a.tif", "version": 2, "is_background": True})
    erased = {**first, "version": 2, "patches": [sent_patch(3, 4, np.full((5, 6), 65535))]}
    assert served.post("api/strokes", erased).status == 409  # late, before it is rubbish


def test_rubbish_is_answered_in_words(served: Any, sent_patch: Callable[..., Any]) -> None:
    bad = sent_patch(55, 0, np.ones((10, 10)))
    sent = {"name": "a.tif", "version": 1, "patches": [bad]}
    answer = served.post("api/strokes", sent)
    assert answer.status == 422
    assert set(answer.json) == {"found", "wanted", "remedy"}
    for path in ("strokes", "rest", "view", "train", "stop", "segment"):
        answer = served.post(f"api/{path}", ["rubbish"])
        assert answer.status == 422
        assert "cannot be understood" in answer.json["found"]
    for minutes in (0, -1, 1e9, "much", float("nan")):
        assert served.post("api/train", {"minutes": minutes}).status == 422


def test_a_folder_that_disappears(
    served: Any, sent_patch: Callable[..., Any], folder: Path
) -> None:
    assert served.get("api/labels?name=a.tif").status == 200
    folder.rename(folder.with_name("gone"))
    sent = {"name": "a.tif", "version": 1, "patches": [sent_patch(0, 0, np.ones((3, 3)))]}
    answer = served.post("api/strokes", sent)
    assert answer.status == 422
    assert "no folder" in answer.json["found"]
    assert served.get("api/state").status == 422
    folder.with_name("gone").rename(folder)
    assert served.post("api/strokes", sent).json == {"version": 2}


def test_exports(served: Any, sent_patch: Callable[..., Any]) -> None:
    assert "no annotation" in served.get("export/labels.zip").json["found"]
    assert "no model" in served.get("export/model.safetensors").json["found"]
    assert served.get("export/segmentation.tif?name=a.tif").status == 422
    sent = {"name": "a.tif", "version": 1, "patches": [sent_patch(0, 0, np.ones((3, 3)))]}
    served.post("api/strokes", sent)
    packed = zipfile.ZipFile(io.BytesIO(served.get("export/labels.zip").body))
    assert sorted(packed.namelist()) == ["labels/a_labels.tif", "labels/biounet.json"]


def test_pages_hear_of_strokes(served: Any, sent_patch: Callable[..., Any]) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", served.port, timeout=10)
    connection.request("GET", f"/{served.token}/api/events")
    stream = connection.getresponse()
    assert stream.readline() == b"event: hello\n"
    sent = {"name": "b.tif", "version": 1, "patches": [sent_patch(0, 0, np.ones((3, 3)))]}
    served.post("api/strokes", sent)
    lines = [stream.readline() for _ in range(4)]
    assert lines[2] == b"event: annotation\n"
    assert json.loads(lines[3].removeprefix(b"data: ")) == {
        "name": "b.tif",
        "plane": 0,
        "version": 2,
    }
    stream.close()
    connection.close()


def test_a_damaged_image_is_told(served: Any, folder: Path) -> None:
    whole = (folder / "a.tif").read_bytes()
    (folder / "c.tif").write_bytes(whole[: len(whole) // 2])
    answer = served.get("api/image?name=c.tif")
    assert answer.status == 422
    assert "damaged" in answer.json["found"]
