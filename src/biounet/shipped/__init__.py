"""Trained networks that come with the package, found by name.

Each is a model file of half-precision weights beside its card, `NAME.md`: data, terms, split,
scores, limits, and the command that made it. `benchmarks/ship.py` makes both.
"""

from dataclasses import dataclass
from pathlib import Path

from biounet.errors import InputError

FOLDER = Path(__file__).parent
"""Where the networks of this installation lie."""

SHIPPED = {
    "em-membranes": "cells between membranes in electron micrographs of neural tissue",
    "dic-cells": "cells in differential interference contrast",
    "phase-contrast-cells": "cells in phase contrast",
    "nuclei": "nuclei in fluorescence",
}
"""Every network that has a name, and what it segments."""


@dataclass(frozen=True)
class ShippedNetwork:
    """A network with a name: what it segments, and its files, which an installation may lack."""

    name: str
    what: str

    @property
    def model(self) -> Path:
        """The model file."""
        return FOLDER / f"{self.name}.safetensors"

    @property
    def card(self) -> Path:
        """The card, Markdown."""
        return FOLDER / f"{self.name}.md"

    @property
    def is_here(self) -> bool:
        """Whether this installation has it."""
        return self.model.is_file()


def shipped_networks() -> tuple[ShippedNetwork, ...]:
    """Every network that has a name."""
    return tuple(ShippedNetwork(name, what) for name, what in SHIPPED.items())


def find_model_file(name: str | Path) -> Path:
    """The model file of a path to one, of a run folder, or of a network that comes with biounet.

    A file or run folder of that name goes before the network of that name; a folder of images
    does not.

    Raises:
        InputError: neither is there.
    """
    path = Path(name)
    if path.is_file():
        return path
    has_name = path.as_posix() in SHIPPED
    if path.is_dir() and (not has_name or _is_run(path)):
        return path / "best.safetensors"
    here = [network for network in shipped_networks() if network.is_here]
    names = ", ".join(network.name for network in here) or "none in this installation"
    wanted = f"a model file, a run folder, or a network that comes with biounet ({names})"
    if not has_name:
        raise InputError(f"no file {name}", wanted, "check the path, or see `biounet inspect`")
    network = ShippedNetwork(path.as_posix(), SHIPPED[path.as_posix()])
    if not network.is_here:
        raise InputError(
            f"{name}, a network that this installation lacks",
            wanted,
            "update biounet, or train one",
        )
    return network.model


def _is_run(folder: Path) -> bool:
    return any((folder / name).exists() for name in ("best.safetensors", "settings.yaml"))
