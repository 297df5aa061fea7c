"""A copy for another encoder: same ids, labels, times, log, closed content; other embeddings.

A copy that is there is brought up to date at the cost of the rows that were touched since, so that
most of it can be made while others write.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from ilk.store import Effect, Table
from ilk.stores.sqlite import schema
from ilk.stores.sqlite.connection import Connection, create_file
from ilk.stores.sqlite.effects import from_text, to_json, to_text
from ilk.stores.sqlite.embeddings import checked, checksums
from ilk.stores.sqlite.ranges import Ranges, subtract, to_ranges

__all__ = ["Embeddings", "adopt_suppressed", "update_copy"]

Embeddings = Callable[[Table, Sequence[int]], Mapping[int, np.ndarray]]
"""From rows of a table to their (D,) float32 embeddings; rows that it leaves out are not copied."""

_VERBATIM = ("suppressed", "receipt", "erased")
_BLOCK = 1000


def update_copy(
    source: Path,
    target: Path,
    facts: Mapping[str, Any],
    embeddings: Embeddings,
    timeout_seconds: float,
) -> int:
    """Make the copy, or bring it up to date; return the last change that is in it.

    What the log says of rows that are left out is left out; a change that brought or took such
    strangers cannot be undone any more.
    """
    if target.exists() and _is_behind_erasure(source, target, timeout_seconds):
        for name in (target.name, f"{target.name}-wal", f"{target.name}-shm"):
            target.with_name(name).unlink(missing_ok=True)
    if not target.exists():
        statements: list[tuple[str, tuple[Any, ...]]] = [
            (text, ()) for text in schema.statements(int(facts["embedding_size"]))
        ]
        statements += [
            ("insert into fact values(?, ?)", (key, to_json(value))) for key, value in facts.items()
        ]
        statements += [
            (f"pragma application_id={schema.APPLICATION_ID}", ()),
            (f"pragma user_version={schema.version()}", ()),
        ]
        create_file(target, statements)
    with _joined(target, source, timeout_seconds) as connection:
        connection.run("begin")
        try:
            sequence = _copy(connection, int(facts["embedding_size"]), embeddings)
            connection.commit()
        except BaseException:
            connection.roll_back()
            raise
    return sequence


def adopt_suppressed(path: Path, copy: Path, timeout_seconds: float) -> None:
    """Close the content that was closed in a copy of this store."""
    with _joined(path, copy, timeout_seconds) as connection:
        connection.run("insert or ignore into suppressed select hash from source.suppressed")


@contextmanager
def _joined(path: Path, source: Path, timeout_seconds: float) -> Iterator[Connection]:
    """Give a connection to one file that can read another under the name `source`."""
    connection = Connection(path, "rw", timeout_seconds)
    try:
        # rows arrive table by table, and those of classes may be replaced
        connection.run("pragma foreign_keys=off")
        connection.run("attach ? as source", f"{source.absolute().as_uri()}?mode=ro")
        yield connection
    finally:
        connection.close()


def _is_behind_erasure(source: Path, target: Path, timeout_seconds: float) -> bool:
    """Return whether something was erased since the copy was made, so that it starts anew."""
    with _joined(target, source, timeout_seconds) as connection:
        here = connection.value("select max(id) from main.change") or 0
        return (connection.value("select max(change_id) from source.receipt") or 0) > here


def _copy(connection: Connection, size: int, embeddings: Embeddings) -> int:
    """Copy every row that was touched since the last change that is here."""
    since = connection.value("select max(id) from main.change") or 0
    sequence: int = connection.value("select max(id) from source.change") or 0
    if sequence == since and since:
        return sequence
    for table in schema.TABLES:
        connection.run(
            f"delete from main.{table} where id in "
            f"(select id from source.{table} where touched > ?)",
            since,
        )
    connection.run("insert into main.class select * from source.class where touched > ?", since)
    for table in schema.EMBEDDED:
        _copy_embedded(connection, table, since, size, embeddings)
    connection.run(
        "insert or ignore into main.crop select * from source.crop where exemplar_id in "
        "(select id from main.exemplar where touched > ?)",
        since,
    )
    _copy_log(connection, since)
    connection.run("delete from main.setting")
    connection.run("insert into main.setting select * from source.setting")
    for name in _VERBATIM:
        connection.run(f"insert or ignore into main.{name} select * from source.{name}")
    connection.run(
        "insert or ignore into main.internal select * from source.internal where key = 'key'"
    )
    return sequence


def _copy_embedded(
    connection: Connection, table: Table, since: int, size: int, embeddings: Embeddings
) -> None:
    names = [row[1] for row in connection.rows(f"pragma main.table_info({table})")]
    made_anew = ("embedding", "checksum")
    at, end = map(names.index, made_anew)
    columns = ", ".join("null" if name in made_anew else f'"{name}"' for name in names)
    places = ", ".join("?" * len(names))
    statement = f"select {columns} from source.{table} where touched > ? order by id"
    for block in connection.blocks(statement, since, size=_BLOCK):
        made = embeddings(table, [row[0] for row in block])
        kept = [row for row in block if row[0] in made]
        blobs = checked([made[row[0]] for row in kept], size)
        rows = [
            (*row[:at], blob, *row[at + 1 : end], checksum, *row[end + 1 :])
            for row, blob, checksum in zip(kept, blobs, checksums(blobs), strict=True)
        ]
        connection.run_many(f"insert into main.{table} values({places})", rows)


def _copy_log(connection: Connection, since: int) -> None:
    connection.run("insert into main.change select * from source.change where id > ?", since)
    lost: dict[Table, Ranges] = {
        table: to_ranges(
            row[0]
            for row in connection.rows(
                f"select id from source.{table} except select id from main.{table}"
            )
        )
        for table in schema.EMBEDDED
    }
    if not any(lost.values()):
        return
    statement = "select id, effects, is_erased from main.change where id > ?"
    for change, text, is_erased in connection.rows(statement, since):
        effects = from_text(text)
        kept = [left for effect in effects if (left := _left_of(effect, lost)) is not None]
        if list(effects) != kept:
            is_erased |= _rows_of(effects, "stranger") != _rows_of(kept, "stranger")
            connection.run(
                "update main.change set effects = ?, is_erased = ? where id = ?",
                *(to_text(kept), int(is_erased), change),
            )


def _left_of(effect: Effect, lost: Mapping[Table, Ranges]) -> Effect | None:
    if not lost.get(effect.table):
        return effect
    rows = subtract(effect.rows, lost[effect.table])
    return replace(effect, rows=rows) if rows else None


def _rows_of(effects: Sequence[Effect], table: Table) -> list[tuple[tuple[int, int], ...]]:
    return [effect.rows for effect in effects if effect.table == table]
