"""The whole story in a real browser: paint, train, look, correct, reload, export."""

import math
import os
import re
import signal
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile

import biounet
from biounet.images.writing import write_image

sync_api = pytest.importorskip("playwright.sync_api", reason="needs playwright (pip)")
CHROMIUM = Path("/usr/bin/chromium")

pytestmark = pytest.mark.skipif(
    not CHROMIUM.exists(), reason=f"needs {CHROMIUM} (apt-get install chromium)"
)

SIDE = 192
CENTRES = [(40, 40), (40, 110), (95, 70), (90, 140), (150, 40), (150, 110), (150, 160)]
RADIUS = 15


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=str(CHROMIUM), args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Bright discs on a dark ground, 16 bit."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:SIDE, :SIDE]
    for name in ("one.tif", "two.tif"):
        image = rng.normal(500, 40, (SIDE, SIDE))
        for cy, cx in CENTRES:
            image[(y - cy) ** 2 + (x - cx) ** 2 < RADIUS**2] += 900
        tifffile.imwrite(tmp_path / name, image.astype(np.uint16))
    return tmp_path


@contextmanager
def running(folder: Path, how: signal.Signals = signal.SIGINT, *flags: str) -> Iterator[str]:
    """`biounet studio FOLDER` in a process of its own, ended by a signal; its address."""
    words = ["studio", str(folder), "--no-browser", *flags]
    process = subprocess.Popen(
        [sys.executable, "-m", "biounet", *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "2"},
    )
    try:
        assert process.stdout is not None
        yield process.stdout.readline().split(": ", 1)[1].strip()
    finally:
        process.send_signal(how)
        _, errors = process.communicate(timeout=30)
    assert process.returncode == 0
    assert errors == ""


class Person:
    """Someone at the page, in coordinates of the image."""

    def __init__(self, browser: Any, address: str, **options: Any) -> None:
        self.context = browser.new_context(viewport={"width": 1200, "height": 820}, **options)
        self.page = self.context.new_page()
        self.complaints: list[str] = []
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("console", self._heard)
        self.page.goto(address)
        self.page.wait_for_selector("#images button[aria-current]")

    def _heard(self, message: Any) -> None:
        if message.type in ("error", "warning") and "Failed to load" not in message.text:
            self.complaints.append(message.text)

    def at(self, y: float, x: float) -> tuple[float, float]:
        box = self.page.locator("#canvas").bounding_box()
        scale = min(box["width"], box["height"]) / SIDE * 0.96
        left = box["x"] + (box["width"] - SIDE * scale) / 2
        top = box["y"] + (box["height"] - SIDE * scale) / 2
        return left + x * scale, top + y * scale

    def stroke(self, *points: tuple[float, float]) -> None:
        mouse = self.page.mouse
        mouse.move(*self.at(*points[0]))
        mouse.down()
        for point in points[1:]:
            mouse.move(*self.at(*point), steps=2)
        mouse.up()

    def outline(self, centre: tuple[int, int], radius: float = RADIUS - 1) -> None:
        turns = [k * math.tau / 24 for k in range(26)]
        y, x = centre
        self.stroke(*((y + radius * math.sin(t), x + radius * math.cos(t)) for t in turns))

    def brush(self, radius: int) -> None:
        self.page.locator("#radius").fill(str(radius))

    def key(self, key: str) -> None:
        self.page.keyboard.press(key)

    def sees(self, selector: str, text: str, within_s: float = 15) -> None:
        sync_api.expect(self.page.locator(selector)).to_have_text(
            re.compile(text), timeout=1000 * within_s
        )

    def saves(self, button: str) -> Path:
        with self.page.expect_download() as download:
            self.page.click(button)
        return Path(download.value.path())


def labels_of(folder: Path, name: str = "one") -> Any:
    return tifffile.imread(folder / "labels" / f"{name}_labels.tif")


def test_the_whole_story(browser: Any, folder: Path, tmp_path: Path) -> None:
    with running(folder) as address:
        person = Person(browser, address)
        person.brush(2)
        person.outline(CENTRES[0])
        person.outline(CENTRES[3])
        person.sees("#counts", "^2 cells, 0 % background; the rest is not annotated")
        person.sees("#saved", "All strokes saved")
        labels = labels_of(folder)
        assert labels[CENTRES[0]] == 1  # the outline was filled
        assert labels[CENTRES[3]] == 2
        area = math.pi * RADIUS**2
        assert all(0.8 * area < (labels == k).sum() < 1.25 * area for k in (1, 2))

        person.page.click("#train")
        person.sees("#problem", "Found cells but no background")

        person.key("g")
        person.brush(5)
        person.stroke((68, 20), (68, 45), (60, 45))
        person.stroke((10, 70), (125, 10))
        person.stroke((60, 165), (15, 165), (15, 80))
        person.stroke((120, 150), (122, 120), (112, 95))
        person.sees("#saved", "All strokes saved")
        painted = labels_of(folder)
        person.key("Control+z")
        person.sees("#saved", "All strokes saved")
        assert (labels_of(folder) == 0).sum() < (painted == 0).sum()
        person.key("Control+Shift+Z")
        person.sees("#saved", "All strokes saved")
        person.sees("#counts", "2 cells, [0-9]+ % background")
        assert np.array_equal(labels_of(folder), painted)

        person.page.select_option("#minutes", "3")
        person.page.click("#train")
        person.sees("#train", "Stop")
        person.sees("#loss-now", "at step [0-9]+", 40)
        person.sees("#prediction-note", r"^([6-9]|\d\d+) cells after \d+ steps", 100)
        person.page.click("#train")
        person.sees("#status", "Model 001 is ready", 30)

        person.page.click("#accept-all")
        person.sees("#toast", "cells? accepted")
        person.sees("#saved", "All strokes saved")
        accepted = labels_of(folder)
        assert (accepted[painted != 65535] == painted[painted != 65535]).all()
        found = [accepted[c] for c in CENTRES]
        n_found = sum(value not in (0, 65535) for value in found)
        assert n_found >= 5
        person.key("e")
        person.brush(4)
        person.stroke((40, 20), (40, 60))
        person.key("v")
        person.page.mouse.click(*person.at(*CENTRES[3]))
        person.key("Delete")
        person.sees("#saved", "All strokes saved")
        corrected = labels_of(folder)
        assert corrected[CENTRES[0]] == 65535
        assert not (corrected == 2).any()

        n_cells = len(set(np.unique(corrected)) - {0, 65535})
        person.sees("#counts", f"^{n_cells} cells,")
        words = person.page.inner_text("#counts")
        person.page.reload()
        person.sees("#counts", re.escape(words))
        person.sees("#train", "Train on")
        assert person.complaints == []

    with running(folder) as address:  # the studio was stopped and started again
        person = Person(browser, address)
        person.sees("#counts", re.escape(words))
        assert np.array_equal(labels_of(folder), corrected)
        person.page.click("#rest")
        person.sees("#counts", r"background$")
        person.sees("#status", "Model 001 is ready")
        person.page.click("#segment")
        person.sees("#prediction-note", r"cells? after \d+ steps\.$", 30)
        segmentation = tifffile.imread(person.saves("#export-segmentation"))
        packed = zipfile.ZipFile(person.saves("#export-labels"))
        assert sorted(packed.namelist()) == ["labels/biounet.json", "labels/one_labels.tif"]
        model_file = tmp_path / "model.safetensors"
        model_file.write_bytes(person.saves("#export-model").read_bytes())
        person.page.select_option("#minutes", "0.5")
        person.key("Escape")
        person.page.click("#train")  # trains on
        person.sees("#status", "Training, step", 30)
        person.page.click("#train")
        person.sees("#status", "Model 002 is ready", 30)
        assert person.complaints == []
    model = biounet.load(model_file)
    assert (
        model.file.settings.network.width
        == biounet.load(folder / "runs/002").file.settings.network.width
    )
    again = model.segment(folder / "one.tif")
    assert ((again > 0) == (segmentation > 0)).mean() > 0.99
    assert set(np.unique(labels_of(folder))) == {0, *np.unique(corrected)} - {65535}


def test_a_network_that_comes_along_is_corrected(browser: Any, folder: Path) -> None:
    """Segmented before anything is painted, accepted, and trained on."""
    with running(folder, signal.SIGINT, "--from", "nuclei") as address:
        person = Person(browser, address)
        person.sees("#status", "Model nuclei is ready")
        person.page.click("#segment")
        person.sees("#prediction-note", f"{len(CENTRES)} cells", 30)
        person.page.click("#accept-all")
        person.sees("#counts", f"^{len(CENTRES)} cells,")
        person.page.click("#rest")
        person.sees("#saved", "All strokes saved")
        assert {labels_of(folder)[centre] for centre in CENTRES} == set(range(1, 8))
        person.page.click("#train")
        person.sees("#status", "Training, step", 40)
        person.page.click("#train")
        person.sees("#status", "Model 001 is ready", 30)
        assert person.complaints == []
    trained = biounet.load(folder / "runs/001").file.settings.network
    assert trained == biounet.load("nuclei").file.settings.network


def test_narrow_gaps_between_cells_are_background(browser: Any, folder: Path) -> None:
    with running(folder) as address:
        person = Person(browser, address)
        person.brush(1)
        person.outline((60, 60), 15)
        person.outline((60, 94), 15)
        person.sees("#saved", "All strokes saved")
        labels = labels_of(folder)
        across = labels[60, 60:95]
        assert set(across) == {0, 1, 2}
        assert 2 <= (across == 0).sum() <= 5
        assert labels[40, 77] == 65535  # further away nothing is known
        person.key("Control+z")  # one stroke, with what followed from it
        person.sees("#saved", "All strokes saved")
        assert set(np.unique(labels_of(folder))) == {1, 65535}
        person.page.click("#rest")
        person.sees("#counts", "background$")
        person.outline((60, 94), 15)
        person.sees("#saved", "All strokes saved")
        person.page.click("#rest")
        person.sees("#counts", "the rest is not annotated$")
        assert labels_of(folder)[60, 77] == 65535  # the switch's background was not painted


def test_two_tabs_at_once(browser: Any, folder: Path) -> None:
    with running(folder) as address:
        first, second = Person(browser, address), Person(browser, address)
        first.outline(CENTRES[0])
        second.sees("#toast", "changed in another tab. It was loaded again")
        second.sees("#counts", "^1 cell,")
        # both paint at the same moment: the server hears one of them first
        second.page.route("**/api/events", lambda route: route.abort())
        second.page.reload()
        second.sees("#counts", "^1 cell,")
        first.outline(CENTRES[1])
        first.sees("#saved", "All strokes saved")
        second.outline(CENTRES[2])
        second.sees("#toast", "your latest strokes on top")
        second.sees("#counts", "^3 cells,")
        first.sees("#counts", "^3 cells,")
        second.sees("#saved", "All strokes saved")
        labels = labels_of(folder)
        assert [labels[c] for c in CENTRES[:3]] == [1, 2, 3]


def test_nothing_painted_is_lost_when_the_folder_disappears(browser: Any, folder: Path) -> None:
    with running(folder) as address:
        person = Person(browser, address)
        person.outline(CENTRES[0])
        person.sees("#saved", "All strokes saved")
        gone = folder.rename(folder.with_name("gone"))
        person.outline(CENTRES[1])
        person.sees("#saved", "1 change not saved")
        person.sees("#toast", "Not saved, but kept in this page: .*no folder")
        person.outline(CENTRES[2])
        person.sees("#saved", "2 changes not saved")
        gone.rename(folder)
        person.sees("#saved", "All strokes saved")
        labels = labels_of(folder)
        assert [labels[c] for c in CENTRES[:3]] == [1, 2, 3]


def test_a_stack_slice_by_slice(browser: Any, tmp_path: Path) -> None:
    image = np.random.default_rng(0).integers(0, 99, (2, 4, SIDE, SIDE)).astype(np.uint8)
    write_image(tmp_path / "s.tif", image, "TZYX")
    with running(tmp_path) as address:
        person = Person(browser, address)
        person.sees("#where", "192 × 192 px, 2 × 4 slices, 8 bit")
        person.page.keyboard.press("[")
        person.outline(CENTRES[0])
        person.sees("#counts", "^1 cell in this slice")
        person.key(".")
        person.sees("#planes output >> nth=1", "2 / 4")
        person.sees("#counts", "^0 cells in this slice")
        person.key("a")  # the same cell goes on in the next slice
        person.stroke((40, 35), (40, 50))
        person.key("n")
        person.outline(CENTRES[3])
        person.sees("#counts", "^2 cells in this slice")
        person.page.locator('#planes [data-axis="T"]').fill("1")
        person.sees("#counts", "^0 cells in this slice")
        person.outline(CENTRES[4])
        person.sees("#saved", "All strokes saved")
        ids = [[set(np.unique(z)) - {65535} for z in t] for t in labels_of(tmp_path, "s")]
        assert ids == [[{1}, {1, 2}, set(), set()], [set(), {3}, set(), set()]]
        for _ in range(2):  # what was painted can be undone after one looked elsewhere
            person.key(",")
            person.sees("#counts", "^0 cells in this slice")
            person.key(".")
            person.sees("#counts", "^1 cell in this slice")
        person.key("Control+z")
        person.sees("#counts", "^0 cells in this slice")
        person.sees("#saved", "All strokes saved")
        assert set(np.unique(labels_of(tmp_path, "s")[1])) == {65535}
        person.page.reload()
        person.sees("#planes output >> nth=0", "2 / 2")
        person.page.mouse.move(*person.at(20, 20))
        person.page.keyboard.down("Alt")
        person.page.mouse.wheel(0, 100)
        person.page.keyboard.up("Alt")
        person.sees("#planes output >> nth=1", "3 / 4")
        assert person.complaints == []


@pytest.mark.parametrize(
    "how", [signal.SIGTERM, pytest.param(signal.SIGHUP, marks=pytest.mark.slow)]
)
def test_a_studio_that_is_ended_keeps_what_was_learned(
    browser: Any, folder: Path, how: signal.Signals
) -> None:
    with running(folder, how) as address:
        person = Person(browser, address)
        person.brush(2)
        person.outline(CENTRES[0])
        person.page.click("#rest")
        person.sees("#counts", "background$")
        person.page.click("#train")
        person.sees("#status", "Training, step", 40)
    model = biounet.load(folder / "runs/001")
    assert model.file.provenance["steps"] >= 1
    person.sees("#status", "cannot be reached")


def test_fingers(browser: Any, folder: Path) -> None:
    """Two fingers zoom and leave no stroke; one paints."""
    with running(folder) as address:
        person = Person(browser, address, has_touch=True)
        cdp = person.context.new_cdp_session(person.page)

        def touch(kind: str, *points: tuple[float, float]) -> None:
            at = [{"x": x, "y": y, "id": k} for k, (x, y) in enumerate(points)]
            cdp.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": at})

        before = int(person.page.inner_text("#zoom-fit").split()[0])
        touch("touchStart", (500, 400))
        touch("touchMove", (495, 400))
        touch("touchStart", (495, 400), (600, 400))
        for k in range(1, 11):
            touch("touchMove", (495 - 5 * k, 400), (600 + 5 * k, 400))
        touch("touchEnd")
        after = int(person.page.inner_text("#zoom-fit").split()[0])
        assert after == pytest.approx(before * 205 / 105, rel=0.08)
        assert not (folder / "labels").exists()
        touch("touchStart", (500, 400))
        touch("touchMove", (520, 420))
        touch("touchEnd")
        person.sees("#counts", "^1 cell,")


PAN_AND_ZOOM = """async () => {
  const canvas = document.getElementById("canvas"), box = canvas.getBoundingClientRect();
  const frames = [];
  const frame = () => new Promise((go) => requestAnimationFrame(() => go(performance.now())));
  canvas.setPointerCapture = () => {};
  const pointer = (kind, x, y) => canvas.dispatchEvent(new PointerEvent(kind, {
    clientX: box.left + x, clientY: box.top + y, pointerId: 1, button: 1, bubbles: true }));
  let last = await frame();
  for (let k = 0; k < 360; k++) {
    const t = k / 60;
    if (k % 120 === 0) pointer("pointerdown", 300, 300);
    const [x, y] = [300 + 250 * Math.sin(2 * t), 300 + 200 * Math.cos(3 * t)];
    if (k % 120 < 60) pointer("pointermove", x, y);
    if (k % 120 === 60) pointer("pointerup", 300, 300);
    if (k % 120 >= 60) canvas.dispatchEvent(new WheelEvent("wheel", {
      deltaY: 14 * (k % 240 < 120 ? -1 : 1), clientX: box.left + 400, clientY: box.top + 300,
      bubbles: true, cancelable: true }));
    const now = await frame();
    if (k > 60) frames.push(now - last);
    last = now;
  }
  return frames.sort((a, b) => a - b);
}"""


@pytest.mark.slow
def test_pan_and_zoom_of_a_large_image_are_smooth(browser: Any, tmp_path: Path) -> None:
    """16 bit, 4096 x 4096, a thousand cells: the typical frame takes its 16.7 ms."""
    y, x = np.mgrid[:4096, :4096].astype(np.float32)
    waves = np.sin(x / 20) * np.sin(y / 20)
    tifffile.imwrite(tmp_path / "large.tif", (20000 + 9000 * waves).astype(np.uint16))
    (tmp_path / "labels").mkdir()
    ids = (1 + (y // 126) * 32 + x // 126).astype(np.uint16)
    tifffile.imwrite(
        tmp_path / "labels/large_labels.tif", np.where(waves > 0.3, ids, 0), compression="zlib"
    )
    with running(tmp_path) as address:
        person = Person(browser, address)
        person.sees("#counts", "cells, ")
        person.page.evaluate(PAN_AND_ZOOM)  # the tiles are loaded
        frames = person.page.evaluate(PAN_AND_ZOOM)
        assert frames[len(frames) // 2] < 20, frames
        assert frames[int(0.9 * len(frames))] < 40, frames


def test_every_control_has_a_name_and_fits(browser: Any, folder: Path) -> None:
    with running(folder) as address:
        person = Person(browser, address)
        nameless = person.page.evaluate(
            """() => [...document.querySelectorAll("button, input, select, canvas")].filter(e =>
              !(e.getAttribute("aria-label") || e.textContent.trim() || e.labels?.length)
            ).map(e => e.outerHTML)"""
        )
        assert nameless == []
        for width, height in ((1280, 800), (820, 1180), (390, 780)):
            person.page.set_viewport_size({"width": width, "height": height})
            assert person.page.evaluate("document.documentElement.scrollWidth") <= width
            if width < 1000:
                person.page.click("#panel-toggle")
            person.page.click("#auto")
            if width < 1000:
                person.page.click("#panel-toggle")
        assert person.complaints == []
