"""One transaction: rows, their effects, and one row of the log."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from itertools import repeat
from typing import Any, final

from ilk.errors import GalleryError, InvalidInput
from ilk.store import (
    Effect,
    NewExemplar,
    NewStranger,
    NewUnknown,
    Role,
    Table,
    forms_of,
)
from ilk.stores.sqlite.columns import column_of, text_of
from ilk.stores.sqlite.connection import Connection
from ilk.stores.sqlite.effects import Effects, to_json, to_text
from ilk.stores.sqlite.embeddings import checked, checksums
from ilk.stores.sqlite.ranges import to_ranges
from ilk.stores.sqlite.reading import SqliteReader
from ilk.stores.sqlite.schema import ROLES, TABLES
from ilk.stores.sqlite.suppression import keyed_hash

__all__ = ["LogEnd", "SqliteWriter", "append_change", "log_end"]

LogEnd = tuple[int, dict[str, int]]
"""The id of the last change, and the last id that was given out in each table."""

_LAST = ", ".join(f"last_{table}" for table in TABLES)


@final
class SqliteWriter(SqliteReader):
    """What `Store.changing` gives; its owner begins and commits."""

    def __init__(self, connection: Connection, size: int, end: LogEnd, time: str) -> None:
        super().__init__(connection, size, end[0], time)
        self._last = dict(end[1])
        self._effects = Effects()
        self._undoes: int | None = None
        self.failure: BaseException | None = None
        """A statement that failed half-way, after which nothing may be committed."""

    @property
    def change_id(self) -> int:
        """The id that this change has in the log."""
        return self._sequence + 1

    def add_class(self, label: str) -> int:
        """Add a live class and return its id.

        Raises:
            GalleryError: A live class has that label.
        """
        if not label:
            raise InvalidInput("expected a label, got an empty one")
        self._check_label(text_of(label, "label"))
        (class_id,) = self._new_ids("class", 1)
        self._insert("class", [(class_id, 1, self.change_id, self.change_id, label)])
        return class_id

    def add_exemplars(
        self, class_id: int | None, rows: Sequence[NewExemplar], *, role: Role = "exemplar"
    ) -> list[int]:
        """Add live exemplars and return their ids, which are consecutive."""
        if role not in ROLES or (class_id is None) != (role == "ignore"):
            raise InvalidInput(
                f"expected a class for role exemplar or not, and none for ignore, got {class_id} "
                f"for {role!r}"
            )
        if not rows:
            return []
        embeddings = checked([row.embedding for row in rows], self._size)
        hashes = [row.content_hash for row in rows]
        names = [row.name for row in rows]
        if not "".join([*hashes, *names]).isascii():
            hashes = [text_of(content_hash, "content hash") for content_hash in hashes]
            names = [text_of(name, "name", is_strict=False) for name in names]
        metadata, expires, seldom = _seldom_columns(rows)
        ids = self._new_ids("exemplar", len(rows))
        # zip and repeat keep Python out of the loop over rows
        always = (ids, repeat(class_id), repeat(self.change_id), repeat(self.change_id))
        self._write_many(
            f"insert into exemplar values(?, ?, {ROLES.index(role)}, 1, ?, ?, ?, ?, {metadata}, "
            f"{expires}, ?, ?)",
            zip(*always, hashes, names, *seldom, embeddings, checksums(embeddings), strict=False),
        )
        crops = [(i, row.crop) for i, row in zip(ids, rows, strict=True) if row.crop is not None]
        if crops:
            self._write_many("insert into crop values(?, ?)", crops)
        return list(ids)

    def add_strangers(self, rows: Sequence[NewStranger]) -> list[int]:
        """Add strangers and return their ids."""
        if not rows:
            return []
        embeddings = checked([row.embedding for row in rows], self._size)
        groups = [text_of(row.group, "group") for row in rows]
        ids = self._new_ids("stranger", len(rows))
        change = repeat(self.change_id)
        hashes = [row.content_hash for row in rows]
        sums = checksums(embeddings)
        self._insert(
            "stranger",
            zip(ids, repeat(1), change, change, hashes, groups, embeddings, sums, strict=False),
            num_columns=8,
        )
        return list(ids)

    def add_unknowns(self, rows: Sequence[NewUnknown]) -> list[int]:
        """Keep unknown probes and return their ids; a content hash that is kept stays one row."""
        embeddings = checked([row.embedding for row in rows], self._size)
        found: list[int] = []
        for row, embedding in zip(rows, embeddings, strict=True):
            if not row.distance >= 0:
                raise InvalidInput(f"expected a distance of at least 0, got {row.distance}")
            kept = self._open.row(
                "select id from unknown where content_hash = ? and is_live = 1", row.content_hash
            )
            if kept is not None:
                found.append(kept[0])
                continue
            (unknown_id,) = self._new_ids("unknown", 1)
            name = text_of(row.name, "name", is_strict=False)
            head = (unknown_id, 1, self.change_id, self.change_id, row.content_hash, name)
            tail = (float(row.distance), embedding, row.crop, *checksums([embedding]))
            self._insert("unknown", [(*head, *tail)])
            found.append(unknown_id)
        return found

    def update(self, table: Table, ids: Iterable[int], field: str, value: Any) -> None:
        """Set one field of some rows; rows that have the value already are not touched.

        Fields: class: label, is_live; exemplar: class_id, role, is_live, name, metadata, expires;
        stranger and unknown: is_live.
        """
        column = column_of(table, field)
        new = column.encode(value)
        if (table, field) == ("class", "label"):
            self._check_label(new)
        for first, last in to_ranges(ids):
            rows = self._open.rows(
                f"select id, {field} from {table} where id between ? and ?", first, last
            )
            if len(rows) != last - first + 1:
                there = {row[0] for row in rows}
                missing = next(i for i in range(first, last + 1) if i not in there)
                raise InvalidInput(f"expected ids of table {table}, there is no {missing}")
            before: dict[Any, list[int]] = {}
            for row, old in rows:
                if old != new:
                    before.setdefault(old, []).append(row)
            for old, touched in before.items():
                values = (column.decode(old), column.decode(new))
                self._effects.note(table, field, *values, to_ranges(touched))
            if before:
                self._write(
                    f"update {table} set {field} = ?, touched = ? "
                    f"where id between ? and ? and {field} is not ?",
                    *(new, self.change_id, first, last, new),
                )

    def set(self, key: str, value: Any) -> None:
        """Set a setting to a JSON value; None takes it away."""
        found = self._open.row("select value from setting where key = ?", key)
        try:
            new = None if value is None else to_json(value)
        except (TypeError, ValueError) as error:
            raise InvalidInput(f"setting {key!r} must be a JSON value ({error})") from error
        if new == (found and found[0]):
            return
        before = json.loads(found[0]) if found else None
        self._effects.note("setting", key, before, json.loads(new or "null"), ())
        if new is None:
            self._write("delete from setting where key = ?", key)
        else:
            self._write("insert or replace into setting values(?, ?)", key, new)

    def reopen(self, content_hashes: Iterable[str]) -> int:
        """Let content that an erasure closed be enrolled again; return how much of it was closed.

        The number is in the log as the setting "num_reopened", which only grows.
        """
        found = self.suppressed(content_hashes)
        if found:
            key = self._open.value("select value from internal where key = 'key'")
            hashes = [(keyed_hash(key, form),) for text in found for form in forms_of(text)]
            self._write_many("delete from suppressed where hash = ?", hashes)
            self.set("num_reopened", self.settings().get("num_reopened", 0) + len(found))
        return len(found)

    def mark_undo(self, change_id: int) -> None:
        """Note that this change turns that one around."""
        if not 1 <= change_id <= self._sequence:
            raise InvalidInput(f"expected a change from 1 to {self._sequence}, got {change_id}")
        self._undoes = change_id

    def finish(self, action: str, actor: str, call: str) -> bool:
        """Write the row of the log; return False if nothing was touched."""
        if self.failure is not None:
            raise GalleryError(f"nothing was changed: {self.failure}")
        if not self._effects:
            return False
        append_change(
            self._connection,
            (self._sequence, self._last),
            (self._time, actor, action, call, self._undoes),
            self._effects.net(),
            is_about_settings=self._effects.is_about_settings,
        )
        return True

    def _check_label(self, label: str) -> None:
        taken = self._open.row("select id from class where label = ? and is_live = 1", label)
        if taken is not None:
            raise GalleryError(f"expected a label that no class has, got {label!r}, which one has")

    def _new_ids(self, table: Table, count: int) -> range:
        first = self._last[table] + 1
        self._last[table] += count
        self._effects.note(table, "is_live", False, True, [(first, self._last[table])])
        return range(first, first + count)

    def _insert(
        self, table: Table, rows: Iterable[Sequence[Any]], num_columns: int | None = None
    ) -> None:
        if num_columns is None:
            rows = list(rows)
            num_columns = len(rows[0])
        places = ", ".join("?" * num_columns)
        self._write_many(f"insert into {table} values({places})", rows)

    def _write(self, statement: str, *values: Any) -> None:
        self._write_many(statement, [values])

    def _write_many(self, statement: str, rows: Iterable[Sequence[Any]]) -> None:
        try:
            self._open.run_many(statement, rows)
        except BaseException as error:
            self.failure = error
            raise


def log_end(connection: Connection) -> LogEnd:
    """Return where the log ends."""
    row = connection.row(f"select id, {_LAST} from change order by id desc limit 1")
    row = row or (0,) * (1 + len(TABLES))
    return row[0], dict(zip(TABLES, row[1:], strict=True))


def append_change(
    connection: Connection,
    end: LogEnd,
    head: tuple[str, str, str, str, int | None],
    effects: Iterable[Effect],
    *,
    is_about_settings: bool,
) -> None:
    """Append a row to the log: `head` is time, actor, action, call, undoes."""
    sequence, last = end
    connection.run(
        "insert into change values(?, ?, ?, ?, ?, ?, 0, ?, ?, ?, ?, ?, ?, random())",
        *(sequence + 1, *head, int(is_about_settings)),
        *(last[table] for table in TABLES),
        to_text(effects),
    )


def _seldom_columns(rows: Sequence[NewExemplar]) -> tuple[str, str, list[list[Any]]]:
    """Return what stands for metadata and expiry in the statement, and the values where any has."""
    metadata, expires = "'{}'", "null"
    values: list[list[Any]] = []
    if any(row.metadata for row in rows):
        encode = column_of("exemplar", "metadata").encode
        metadata = "?"
        values.append([encode(row.metadata) for row in rows])
    if any(row.expires is not None for row in rows):
        expires = "?"
        values.append([row.expires for row in rows])
    return metadata, expires, values
