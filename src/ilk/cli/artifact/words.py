"""Settings as a person types them: NAME,KEY=VALUE,... and KEY=VALUE or a TOML file."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import click

__all__ = ["named_settings", "preprocess_settings"]

_SIZE = re.compile(r"(\d+)x(\d+)")
"""Height and width; of a detector, whose options are separated by commas, there is no other way."""
_LISTS = ("mean", "std", "shape")


def named_settings(words: str) -> dict[str, Any]:
    """Return the settings of something with a name and perhaps options.

    Example:
        >>> named_settings("hyperbolic,curvature=0.5")
        {'name': 'hyperbolic', 'curvature': 0.5}
    """
    name, *options = words.split(",")
    return {"name": name.strip(), **dict(map(_pair, options))}


def preprocess_settings(words: Iterable[str]) -> dict[str, Any]:
    """Return settings of `Preprocess`; each word is KEY=VALUE or a TOML file, later ones win.

    Example:
        >>> preprocess_settings(["size_pixels=112", "mean=0.5", "channel_order=bgr"])
        {'size_pixels': 112, 'mean': [0.5], 'channel_order': 'bgr'}
        >>> preprocess_settings(["std=0.2,0.3,0.4", "size_pixels=256x128"])
        {'std': [0.2, 0.3, 0.4], 'size_pixels': [256, 128]}
    """
    settings: dict[str, Any] = {}
    for word in words:
        if word.count("=") > 1:
            raise click.UsageError(f"give --preprocess once per KEY=VALUE, got {word!r}.")
        settings |= dict([_pair(word)]) if "=" in word else _read(Path(word))
    for name in _LISTS:
        value = settings.get(name)
        if value is not None and not isinstance(value, list):
            settings[name] = [value]
    return settings


def _read(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        raise click.UsageError(
            f"--preprocess expects KEY=VALUE or a TOML file, got {str(path)!r}."
        ) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise click.UsageError(f"{path} is not a TOML file: {error}") from None


def _pair(word: str) -> tuple[str, Any]:
    key, separator, text = word.partition("=")
    if not separator or not key.strip():
        raise click.UsageError(f"expected KEY=VALUE, such as size_pixels=112, got {word!r}.")
    return key.strip(), _value(text.strip())


def _value(text: str) -> Any:
    """Return a TOML value, numbers separated by commas or a size as a list, or text."""
    if size := _SIZE.fullmatch(text):
        return [int(side) for side in size.groups()]
    for form in (text, f"[{text}]" if "," in text else text):
        try:
            return tomllib.loads(f"value = {form}")["value"]
        except tomllib.TOMLDecodeError:
            continue
    return text
