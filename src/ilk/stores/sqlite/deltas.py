"""What happened to exemplars after a sequence number, straight into arrays.

New rows lie behind the last id of that change; rows touched later are in the index on `touched`.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from ilk.store import Delta
from ilk.stores.sqlite.connection import Connection

__all__ = ["read_delta"]

_COLUMNS = "embedding, id, ifnull(class_id, -1), role, is_live"
_LIVE = "exemplar where is_live = 1"
_NEW = "exemplar where id > ?"
_OLD = "exemplar indexed by exemplar_touched where touched != added and touched > ? and id <= ?"

_Part = tuple[str, tuple[int, ...]]
"""Rows and the values of their condition."""


def read_delta(
    connection: Connection, size: int, since: int, sequence: int, limit: int | None
) -> Delta:
    """Return the delta from `since` to the end `sequence`, or to an earlier one by the limit."""
    last = _last_exemplar(connection, since)
    parts: list[_Part] = [(_OLD, (since, last)), (_NEW, (last,))] if since else [(_LIVE, ())]
    until = sequence if limit is None else _until(connection, parts, sequence, limit)
    if until < sequence:
        parts = [(f"{text} and touched <= ?", (*values, until)) for text, values in parts]
    count = _most(connection, parts, last)
    delta = Delta(
        sequence=until,
        ids=np.empty(count, np.int64),
        class_ids=np.empty(count, np.int64),
        roles=np.empty(count, np.int8),
        is_live=np.empty(count, np.bool_),
        embeddings=np.empty((count, size), np.float32),
        erased=_erased(connection, since, until),
        settings_changed=_is_about_settings(connection, since, until),
    )
    start = 0
    for text, values in parts:
        for block in connection.blocks(f"select {_COLUMNS} from {text} order by id", *values):
            _put(delta, start, block, size)
            start += len(block)
    return _first(delta, start)


def _first(delta: Delta, count: int) -> Delta:
    if count == len(delta.ids):
        return delta
    names = ("ids", "class_ids", "roles", "is_live", "embeddings")
    return replace(delta, **{name: getattr(delta, name)[:count] for name in names})


def _put(delta: Delta, start: int, block: list[tuple[Any, ...]], size: int) -> None:
    embeddings, ids, class_ids, roles, is_live = zip(*block, strict=True)
    rows = slice(start, start + len(block))
    delta.embeddings[rows] = np.frombuffer(b"".join(embeddings), "<f4").reshape(len(block), size)
    delta.ids[rows] = ids
    delta.class_ids[rows] = class_ids
    delta.roles[rows] = roles
    delta.is_live[rows] = is_live


def _last_exemplar(connection: Connection, since: int) -> int:
    """Return the last id that was given out when `since` was the last change."""
    return connection.value("select last_exemplar from change where id = ?", since) or 0


def _until(connection: Connection, parts: list[_Part], sequence: int, limit: int) -> int:
    """Return the last change up to which at most `limit` rows were touched; at least one change."""
    touched = " union all ".join(f"select touched from {text}" for text, _ in parts)
    values = [value for _, some in parts for value in some]
    rows = connection.rows(
        f"select touched from ({touched}) order by touched limit ?", *values, max(limit, 0) + 1
    )
    if len(rows) <= limit:
        return sequence
    first, beyond = rows[0][0], rows[-1][0]
    return int(first if beyond == first else beyond - 1)


def _most(connection: Connection, parts: list[_Part], last: int) -> int:
    """Return a number of rows that is enough, without reading the new ones to count them."""
    count = 0
    for text, values in parts:
        if text.startswith(_NEW):
            count += (connection.value("select max(id) from exemplar") or 0) - last
        else:
            count += connection.value(f"select count(*) from {text}", *values)
    return max(count, 0)


def _erased(connection: Connection, since: int, until: int) -> np.ndarray:
    rows = connection.rows(
        "select id from erased where change_id > ? and change_id <= ? order by id", since, until
    )
    return np.array([row[0] for row in rows], np.int64)


def _is_about_settings(connection: Connection, since: int, until: int) -> bool:
    found = connection.row(
        "select 1 from change where id > ? and id <= ? and is_about_settings = 1 limit 1",
        since,
        until,
    )
    return found is not None
