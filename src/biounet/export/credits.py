"""What is said about who made a model, as people give it and as bioimage.io wants it."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from biounet.errors import InputError

_DOI = re.compile(r"\b10\.\d{4,}/[^\s,;]+")
_URL = re.compile(r"https?://[^\s,;]+")
_SPDX = re.compile(r"[A-Za-z0-9.+-]+")


@dataclass(frozen=True)
class Citation:
    """What to cite: words, and where it is, a DOI or an address."""

    text: str
    doi: str | None = None
    url: str | None = None

    def described(self) -> dict[str, str]:
        """In the specification's words."""
        where = {"doi": self.doi} if self.doi else {"url": str(self.url)}
        return {"text": self.text, **where}


@dataclass(frozen=True)
class Credits:
    """What is said about who made a model.

    Attributes:
        name: of the model; letters, digits, spaces and +-_() are kept.
        authors: names of people.
        licence: an SPDX identifier.
        cite: publications of the model or of its data; those of the method are always named.
    """

    name: str = "Segmentation by biounet"
    authors: tuple[str, ...] = ("The person who trained the model",)
    licence: str = "CC-BY-4.0"
    cite: tuple[Citation, ...] = ()


def credits_from(
    name: str | None, authors: Sequence[str], licence: str | None, cite: Sequence[str]
) -> Credits:
    """Credits as a person types them; what is not said has its default.

    Args:
        cite: words with a DOI or an address in each, such as "Lovelace 2026, 10.1234/cells".

    Raises:
        InputError: an empty name, a licence that is no identifier, a citation that leads nowhere.
    """
    default = Credits()
    for author in authors:
        if not author.strip() or set(author) & set("/\\"):
            raise InputError(f"the author {author!r}", "a name without / and \\", "mend it")
    if name is not None and len(re.findall(r"\w", name)) < 5:
        raise InputError(f"the name {name!r}", "one of 5 letters or more", "say what it segments")
    if licence is not None and not _SPDX.fullmatch(licence):
        raise InputError(
            f"the licence {licence!r}",
            "an SPDX identifier, such as CC-BY-4.0, CC0-1.0 or MIT",
            "choose one of spdx.org/licenses",
        )
    return Credits(
        name or default.name,
        tuple(author.strip() for author in authors) or default.authors,
        licence or default.licence,
        tuple(_citation(text) for text in cite),
    )


def _citation(text: str) -> Citation:
    words = " ".join(text.split())
    doi, url = _DOI.search(words), _URL.search(words)
    where = doi or url
    if where is None:
        raise InputError(
            f"--cite {text!r}", "words with a DOI or an address in them", "add one of them"
        )
    left = _URL.sub("", words) if doi is None or "doi.org/" in words else words
    left = _DOI.sub("", left).strip(" ,;:()") or "The publication of this model"
    if doi is not None:
        return Citation(left, doi=doi.group().rstrip(".)"))
    return Citation(left, url=where.group().rstrip(".)"))
