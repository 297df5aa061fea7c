"""The effects of a change, collected while it is made, and their form in the log.

In the file: a JSON list of [table, field, before, after, ranges], most often of one entry, however
many rows were touched.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from itertools import pairwise
from typing import Any, final

from ilk.store import Effect, Table
from ilk.stores.sqlite.ranges import Ranges, expand, join_ranges, to_ranges

__all__ = ["Effects", "from_text", "to_json", "to_text"]

_ENCODER = json.JSONEncoder(separators=(",", ":"), allow_nan=False, check_circular=False)

_ABOUT_SETTINGS = ("class", "stranger", "setting")
"""Tables whose change concerns whoever keeps labels, strangers or settings in memory."""


@final
class Effects:
    """What one change did so far.

    Example:
        >>> effects = Effects()
        >>> effects.note("exemplar", "is_live", False, True, [(1, 4)])
        >>> effects.note("exemplar", "is_live", False, True, [(5, 5)])
        >>> effects.net()
        [Effect(table='exemplar', field='is_live', before=False, after=True, rows=((1, 5),))]
    """

    def __init__(self) -> None:
        self._events: dict[tuple[Table, str], list[Effect]] = {}

    def __bool__(self) -> bool:
        return bool(self._events)

    @property
    def is_about_settings(self) -> bool:
        """Whether a label, a stranger or a setting changed."""
        return any(table in _ABOUT_SETTINGS for table, _ in self._events)

    def note(
        self, table: Table, field: str, before: Any, after: Any, rows: Iterable[tuple[int, int]]
    ) -> None:
        """Add what just happened to some rows, or to a setting."""
        event = Effect(table, field, before, after, tuple(rows))
        self._events.setdefault((table, field), []).append(event)

    def net(self) -> list[Effect]:
        """Return the effects from beginning to end: each field of each row at most once."""
        return [effect for events in self._events.values() for effect in _net(events)]


def to_text(effects: Iterable[Effect]) -> str:
    """Return the form in the log."""
    return to_json([[e.table, e.field, e.before, e.after, e.rows] for e in effects])


def from_text(text: str) -> tuple[Effect, ...]:
    """Return effects from their form in the log.

    Example:
        >>> from_text(to_text([Effect("class", "label", "a", "b", ((2, 3),))]))
        (Effect(table='class', field='label', before='a', after='b', rows=((2, 3),)),)
    """
    return tuple(
        Effect(table, field, before, after, tuple((first, last) for first, last in rows))
        for table, field, before, after, rows in json.loads(text)
    )


def to_json(value: Any) -> str:
    """Return compact JSON; numbers that JSON cannot hold are a ValueError."""
    return _ENCODER.encode(value)


def _net(events: list[Effect]) -> list[Effect]:
    if events[0].table == "setting":
        first, last = events[0], events[-1]
        net = Effect(first.table, first.field, first.before, last.after)
        return [net] if not _equal(net.before, net.after) else []
    if len(events) == 1:
        return events
    if _overlap([event.rows for event in events]):
        return _net_by_row(events)
    joined: dict[str, tuple[Effect, list[tuple[int, int]]]] = {}
    for event in events:
        joined.setdefault(_key(event.before, event.after), (event, []))[1].extend(event.rows)
    return [
        Effect(e.table, e.field, e.before, e.after, join_ranges(rows))
        for e, rows in joined.values()
    ]


def _net_by_row(events: list[Effect]) -> list[Effect]:
    values: dict[int, tuple[Any, Any]] = {}
    for event in events:
        for row in expand(event.rows):
            values[row] = (values.get(row, (event.before,))[0], event.after)
    joined: dict[str, tuple[Any, Any, list[int]]] = {}
    for row, (before, after) in values.items():
        if not _equal(before, after):
            joined.setdefault(_key(before, after), (before, after, []))[2].append(row)
    table, field = events[0].table, events[0].field
    return [
        Effect(table, field, before, after, to_ranges(rows))
        for before, after, rows in joined.values()
    ]


def _overlap(rows: list[Ranges]) -> bool:
    ranges = sorted(one for some in rows for one in some)
    return any(later[0] <= earlier[1] for earlier, later in pairwise(ranges))


def _key(before: Any, after: Any) -> str:
    return to_json([before, after])


def _equal(before: Any, after: Any) -> bool:
    return to_json(before) == to_json(after)
