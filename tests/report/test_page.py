"""Pages: escaped, self-contained, readable."""

import re
from collections.abc import Iterator
from dataclasses import replace
from html.parser import HTMLParser
from importlib.resources import files
from pathlib import Path

import pytest

from biounet.errors import InputError
from biounet.report.page import (
    Code,
    FactGroups,
    Facts,
    Legend,
    Number,
    Page,
    Picture,
    Pictures,
    Section,
    Table,
    Text,
    render_page,
    write_page,
)

NASTY = "<script>alert('x')</script> & \"quotes\""
PAGE = Page(
    kicker="Test",
    title=NASTY,
    subtitle=NASTY,
    numbers=(Number(NASTY, NASTY, NASTY),),
    advice=(NASTY,),
    command=NASTY,
    sections=(
        Section(
            "all",
            NASTY,
            (
                Text(NASTY),
                Code(NASTY),
                Legend((("#fff", False, NASTY), ("linear-gradient(90deg, #000, #fff)", True, "w"))),
                Table((NASTY, "n"), ((NASTY, "0.5"),), bars=1, caption=NASTY),
                Facts(((NASTY, NASTY),), NASTY),
                FactGroups((Facts(((NASTY, NASTY),)),)),
                Pictures((Picture("data:,", NASTY, NASTY, NASTY),), title=NASTY, caption=NASTY),
                Pictures((Picture("<svg></svg>", NASTY),)),
            ),
            NASTY,
        ),
        Section("two", "Two", ()),
        Section("three", "Three", ()),
    ),
)


class Tags(HTMLParser):
    """The elements of a page; fails where one is closed that was not opened."""

    VOID = frozenset({"meta", "link", "img", "br"})

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)
        assert not self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def of(self, tag: str) -> Iterator[dict[str, str | None]]:
        return (attributes for name, attributes in self.seen if name == tag)


def test_what_users_named_is_never_markup() -> None:
    text = render_page(PAGE)
    assert "<script" not in text
    assert text.count("&lt;script&gt;") >= 18


def test_a_page_is_well_formed_and_described() -> None:
    page = Tags(render_page(PAGE))
    assert [dict(a)["lang"] for a in page.of("html")] == ["en"]
    assert all(image["alt"] for image in page.of("img"))
    ids = [a["id"] for _, a in page.seen if "id" in a]
    assert len(ids) == len(set(ids))
    links = [a["href"] for a in page.of("a")]
    assert links and all(link and link[0] == "#" and link[1:] in ids for link in links)
    labelled = [a["aria-labelledby"] for _, a in page.seen if "aria-labelledby" in a]
    assert set(labelled) <= set(ids)
    charts = [a for a in page.of("div") if a.get("class") == "chart"]
    assert [(c["role"], c["aria-label"]) for c in charts] == [("img", NASTY)]
    assert all(a.get("scope") in ("col", "row") for a in page.of("th"))


def test_a_page_asks_for_nothing_from_outside() -> None:
    text = render_page(PAGE)
    assert not re.search(r"""(src|href)=["'](?!data:|#)""", text)
    assert "@import" not in text and "url(" not in text


def test_a_page_is_written_whole_and_a_missing_folder_is_told(tmp_path: Path) -> None:
    path = write_page(PAGE, tmp_path / "page.html")
    assert path.read_text(encoding="utf-8") == render_page(PAGE)
    assert [p.name for p in tmp_path.iterdir()] == ["page.html"]
    with pytest.raises(InputError, match="no folder"):
        write_page(PAGE, tmp_path / "none" / "page.html")


def test_parts_that_are_empty_are_left_out() -> None:
    page = replace(PAGE, numbers=(), advice=(), sections=PAGE.sections[1:])
    text = render_page(page)
    body = text[text.index("<body>") :]
    assert "What to do next" not in body and "<nav" not in body and 'class="numbers"' not in body


def themes() -> dict[str, dict[str, str]]:
    """The colours of each theme of the style sheet."""
    style = (files("biounet.report") / "templates/style.css").read_text()
    blocks = re.findall(r"(?:@media ([^{]*)\{\s*)?:root \{([^}]*)\}", style)
    assert len(blocks) == 3
    return {
        media.strip() or "light": dict(re.findall(r"--([\w-]+): (#[0-9a-f]{3,6})", body))
        for media, body in blocks
    }


def luminance(colour: str) -> float:
    """Relative luminance (WCAG 2)."""
    digits = colour[1:] if len(colour) == 7 else "".join(d * 2 for d in colour[1:])
    parts = [int(digits[k : k + 2], 16) / 255 for k in (0, 2, 4)]
    linear = [p / 12.92 if p <= 0.03928 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    """Contrast ratio (WCAG 2)."""
    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("theme", ["light", "(prefers-color-scheme: dark)", "print"])
def test_text_and_curves_stand_out_from_what_is_behind(theme: str) -> None:
    colours = themes()[theme]
    for text in ("ink", "muted", "accent"):
        for behind in ("paper", "card"):
            assert contrast(colours[text], colours[behind]) >= 4.5, (text, behind)
    for curve in ("series-1", "series-2", "series-3"):
        assert contrast(colours[curve], colours["paper"]) >= 3, curve
