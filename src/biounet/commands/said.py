"""The settings that the user gives, in a file and by --set."""

from pathlib import Path
from typing import Any

from biounet.errors import InputError


def said_settings(settings: Path | None, changes: tuple[str, ...]) -> dict[str, Any]:
    """The settings that the user gave in a file and by --set, as a tree."""
    import yaml

    from biounet.config import merged, read_tree

    said: dict[str, Any] = {} if settings is None else read_tree(settings)
    for change in changes:
        name, equals, text = change.partition("=")
        if not equals or "." not in name:
            raise InputError(
                f"--set {change}", "section.name=value", "write it as --set training.patch_px=292"
            )
        value: Any = yaml.safe_load(text)
        for part in reversed(name.split(".")):
            value = {part: value}
        said = merged(said, value)
    for name, value in said.items():
        if name != "preset" and not isinstance(value, dict):
            raise InputError(f"{name} = {value!r}", "a section of settings", "indent its settings")
    return said
