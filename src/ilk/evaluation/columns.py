"""What the other columns of a table say of its items."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from difflib import get_close_matches

from ilk.errors import InvalidInput
from ilk.items import Item

__all__ = ["groups_of", "no_column"]


def groups_of(items: Iterable[Item], column: str) -> list[str]:
    """Return what a column of their table says of items; "" where it says nothing.

    Raises:
        InvalidInput: No item has that column; the message names the nearest.
    """
    listed = list(items)
    known = sorted({name for item in listed for name in item.metadata})
    if column not in known:
        raise InvalidInput(no_column(column, known))
    return [item.metadata.get(column, "") for item in listed]


def no_column(column: str, known: Sequence[str]) -> str:
    """Return what to say of a column that is not there."""
    near = get_close_matches(column, known, 1)
    hint = f"; did you mean {near[0]!r}?" if near else ""
    there = ", ".join(known) if known else "none: columns come from a table, not from folders"
    return f"expected a column of the table for --by, got {column!r}{hint} (there is {there})"
