"""Items that cannot be used: stop, or leave them out, as the user chose, and keep the list."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Literal, get_args

from ilk.errors import DataError, InvalidInput, UnreadableItem
from ilk.images import decode
from ilk.items import Item, Items, Problem

__all__ = ["OnUnreadable", "as_problem", "read_picture", "stop_or_skip", "verify_readable"]

OnUnreadable = Literal["stop", "skip"]
"""What to do about items that cannot be used: refuse the source, or skip them."""

_NUM_NAMED = 5


def stop_or_skip(items: Items, on_unreadable: OnUnreadable) -> Items:
    """Return the items as they are, unless there are problems and these shall stop.

    Raises:
        DataError: There are problems and `on_unreadable` is "stop". The message counts them,
            names the first five and says how to skip them.
        InvalidInput: `on_unreadable` is something else.

    Example:
        >>> items = Items((), (Problem("a.jpg", "the file is empty"),), origin="pets")
        >>> stop_or_skip(items, "stop")
        Traceback (most recent call last):
        ...
        ilk.errors.DataError: 1 of 1 items of pets cannot be used: a.jpg (the file is empty).
        Repair or remove them, or leave them out with --on-unreadable skip (on_unreadable="skip")
        >>> len(stop_or_skip(items, "skip").problems)
        1
    """
    if on_unreadable not in get_args(OnUnreadable):
        raise InvalidInput(f"on_unreadable must be 'stop' or 'skip', got {on_unreadable!r}")
    if on_unreadable == "skip" or not items.problems:
        return items
    count = len(items.problems)
    named = "; ".join(f"{p.name} ({p.reason})" for p in items.problems[:_NUM_NAMED])
    more = f"; and {count - _NUM_NAMED} more" if count > _NUM_NAMED else ""
    raise DataError(
        f"{count} of {count + len(items)} items of {items.origin} cannot be used: {named}{more}. "
        'Repair or remove them, or leave them out with --on-unreadable skip (on_unreadable="skip")'
    )


def verify_readable(
    items: Items,
    on_unreadable: OnUnreadable = "stop",
    *,
    read: Callable[[Item], object] | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Items:
    """Read every item once and return those that can be read, the others as problems.

    Args:
        items: What to read.
        on_unreadable: "stop" raises after all have been read, so that the count is complete.
        read: What reading is, such as `Preprocess.load`. By default a file is decoded as a
            picture and an array in memory is taken as it is.
        progress: Called with the number of items done and of all items.

    Raises:
        DataError: Some cannot be read, and `on_unreadable` is "stop".
    """
    read = read or read_picture
    kept: list[Item] = []
    problems = list(items.problems)
    # decoding releases the interpreter's lock, so threads share the work
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for done, (item, problem) in enumerate(pool.map(lambda i: _try(read, i), items.items), 1):
            if problem is None:
                kept.append(item)
            else:
                problems.append(problem)
            if progress is not None:
                progress(done, len(items))
    return stop_or_skip(replace(items, items=tuple(kept), problems=tuple(problems)), on_unreadable)


def read_picture(item: Item) -> None:
    """Decode an item's file as a picture and drop the result; arrays in memory need no reading.

    Raises:
        UnreadableItem: It cannot be decoded.
    """
    if isinstance(item.source, Path):
        decode(item.source, name=item.name, box=item.box)


def as_problem(item: Item, error: UnreadableItem | OSError) -> Problem:
    """Return what `Items.problems` keeps of an error about one item."""
    if isinstance(error, OSError):
        return Problem(item.name, error.strerror or str(error))
    return Problem(item.name, str(error).removeprefix(f"{item.name}: "), error.code)


def _try(read: Callable[[Item], object], item: Item) -> tuple[Item, Problem | None]:
    try:
        read(item)
    except UnreadableItem as error:
        return item, as_problem(item, error)
    return item, None
