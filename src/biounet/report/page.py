"""A page: numbers at a glance, then sections of pictures, charts, tables and words.

Plain data; `render_page` makes one HTML text of it that needs nothing else: no script, no
network, styles and pictures inside.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from jinja2 import Environment, PackageLoader, StrictUndefined

from biounet.images.atomic import written_whole


@dataclass(frozen=True)
class Number:
    """A number to see at a glance."""

    value: str
    label: str
    note: str = ""


@dataclass(frozen=True)
class Text:
    """A paragraph."""

    kind: ClassVar[str] = "text"
    text: str


@dataclass(frozen=True)
class Code:
    """Something to type."""

    kind: ClassVar[str] = "code"
    text: str


@dataclass(frozen=True)
class Picture:
    """A picture with what it shows, in words.

    Attributes:
        source: a data URI, or an SVG element.
        alt: for those who cannot see it.
    """

    source: str
    alt: str
    caption: str = ""
    title: str = ""

    @property
    def is_svg(self) -> bool:
        """Whether `source` is an SVG element."""
        return self.source.startswith("<svg")


@dataclass(frozen=True)
class Pictures:
    """Pictures side by side, as many as fit.

    Attributes:
        width_px: the least width of each before they wrap.
        title: over all of them.
        caption: under all of them.
    """

    kind: ClassVar[str] = "pictures"
    items: tuple[Picture, ...]
    width_px: int = 240
    title: str = ""
    caption: str = ""


@dataclass(frozen=True)
class Legend:
    """What colours mean: (CSS colour or gradient, whether only an outline, meaning)."""

    kind: ClassVar[str] = "legend"
    items: tuple[tuple[str, bool, str], ...]


@dataclass(frozen=True)
class Table:
    """A table; all columns after the first `n_text` hold numbers.

    Attributes:
        bars: column whose values 0..1 are drawn as bars too; None: none does.
    """

    kind: ClassVar[str] = "table"
    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    n_text: int = 1
    bars: int | None = None
    caption: str = ""


@dataclass(frozen=True)
class Facts:
    """Names and values."""

    kind: ClassVar[str] = "facts"
    items: tuple[tuple[str, str], ...]
    title: str = ""


@dataclass(frozen=True)
class FactGroups:
    """Several lists of names and values, side by side."""

    kind: ClassVar[str] = "fact_groups"
    groups: tuple[Facts, ...]


Block = Text | Code | Pictures | Legend | Table | Facts | FactGroups


@dataclass(frozen=True)
class Section:
    """A part of a page; `name` is what links point to."""

    name: str
    title: str
    blocks: tuple[Block, ...]
    lead: str = ""


@dataclass(frozen=True)
class Page:
    """A page.

    Attributes:
        kicker: a line above the title: what kind of page this is.
        subtitle: a line below the title.
        numbers: at a glance.
        advice: what to do next, most important first.
        command: what to type next.
    """

    kicker: str
    title: str
    subtitle: str
    numbers: tuple[Number, ...]
    sections: tuple[Section, ...]
    advice: tuple[str, ...] = ()
    command: str = ""


def render_page(page: Page) -> str:
    """The page as one HTML text."""
    environment = Environment(
        loader=PackageLoader("biounet.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("page.html").render(page=page)


def write_page(page: Page, path: Path) -> Path:
    """Write the page, whole or not at all; its path.

    Raises:
        InputError: it cannot be written there.
    """
    text = render_page(page)
    with written_whole(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
    return path
