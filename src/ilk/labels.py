"""Labels and split names: one text for each, whichever door it came through."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterable, Sequence
from datetime import date, datetime, time
from decimal import Decimal
from functools import lru_cache, reduce
from typing import Any

import numpy as np

from ilk.errors import InvalidInput

__all__ = [
    "alike",
    "clean_label",
    "difference",
    "has_invisible",
    "look_of",
    "normal_label",
    "split_name",
    "text_of",
]

_LONGEST = 500
_SPLITS = {
    **dict.fromkeys(("train", "training", "0"), "train"),
    **dict.fromkeys(("val", "valid", "validation", "dev"), "val"),
    **dict.fromkeys(("test", "testing"), "test"),
}
_UNFIT = ("Cc", "Cs", "Zl", "Zp")
"""Control characters, halves of surrogate pairs, separators of lines and paragraphs."""


def clean_label(given: object) -> str:
    r"""Return a label in its one form: composed Unicode (NFC), no white space around it.

    Args:
        given: Text, or what `text_of` makes text of.

    Raises:
        InvalidInput: It is empty, too long or not text, or it has control characters.

    Example:
        >>> clean_label(" cafe\u0301\u00a0") == "caf\u00e9"
        True
        >>> clean_label("first line\nsecond line")
        Traceback (most recent call last):
        ...
        ilk.errors.InvalidInput: a label must have 1 to 500 characters and no control characters,
        got 'first line\nsecond line'
    """
    normal = normal_label(given)
    is_plain = normal.isprintable() or not any(
        unicodedata.category(character) in _UNFIT for character in normal
    )
    if not normal or len(normal) > _LONGEST or not is_plain:
        raise InvalidInput(
            f"a label must have 1 to {_LONGEST} characters and no control characters, got "
            f"{normal[:60]!r}" + (f"... ({len(normal)} in all)" if len(normal) > _LONGEST else "")
        )
    return normal


def normal_label(given: object) -> str:
    """Return what `clean_label` does, also of text that is no label: to look for what is there.

    Raises:
        InvalidInput: It is not text, and `text_of` makes none of it.
    """
    text = given if isinstance(given, str) else text_of(given)
    return (text if text.isascii() else unicodedata.normalize("NFC", text)).strip()


def split_name(given: object) -> str | None:
    """Return "train", "val" or "test" for the usual names of a split; others as they are.

    Case and outer blanks do not count. Nothing, or blanks, is None.

    Example:
        >>> split_name("Training "), split_name("VALID"), split_name("holdout"), split_name(" ")
        ('train', 'val', 'holdout', None)
    """
    name = normal_label(given) if given is not None else ""
    return _SPLITS.get(name.lower(), name or None)


def text_of(value: object) -> str:
    """Return a value as a person would write it: 3.0 is "3", a day has no time.

    Raises:
        InvalidInput: There is no such text (a list, bytes, NaN), or a number so large that its
            type cannot tell it from its neighbours.

    Example:
        >>> text_of(3), text_of(3.0), text_of(np.float32(0.1)), text_of(datetime(2024, 5, 1))
        ('3', '3', '0.1', '2024-05-01')
    """
    if isinstance(value, str):
        return str(value)
    if isinstance(value, np.datetime64):
        value = value.astype("datetime64[us]").item()
    elif isinstance(value, np.generic) and not isinstance(value, np.floating):
        value = value.item()
    if isinstance(value, float | np.floating):
        return _written(value)
    if isinstance(value, int) and value.bit_length() < 4 * _LONGEST:
        return str(value)
    if isinstance(value, Decimal) and value.is_finite():
        return f"{value.normalize():f}" if value else "0"
    if isinstance(value, datetime):
        is_day = value.time() == time() and value.tzinfo is None
        return value.date().isoformat() if is_day else value.isoformat(" ")
    if isinstance(value, date | time):
        return value.isoformat()
    raise InvalidInput(f"expected text, a number or a date, got {type(value).__name__}")


def _written(value: float | np.floating) -> str:
    """Return a number with the fewest digits that its type needs, a whole one without a point."""
    if not np.isfinite(value):
        raise InvalidInput(f"expected text, a number or a date, got {value}")
    kind: np.dtype[Any] = value.dtype if isinstance(value, np.floating) else np.dtype(float)
    if value != int(value):
        return np.format_float_positional(kind.type(value), trim="-")
    if abs(int(value)) > 2 ** (np.finfo(kind).nmant + 1):
        raise InvalidInput(
            f"the number {value:g} has more digits than {kind} keeps; write it as text"
        )
    return str(int(value))


def alike(labels: Iterable[str]) -> list[tuple[tuple[str, ...], str]]:
    r"""Return labels that only a close look tells apart, in groups, with what they differ by.

    Example:
        >>> alike(["Ada", "bert", "ada", "b\u200bert", "carl"])
        [(('Ada', 'ada'), 'case'), (('bert', 'b\u200bert'), 'invisible characters')]
    """
    groups: dict[str, list[str]] = {}
    for label in sorted(set(labels)):
        groups.setdefault(look_of(label), []).append(label)
    return [(tuple(group), difference(group)) for group in groups.values() if len(group) > 1]


@lru_cache(1 << 17)
def look_of(label: str) -> str:
    """Return what is left of a label once all is taken off that is easily overlooked.

    That is case, blanks, invisible characters, letters of other scripts that look like Latin ones,
    and how a number is written. Labels of one look are to be told of, not to be joined.

    Example:
        >>> look_of("A da"), look_of(chr(0x430) + "da"), look_of("007"), look_of("7.0")
        ('ada', 'ada', '7', '7')
    """
    return reduce(lambda text, step: step(text), _STEPS.values(), label)


def has_invisible(label: str) -> bool:
    r"""Return whether a label holds a character that takes up no room.

    Example:
        >>> has_invisible("a\u200bda"), has_invisible("ada")
        (True, False)

        Scripts that need them may have joiners:

        >>> has_invisible("\u0645\u06cc\u200c\u0631\u0648\u062f")
        False
    """
    seen = _JOINED.sub("", label)
    return _visible(seen) != seen


def difference(group: Sequence[str]) -> str:
    """Return what labels of one look differ by.

    Example:
        >>> difference(["Ada", "a da"])
        'blanks and case'
    """
    told = []
    for name in _STEPS:
        others = [step for other, step in _STEPS.items() if other != name]
        if len({reduce(lambda text, step: step(text), others, label) for label in group}) > 1:
            told.append(name)
    return " and ".join(told) or "composition"


def _visible(text: str) -> str:
    if text.isascii():
        return text
    return "".join(c for c in text if unicodedata.category(c) != "Cf" and c not in _UNSEEN)


def _without_blanks(text: str) -> str:
    return "".join(text.split())


def _in_latin(text: str) -> str:
    return text if text.isascii() else unicodedata.normalize("NFKC", text).translate(_LATIN)


def _as_number(text: str) -> str:
    if not text.isascii() or not re.fullmatch(r"[+-]?\d+(\.\d+)?", text):
        return text
    return text_of(Decimal(text))


_JOINED = re.compile("(?<=[^\0-\x7f])[\u200c\u200d\ufe0e\ufe0f]")
"""What joins letters, or chooses their form, in scripts that need it."""

_UNSEEN = frozenset(
    map(chr, (0x34F, 0x115F, 0x1160, 0x17B4, 0x17B5, 0x2800, 0x3164, 0xFFA0))
) | frozenset(map(chr, (*range(0x180B, 0x1810), *range(0xFE00, 0xFE10), *range(0xE0100, 0xE01F0))))
"""Fillers and variation selectors: nothing to be seen, and no format characters (Cf)."""

_ALIKE = {
    **dict(zip("авекмнорстухіјѕһԁԛԝ", "abekmhopctyxijshdqw", strict=True)),
    **dict(zip("αβεζηικμνορτυχ", "abezhikmnoptyx", strict=True)),
}
"""Small letters, Cyrillic and Greek, that look like Latin ones, or whose capitals do."""

_LATIN = str.maketrans(_ALIKE | {k.upper(): v.upper() for k, v in _ALIKE.items()})

_STEPS: dict[str, Callable[[str], str]] = {
    "invisible characters": _visible,
    "blanks": _without_blanks,
    "case": str.casefold,
    "letters that look alike": _in_latin,
    "how a number is written": _as_number,
}
"""By what is taken off."""
