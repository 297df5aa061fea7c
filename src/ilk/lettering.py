"""Text in pictures: in a font that has the characters, no longer than the room there is."""

from __future__ import annotations

import importlib.util
import unicodedata
from functools import lru_cache
from pathlib import Path

from PIL import ImageFont

__all__ = ["Font", "font_for", "printable", "shortened", "told", "wrapped"]

Font = ImageFont.FreeTypeFont | ImageFont.ImageFont
"""What letters are drawn with."""

_ELLIPSIS = "…"
_MOST_CHARACTERS = 240
"""More than fit on a line; only the rest is measured."""
_SYSTEM_FONTS = (
    "DejaVuSans.ttf",
    "NotoSans-Regular.ttf",
    "NotoSansCJK-Regular.ttc",
    "Arial Unicode.ttf",
    "arial.ttf",
    "msyh.ttc",
)
_PLAIN = {"≤": "<=", _ELLIPSIS: "..."}
"""What stands for a sign of ours where the font has none."""
_MISSING = "\uffff"
"""A character that no font has."""


@lru_cache(maxsize=512)
def font_for(words: str, size: int) -> Font:
    """Return the first font that has all characters of `words`; else the one that has most."""
    own = ImageFont.load_default(size)
    if words.isascii() or not isinstance(own, ImageFont.FreeTypeFont):
        return own
    best, fewest = own, len(words) + 1
    for source in (None, *_SYSTEM_FONTS, *_bundled_fonts()):
        try:
            font = own if source is None else ImageFont.truetype(str(source), size)
        except OSError:
            continue
        num_missing = len(_missing_in(font, words))
        if not num_missing:
            return font
        if num_missing < fewest:
            best, fewest = font, num_missing
    return best


def printable(words: str) -> str:
    """Return one line without what cannot be printed."""
    seen = "".join(
        "\ufffd" if unicodedata.category(c) in ("Cc", "Cs") and not c.isspace() else c
        for c in words
    )
    return " ".join(seen.split())


def told(words: str, size: int, *, beside: str = "") -> tuple[str, Font]:
    r"""Return words as they can be drawn, and the font that has them.

    A character that no font here has is written as its escape, and not as the box that would stand
    for it.

    Args:
        words: What to write.
        size: Height of the font in pixels.
        beside: Characters that the font should have, too, so that lines of one text look alike.

    Example:
        >>> told("Anna", 20)[0], told("Jos\u00e9", 20)[0], told("\uffff", 20)[0]
        ('Anna', 'José', '\\uffff')
    """
    line = printable(words)
    font = font_for(line + beside, size)
    if line.isascii() or not isinstance(font, ImageFont.FreeTypeFont):
        return _escaped(line), font
    missing = _missing_in(font, line)
    written, is_missing = "", False
    for character in line:
        is_mark = unicodedata.category(character).startswith("M")
        is_missing = character in missing or (is_mark and is_missing)
        written += _PLAIN.get(character, _escaped(character)) if is_missing else character
    return written, font


def shortened(line: str, font: Font, room: float) -> str:
    """Return a line that is not wider than `room` pixels: what is too long loses its middle."""
    if len(line) > _MOST_CHARACTERS:
        line = line[: _MOST_CHARACTERS // 2] + line[-_MOST_CHARACTERS // 2 :]
    whole, kept = line, len(line)
    has_it = isinstance(font, ImageFont.FreeTypeFont) and not _missing_in(font, _ELLIPSIS)
    gap = _ELLIPSIS if has_it else _PLAIN[_ELLIPSIS]
    while font.getlength(line) > room and kept > 2:
        kept -= 1
        line = whole[: kept - kept // 2] + gap + whole[len(whole) - kept // 2 :]
    return line


def wrapped(line: str, font: Font, room: float) -> list[str]:
    """Return the lines that a text takes; a word that is wider than `room` is shortened."""
    lines: list[str] = []
    for word in line.split(" "):
        longer = f"{lines[-1]} {word}" if lines else word
        if lines and font.getlength(longer) <= room:
            lines[-1] = longer
        else:
            lines.append(shortened(word, font, room))
    return lines


def _escaped(words: str) -> str:
    return words.encode("ascii", "backslashreplace").decode()


def _missing_in(font: ImageFont.FreeTypeFont, words: str) -> frozenset[str]:
    """Return the characters that would be drawn as the box that stands for a missing one."""
    box = bytes(font.getmask(_MISSING))
    return frozenset(c for c in words if not c.isspace() and bytes(font.getmask(c)) == box)


def _bundled_fonts() -> list[Path]:
    """Return a font of many scripts that matplotlib brings, if it is installed."""
    found = importlib.util.find_spec("matplotlib")
    if found is None or found.origin is None:
        return []
    return [Path(found.origin).parent / "mpl-data/fonts/ttf/DejaVuSans.ttf"]
