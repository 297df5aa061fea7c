"""A run as TOML. The standard library reads TOML and does not write it."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from typing import Any

from ilk.config.settings import Run

__all__ = ["as_toml"]


def as_toml(run: Run) -> str:
    """Return the run as TOML that `load_run` reads back. Options that are None are left out.

    Example:
        >>> as_toml(Run(seed=4)).splitlines()[0]
        'seed = 4'
    """
    return "\n".join(_lines(run.as_dict(), ())) + "\n"


def _lines(settings: dict[str, Any], path: tuple[str, ...]) -> Iterator[str]:
    tables = {key: value for key, value in settings.items() if isinstance(value, dict)}
    if path and (len(tables) < len(settings) or not settings):
        yield f"\n[{'.'.join(map(_key, path))}]"
    for key, value in settings.items():
        if key not in tables and value is not None:
            yield f"{_key(key)} = {_value(value)}"
    for key, table in tables.items():
        yield from _lines(table, (*path, key))


def _key(key: str) -> str:
    is_bare = key.isascii() and key.replace("_", "").replace("-", "").isalnum()
    return key if is_bare else _value(key)


def _value(value: Any) -> str:
    """Write a number, string or list as JSON, which is TOML but for infinity and DEL."""
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, list):
        return f"[{', '.join(map(_value, value))}]"
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
