"""The page in a real browser: quiet, alone, light and dark, wide and narrow, on paper."""

import io
import itertools
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from biounet.learning.run_folder import RunFolder
from biounet.report import write_report

playwright = pytest.importorskip("playwright.sync_api")

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "chrome"))), None)
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium (apt install chromium)")

PAPER = {"light": (251, 250, 247), "dark": (20, 23, 26)}
BROKEN = "[...document.images].filter(i => !i.complete || !i.naturalWidth).length"
SIDEWAYS = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
CLIPPED = """[...document.querySelectorAll('main *, header *')]
    .filter(e => !e.closest('.table, .chart') && e.getBoundingClientRect().right > innerWidth + 1)
    .map(e => e.outerHTML.slice(0, 80))"""
TEXT_PX = """[...document.querySelectorAll('.chart text')]
    .map(t => t.getBoundingClientRect().height).reduce((a, b) => Math.min(a, b), 99)"""


@pytest.fixture(scope="module")
def address(trained: RunFolder, tmp_path_factory: pytest.TempPathFactory) -> str:
    path = Path(shutil.copytree(trained.path, tmp_path_factory.mktemp("browser") / "run"))
    return write_report(path).as_uri()


@pytest.fixture(scope="module")
def browser() -> Iterator[object]:
    with playwright.sync_playwright() as started:
        opened = started.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield opened
        opened.close()


@pytest.fixture
def page(browser, address: str) -> Iterator[object]:
    """A page opened with a record of what it said and asked for, which must be nothing."""
    said, asked = [], []
    opened = browser.new_page(viewport={"width": 1200, "height": 900})
    opened.on("console", lambda message: said.append(message.text))
    opened.on("pageerror", lambda error: said.append(str(error)))
    opened.on("request", lambda request: asked.append(request.url))
    opened.goto(address)
    yield opened
    opened.close()
    assert said == []
    assert [url for url in asked if not url.startswith("data:")] == [address]


def picture(page) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(page.screenshot())).convert("RGB"))


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_light_and_dark(page, scheme: str) -> None:
    page.emulate_media(color_scheme=scheme)
    seen = picture(page)
    assert tuple(seen[2, 2]) == PAPER[scheme]
    assert len(np.unique(seen.reshape(-1, 3), axis=0)) > 50
    assert page.evaluate(BROKEN) == 0
    ink = page.evaluate("getComputedStyle(document.querySelector('.chart text')).fill")
    muted = page.evaluate("getComputedStyle(document.querySelector('.subtitle')).color")
    assert ink == muted  # charts are written in the page's ink


@pytest.mark.parametrize("width", [320, 390, 800, 1600])
def test_nothing_sticks_out_on_any_screen(page, width: int) -> None:
    page.set_viewport_size({"width": width, "height": 800})
    assert page.evaluate(SIDEWAYS) <= 0
    assert page.evaluate(CLIPPED) == []
    assert page.evaluate(TEXT_PX) >= 9


def test_pictures_stand_beside_each_other_where_there_is_room(page) -> None:
    tops = (
        "[...document.querySelectorAll('#predictions figure')].slice(0, 3)"
        ".map(f => Math.round(f.getBoundingClientRect().top))"
    )
    assert len(set(page.evaluate(tops))) == 1
    page.set_viewport_size({"width": 390, "height": 800})
    assert len(set(page.evaluate(tops))) == 3


def test_links_of_the_contents_lead_somewhere(page) -> None:
    for link in page.query_selector_all("nav a"):
        link.click()
        name = link.get_attribute("href")
        top = page.evaluate(f"document.querySelector('{name}').getBoundingClientRect().top")
        at_end = page.evaluate("innerHeight + scrollY >= document.documentElement.scrollHeight - 2")
        assert -2 <= top <= 60 or at_end, name


def test_on_paper(page) -> None:
    page.emulate_media(color_scheme="dark", media="print")
    assert page.evaluate("getComputedStyle(document.documentElement).backgroundColor") == (
        "rgb(255, 255, 255)"
    )
    pdf = page.pdf(format="A4")
    assert pdf.startswith(b"%PDF") and 3 <= pdf.count(b"/Type /Page\n") <= 16


def test_every_picture_has_a_name_for_those_who_cannot_see_it(page) -> None:
    unnamed = page.evaluate(
        "[...document.querySelectorAll('img, [role=img]')]"
        ".filter(e => !(e.alt || e.ariaLabel)).length"
    )
    assert unnamed == 0
    levels = page.evaluate("[...document.querySelectorAll('h1,h2,h3')].map(h => +h.tagName[1])")
    assert levels[0] == 1 and all(b - a <= 1 for a, b in itertools.pairwise(levels))
