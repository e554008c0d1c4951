"""The settings that the user gives, in a file and by --set."""

from pathlib import Path
from typing import Any

from biounet.errors import InputError


def said_settings(settings: Path | None, changes: tuple[str, ...]) -> dict[str, Any]:
    """The settings that the user gave in a file and by --set, as a tree."""
    import yaml

    from biounet.config import merged, read_tree

    said: dict[str, Any] = {} if settings is None else read_tree(settings)
    names: set[str] = set()
    for change in changes:
        name, equals, text = change.partition("=")
        if not equals or "." not in name:
            raise InputError(
                f"--set {change}", "section.name=value", "write it as --set objects.threshold=0.9"
            )
        if name in names:
            raise InputError(f"--set {name} twice", "one value", "leave one out")
        names.add(name)
        try:
            value: Any = yaml.safe_load(text)
        except yaml.YAMLError:
            raise InputError(f"--set {change}", "a value as in YAML", "mend it") from None
        for part in reversed(name.split(".")):
            value = {part: value}
        said = merged(said, value)
    for name, value in said.items():
        if name != "preset" and not isinstance(value, dict):
            raise InputError(f"{name} = {value!r}", "a section of settings", "indent its settings")
    return said


def said_objects(changes: tuple[str, ...]) -> dict[str, Any]:
    """The settings of labels that the user gave by --set."""
    for change in changes:
        if not change.startswith("objects."):
            raise InputError(
                f"--set {change}",
                "a setting of labels, as objects.threshold=0.9",
                "change others by training again",
            )
    objects: dict[str, Any] = said_settings(None, changes).get("objects", {})
    return objects
