"""A store filled with the rows and the log of another: ids, times and what can be undone stay.

Whoever made them may have meant harm, so that rows and log are held against each other before
anything is committed.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from itertools import pairwise
from typing import Any

from ilk.errors import GalleryError, InvalidInput
from ilk.store import ChangeRow, Effect, Past, Table
from ilk.stores.sqlite.checking import find_faults
from ilk.stores.sqlite.columns import column_of, text_of
from ilk.stores.sqlite.connection import Connection
from ilk.stores.sqlite.effects import Effects, to_json
from ilk.stores.sqlite.ranges import expand
from ilk.stores.sqlite.schema import TABLES
from ilk.stores.sqlite.writing import SqliteWriter, append_change

__all__ = ["restore_rows"]

_RECEIPT_COLUMNS = 8
_WHY = "rows and history do not fit each other"


def restore_rows(connection: Connection, size: int, past: Past) -> None:
    """Write rows and log in the transaction that is open.

    Raises:
        InvalidInput: They do not fit each other, or the store is not empty.
    """
    if connection.value("select count(*) from change") or any(
        connection.value(f"select count(*) from {table}") for table in TABLES
    ):
        raise InvalidInput("expected an empty store to restore another in, got one that is filled")
    try:
        highest = _check_log(past)
        _add_rows(connection, size, past)
        _write_log(connection, past.changes, highest)
        _date_rows(connection, past.changes)
        for key, value in past.settings.items():
            connection.run("insert into setting values(?, ?)", key, to_json(value))
        places = ", ".join("?" * _RECEIPT_COLUMNS)
        receipts = [tuple(vars(receipt).values()) for receipt in past.receipts]
        connection.run_many(f"insert into receipt values({places})", receipts)
    except (TypeError, ValueError, KeyError, OverflowError) as error:
        raise InvalidInput(f"{_WHY} ({error})") from error
    except GalleryError as error:
        if not isinstance(error.__cause__, sqlite3.IntegrityError):
            raise
        raise InvalidInput(f"{_WHY} ({error})") from error
    if faults := find_faults(connection):
        raise InvalidInput(f"{_WHY} ({faults[0]})")


def _add_rows(connection: Connection, size: int, past: Past) -> None:
    """Add rows; those of the past first, as of what is live there may be only one."""

    def add(table: Table, row: int, is_live: bool, work: Callable[[SqliteWriter], object]) -> None:
        last: dict[str, int] = {**dict.fromkeys(TABLES, 0), table: row - 1}
        writer = SqliteWriter(connection, size, (-1, last), "")
        work(writer)
        if not is_live:
            connection.run(f"update {table} set is_live = 0 where id = ?", row)

    for now in (False, True):
        for row, label in [(i, label) for i, lives, label in past.classes if lives is now]:
            add("class", row, now, partial(SqliteWriter.add_class, label=label))
    for now in (False, True):
        for row, lives, class_id, role, new in past.exemplars:
            if lives is now:
                work = partial(SqliteWriter.add_exemplars, class_id=class_id, rows=[new], role=role)
                add("exemplar", row, now, work)
        for row, lives, stranger in past.strangers:
            if lives is now:
                add("stranger", row, now, partial(SqliteWriter.add_strangers, rows=[stranger]))
        for row, lives, unknown in past.unknowns:
            if lives is now:
                add("unknown", row, now, partial(SqliteWriter.add_unknowns, rows=[unknown]))


def _check_log(past: Past) -> dict[Table, int]:
    """Check the log value by value; return the highest id of each table.

    Raises:
        InvalidInput: It is none.
    """
    rows: Mapping[Table, Sequence[tuple[Any, ...]]] = {
        "class": past.classes,
        "exemplar": past.exemplars,
        "stranger": past.strangers,
        "unknown": past.unknowns,
    }
    highest: dict[Table, int] = {}
    for table, found in rows.items():
        ids = [row[0] for row in found]
        if len(set(ids)) != len(ids) or any(type(i) is not int or i < 1 for i in ids):
            raise InvalidInput(f"an id of table {table} is none, or two rows have it")
        highest[table] = max(ids, default=0)
    for at, change in enumerate(past.changes, 1):
        if change.id != at:
            raise InvalidInput(f"change {change.id} is at the place of {at}")
        for text in (change.time, change.actor, change.action, change.call):
            text_of(text, "text of the history")
        if change.undoes is not None and not 1 <= change.undoes < at:
            raise InvalidInput(f"change {at} undoes {change.undoes!r}")
        for effect in change.effects:
            _check_effect(effect, highest)
    return highest


def _check_effect(effect: Effect, highest: Mapping[Table, int]) -> None:
    if effect.table == "setting":
        text_of(effect.field, "name of a setting")
        if effect.rows:
            raise InvalidInput("a setting has no rows")
        return
    column_of(effect.table, effect.field)
    ends = [end for pair in effect.rows for end in pair]
    is_ascending = all(a <= b for a, b in effect.rows) and all(
        a[1] < b[0] for a, b in pairwise(effect.rows)
    )
    if not ends or not is_ascending or ends[0] < 1 or ends[-1] > highest[effect.table]:
        raise InvalidInput(f"an effect on {effect.table} has rows {effect.rows!r:.80}")


def _write_log(
    connection: Connection, changes: Iterable[ChangeRow], highest: Mapping[Table, int]
) -> None:
    last: dict[str, int] = dict.fromkeys(TABLES, 0)
    changes = list(changes)
    for change in changes:
        about = Effects()
        for effect in change.effects:
            about.note(effect.table, effect.field, effect.before, effect.after, effect.rows)
            if (effect.field, effect.after) == ("is_live", True):
                last[effect.table] = max(last[effect.table], effect.rows[-1][1])
        if change is changes[-1]:
            last = {table: max(last[table], highest[table]) for table in TABLES}
        head = (change.time, change.actor, change.action, change.call, change.undoes)
        end = (change.id - 1, {**last})
        is_about_settings = about.is_about_settings
        append_change(connection, end, head, change.effects, is_about_settings=is_about_settings)
        if change.is_erased:
            connection.run("update change set is_erased = 1 where id = ?", change.id)


def _date_rows(connection: Connection, changes: Iterable[ChangeRow]) -> None:
    """Note on each row which change brought it, and which touched it last."""
    added: dict[tuple[Table, int], int] = {}
    touched: dict[tuple[Table, int], int] = {}
    for change in changes:
        for table, row in _rows_of(change):
            added.setdefault((table, row), change.id)
            touched[table, row] = change.id
    for table in TABLES:
        rows = [(c, touched[t, row], row) for (t, row), c in added.items() if t == table]
        connection.run_many(f"update {table} set added = ?, touched = ? where id = ?", rows)
        missing = connection.row(f"select id from {table} where added = 0")
        if missing is not None:
            raise InvalidInput(f"no change brought {table} {missing[0]}")


def _rows_of(change: ChangeRow) -> Iterator[tuple[Table, int]]:
    for effect in change.effects:
        yield from ((effect.table, row) for row in expand(effect.rows))
