"""What happened to exemplars after a sequence number, straight into arrays.

New rows lie behind the last id of that change; rows touched later are in the index on `touched`.
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import replace
from itertools import chain
from typing import Any

import numpy as np

from ilk.store import Delta
from ilk.stores.sqlite.connection import Connection
from ilk.stores.sqlite.embeddings import is_whole

__all__ = ["read_delta"]

_COLUMNS = "embedding, id, ifnull(class_id, -1), role, is_live, {}"
_NEW = "exemplar where id > ? and id <= ?"
_OLD = "exemplar indexed by exemplar_touched where touched != added and touched > ? and id <= ?"


def read_delta(
    connection: Connection, size: int, since: int, sequence: int, limit: int | None
) -> Delta:
    """Return the delta from `since` to the end `sequence`, or to an earlier one by the limit."""
    last = _last_exemplar(connection, since)
    until, end = sequence, connection.value("select max(id) from exemplar") or 0
    if limit is not None:
        until = _until(connection, since, last, sequence, limit)
    if until < sequence:
        end = _last_exemplar(connection, until)
    condition, values = (" and touched <= ?", (until,)) if until < sequence else ("", ())
    parts: list[tuple[str, tuple[int, ...]]] = []
    most = max(end - last, 0)
    if since:
        parts.append((_OLD + condition, (since, last, *values)))
        most += connection.value(f"select count(*) from {parts[0][0]}", *parts[0][1])
    is_live = "" if since else " and is_live = 1"
    parts.append((_NEW + condition + is_live, (last, end, *values)))
    delta = Delta(
        sequence=until,
        ids=np.empty(most, np.int64),
        class_ids=np.empty(most, np.int64),
        roles=np.empty(most, np.int8),
        is_live=np.empty(most, np.bool_),
        embeddings=np.empty((most, size), np.float32),
        erased=_erased(connection, since, until),
        settings_changed=_is_about_settings(connection, since, until),
    )
    start, damaged = 0, list[int]()
    columns = _COLUMNS.format(connection.checksum)
    for text, bounds in parts:
        for block in connection.blocks(f"select {columns} from {text} order by id", *bounds):
            start += _put(delta, start, block, damaged)
    return replace(_first(delta, start), damaged=np.array(damaged, np.int64))


def _first(delta: Delta, count: int) -> Delta:
    if count == len(delta.ids):
        return delta
    names = ("ids", "class_ids", "roles", "is_live", "embeddings")
    return replace(delta, **{name: getattr(delta, name)[:count] for name in names})


def _put(delta: Delta, start: int, block: list[tuple[Any, ...]], damaged: list[int]) -> int:
    """Put rows in, those that are damaged aside; return how many came in."""
    whole = is_whole([row[0] for row in block], [row[5] for row in block])
    if not whole.all():
        damaged += [row[1] for row, is_sound in zip(block, whole, strict=True) if not is_sound]
        block = [row for row, is_sound in zip(block, whole, strict=True) if is_sound]
    if not block:
        return 0
    embeddings, ids, class_ids, roles, is_live, _ = zip(*block, strict=True)
    rows = slice(start, start + len(block))
    delta.embeddings[rows] = np.frombuffer(b"".join(embeddings), "<f4").reshape(len(block), -1)
    delta.ids[rows] = ids
    delta.class_ids[rows] = class_ids
    delta.roles[rows] = roles
    delta.is_live[rows] = is_live
    return len(block)


def _last_exemplar(connection: Connection, since: int) -> int:
    """Return the last id that was given out when `since` was the last change."""
    return connection.value("select last_exemplar from change where id = ?", since) or 0


def _until(connection: Connection, since: int, last: int, sequence: int, limit: int) -> int:
    """Return the last change up to which at most `limit` rows were touched; at least one change.

    Rows that were added and touched again count twice, so that it need not read the rows.
    """
    old: list[int] = []
    if since:
        found = connection.rows(
            f"select touched from {_OLD} order by touched limit ?", since, last, limit + 1
        )
        old = [row[0] for row in found]
    changes = connection.blocks(
        "select id, last_exemplar from change where id > ? order by id", since
    )
    until = since
    for change, end in chain.from_iterable(changes):
        if end - last + bisect_right(old, change) > limit:
            return max(until, since + 1)
        until = change
    return sequence


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
