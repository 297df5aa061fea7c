"""Numbers, settings and text as Markdown that nothing in them can break."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

__all__ = [
    "code",
    "counted",
    "duration",
    "flatten",
    "name_of",
    "settings_of",
    "share",
    "table",
    "text",
]


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table of cells that are Markdown already."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def flatten(settings: Mapping[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    """List (dotted name, value) of nested settings, sorted by name."""
    rows: list[tuple[str, str]] = []
    for key in sorted(settings, key=str):
        value = settings[key]
        if isinstance(value, Mapping):
            rows += flatten(value, f"{prefix}{key}.")
        else:
            rows.append((f"{prefix}{key}", _plain(value)))
    return rows


def settings_of(settings: Mapping[str, Any]) -> str:
    """Return the name and options of something that has them."""
    options = [(key, value) for key, value in flatten(settings) if key != "name"]
    described = [code(f"{key}={value}") for key, value in options]
    return ", ".join(part for part in (name_of(settings), *described) if part)


def name_of(settings: Mapping[str, Any]) -> str:
    """Return its name."""
    return text(str(settings.get("name", "")))


def _plain(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, list | tuple):
        return " ".join(_plain(part) for part in value)
    return str(value)


def counted(number: int, singular: str, plural: str = "") -> str:
    """Return a number with its noun."""
    return f"{number:,} {singular if number == 1 else plural or singular + 's'}"


def share(value: float | None) -> str:
    """Return a share as a percentage."""
    return "not measured" if value is None else f"{100 * value:.1f} %"


def duration(seconds: float) -> str:
    """Return a duration in seconds or minutes."""
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} min"


def code(content: str) -> str:
    """Return `content` as inline code that no character of it can end."""
    flat = " ".join(content.replace("`", "'").replace("|", "/").split())
    return f"`{flat}`" if flat else ""


def text(content: str) -> str:
    """Return `content` as one line in which no character is Markdown or HTML."""
    flat = " ".join(content.split())
    return "".join("\\" + c if c in "\\`*_[]<>|#&" else c for c in flat)
