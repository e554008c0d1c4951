"""The downloader's real code against a real server on this machine."""

import hashlib
import http.server
import io
import threading
import zipfile
from dataclasses import replace

import numpy as np
import pytest
import tifffile

from biounet.errors import InputError
from biounet.images import download, find_dataset
from biounet.images.public import sets
from biounet.images.public.sets import PUBLIC_SETS
from biounet.images.public.unpacking import unpack_zip

NAME = "DIC-C2DH-HeLa"


def tiff(value):
    content = io.BytesIO()
    tifffile.imwrite(content, np.full((12, 16), value, np.uint16))
    return content.getvalue()


def zipped(files, *, compression=zipfile.ZIP_STORED):
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", compression) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return content.getvalue()


GOOD = zipped(
    {
        f"{NAME}/01/t000.tif": tiff(9),
        f"{NAME}/01_GT/SEG/man_seg000.tif": tiff(1),
        f"{NAME}/01/t001.tif": tiff(9),
    }
)


class Handler(http.server.BaseHTTPRequestHandler):
    """Serves `server.files`; breaks off after `server.most` bytes; knows ranges when told to."""

    def do_GET(self):
        self.server.asked.append(self.headers.get("Range"))
        if self.server.moved and self.path.startswith("/old/"):
            self.send_response(302)
            self.send_header("Location", self.path.replace("/old/", "/"))
            self.end_headers()
            return
        content = self.server.files.get(self.path)
        if content is None:
            self.send_error(404)
            return
        start = 0
        asked = self.headers.get("Range")
        if asked and self.server.knows_ranges:
            start = int(asked.removeprefix("bytes=").rstrip("-"))
            if start >= len(content):
                self.send_error(416)
                return
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        else:
            self.send_response(200)
        self.send_header("Content-Length", str(len(content) - start))
        self.end_headers()
        self.wfile.write(content[start:][: self.server.most])

    def log_message(self, *_args):
        pass


@pytest.fixture
def server():
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
        running.files = {f"/{NAME}.zip": GOOD}
        running.asked, running.most, running.knows_ranges, running.moved = [], None, True, False
        running.url = f"http://127.0.0.1:{running.server_port}"
        thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield running
        running.shutdown()
        thread.join()


def test_a_set_arrives_and_is_understood(tmp_path, server):
    seen = []
    result = download(
        NAME, tmp_path / "new", base_url=server.url, on_progress=lambda *n: seen.append(n)
    )
    assert result.folder == tmp_path / "new" / NAME
    assert [p.name for p in (tmp_path / "new").iterdir()] == [NAME]
    assert find_dataset([result.folder]).items[0].name == "01/t000"
    assert seen[-1] == (len(GOOD), len(GOOD))
    assert result.sha256 == hashlib.sha256(GOOD).hexdigest()
    assert not result.verified
    assert "not verified: no checksum" in result.note
    assert "cite" in result.note


def test_what_is_there_is_not_fetched_again(tmp_path, server):
    download(NAME, tmp_path, base_url=server.url)
    again = download(NAME, tmp_path, base_url=server.url)
    assert "there already" in again.note
    assert len(server.asked) == 1


@pytest.mark.parametrize("knows_ranges", [True, False])
def test_a_broken_download_goes_on(tmp_path, server, knows_ranges):
    server.most, server.knows_ranges = 300, knows_ranges
    with pytest.raises(InputError, match=rf"broke off after 300 of {len(GOOD)} bytes"):
        download(NAME, tmp_path, base_url=server.url)
    assert not (tmp_path / NAME).exists()
    server.most = None
    result = download(NAME, tmp_path, base_url=server.url)
    assert server.asked == [None, "bytes=300-"]
    assert result.sha256 == hashlib.sha256(GOOD).hexdigest()
    assert [p.name for p in tmp_path.iterdir()] == [NAME]


def test_a_part_that_is_longer_than_the_file_starts_again(tmp_path, server):
    (tmp_path / f".tmp-{NAME}.zip.part").write_bytes(bytes(len(GOOD) + 5))
    result = download(NAME, tmp_path, base_url=server.url)
    assert result.sha256 == hashlib.sha256(GOOD).hexdigest()


def test_redirects_are_followed(tmp_path, server):
    server.moved = True
    assert download(NAME, tmp_path, base_url=f"{server.url}/old").folder.is_dir()


@pytest.mark.parametrize("right", [True, False])
def test_checksums(tmp_path, server, monkeypatch, right):
    digest = hashlib.sha256(GOOD if right else b"").hexdigest()
    monkeypatch.setitem(sets.PUBLIC_SETS, NAME, replace(PUBLIC_SETS[NAME], sha256=digest))
    if right:
        result = download(NAME, tmp_path, base_url=server.url)
        assert result.verified
        assert result.note.startswith("verified")
        return
    with pytest.raises(InputError, match=r"wrong checksum.*sha256"):
        download(NAME, tmp_path, base_url=server.url)
    assert list(tmp_path.iterdir()) == []


def link(name):
    info = zipfile.ZipInfo(name)
    info.external_attr = 0o120777 << 16
    return info


@pytest.mark.parametrize(
    ("content", "found"),
    [
        (zipped({"../evil.tif": b"x"}), "write outside its folder"),
        (zipped({"a/../../evil.tif": b"x"}), "write outside its folder"),
        (zipped({"/evil.tif": b"x"}), "write outside its folder"),
        (zipped({"a\\..\\..\\evil.tif": b"x"}), "write outside its folder"),
        (zipped({"C:/evil.tif": b"x"}), "write outside its folder"),
        (zipped({link("a/b"): b"/etc/passwd"}), "write outside its folder"),
        (b"<html>no such file</html>", "damaged or unknown zip"),
        (GOOD[: len(GOOD) // 2], "damaged or unknown zip"),
        (GOOD.replace(b"\x09\x00\x09\x00", b"\x08\x00\x08\x00"), "damaged or unknown zip"),
        (zipped({}), "an empty zip"),
    ],
)
def test_dangerous_and_damaged_archives(tmp_path, server, content, found):
    server.files[f"/{NAME}.zip"] = content
    with pytest.raises(InputError, match=found):
        download(NAME, tmp_path / "data", base_url=server.url)
    assert [p.name for p in tmp_path.iterdir()] == ["data"]
    assert list((tmp_path / "data").iterdir()) == []


def test_an_archive_that_would_fill_the_disk(tmp_path, monkeypatch):
    monkeypatch.setattr("biounet.images.public.unpacking.ALWAYS_ALLOWED_BYTES", 1000)
    bomb = zipped({"a": bytes(10**6)}, compression=zipfile.ZIP_DEFLATED)
    (tmp_path / "x.zip").write_bytes(bomb)
    with pytest.raises(InputError, match="unpacks to 1 files of 1000000 bytes"):
        unpack_zip(tmp_path / "x.zip", tmp_path / "x")
    assert not (tmp_path / "x").exists()


def test_an_archive_that_lies_about_its_size(tmp_path):
    """The unpacked bytes stop at the size that was declared, and the check fails."""
    bomb = bytearray(zipped({"a": bytes(10**6)}, compression=zipfile.ZIP_DEFLATED))
    size = (10**6).to_bytes(4, "little")
    assert bomb.count(size) == 2
    (tmp_path / "x.zip").write_bytes(bytes(bomb).replace(size, (50).to_bytes(4, "little")))
    with pytest.raises(InputError, match="damaged or unknown zip"):
        unpack_zip(tmp_path / "x.zip", tmp_path / "x")
    assert sum(p.stat().st_size for p in tmp_path.rglob("a")) <= 50


@pytest.mark.parametrize(
    ("name", "base_url", "found"),
    [
        ("nothing", None, "no public set 'nothing'.*isbi2012"),
        (NAME, "file:///etc", "the address file"),
        (NAME, "http://127.0.0.1:9", "no download from http://127.0.0.1:9/DIC-C2DH-HeLa.zip"),
        ("isbi2012", "SERVER", "the server answers 404"),
    ],
)
def test_addresses_that_do_not_work(tmp_path, server, name, base_url, found):
    with pytest.raises(InputError, match=found):
        url = server.url if base_url == "SERVER" else base_url
        download(name, tmp_path, base_url=url)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_made(tmp_path, server):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="no folder"):
        download(NAME, tmp_path / "file" / "data", base_url=server.url)


def test_every_set_has_an_address_and_terms():
    for name, public in PUBLIC_SETS.items():
        assert public.name == name
        assert public.url.startswith("https://")
        assert public.url.endswith(".zip")
        assert "cite" in public.terms
        assert public.sha256 is None or len(public.sha256) == 64
