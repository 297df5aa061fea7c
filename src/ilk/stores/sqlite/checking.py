"""Looking over the whole file: its pages, its rows, and whether rows and log tell the same."""

from __future__ import annotations

import json
from typing import Any

import numpy as np

from ilk.errors import DamagedGallery, GalleryError
from ilk.stores.sqlite.columns import column_of
from ilk.stores.sqlite.connection import Connection
from ilk.stores.sqlite.effects import from_text, to_json
from ilk.stores.sqlite.embeddings import is_whole
from ilk.stores.sqlite.ranges import expand
from ilk.stores.sqlite.schema import EMBEDDED, TABLES

__all__ = ["find_faults"]

_QUESTIONS = {
    "exemplar {} is live in a class that is not": """
        select exemplar.id from exemplar join class on class.id = class_id
        where exemplar.is_live = 1 and class.is_live = 0""",
    "exemplar {} has a role that does not fit to its class": """
        select id from exemplar where is_live = 1 and (role = 2) != (class_id is null)""",
    "exemplar {} was erased and is there": """
        select exemplar.id from exemplar join erased on erased.id = exemplar.id""",
    "change {} does not follow on the one before it": """
        select id from (select id, row_number() over (order by id) as number from change)
        where id != number""",
    "change {} undoes one that is not before it": """
        select id from change where undoes is not null and undoes not between 1 and id - 1""",
}


def find_faults(connection: Connection) -> list[str]:
    """Return what is wrong, in words; nothing if all is well."""
    faults: list[str] = []
    for step in (_pages, _answers, _counters, _embeddings, _log):
        try:
            faults += step(connection)
        except DamagedGallery as error:
            return [*faults, str(error)]
        except (GalleryError, ValueError, KeyError) as error:
            faults.append(f"{connection.path}: {error}")
    return faults


def _pages(connection: Connection) -> list[str]:
    path = connection.path
    found = [row[0] for row in connection.rows("pragma integrity_check")]
    faults = [f"{path}: {text}" for text in found if text != "ok"]
    broken = connection.rows("pragma foreign_key_check")
    return faults + [f"{path}: row {row[1]} of {row[0]} points at nothing" for row in broken]


def _answers(connection: Connection) -> list[str]:
    return [
        fault.format(row[0])
        for fault, question in _QUESTIONS.items()
        for row in connection.rows(question)
    ]


def _counters(connection: Connection) -> list[str]:
    faults = []
    sequence = connection.value("select max(id) from change") or 0
    for table in TABLES:
        highest = connection.value(f"select max(id) from {table}") or 0
        given = connection.value(f"select max(last_{table}) from change") or 0
        if highest > given:
            faults.append(f"{table} {highest} is there, the log gave out ids up to {given}")
        row = connection.row(
            f"select id from {table} where touched > ? or touched < added or added < 1", sequence
        )
        if row is not None:
            faults.append(f"{table} {row[0]} was touched by a change that is not in the log")
    return faults


def _embeddings(connection: Connection) -> list[str]:
    faults = []
    for table in EMBEDDED:
        statement = f"select id, embedding, {connection.checksum} from {table}"
        for block in connection.blocks(statement):
            whole = is_whole([row[1] for row in block], [row[2] for row in block])
            faults += [
                f"the embedding of {table} {block[i][0]} is damaged: it is not what was written; "
                "it is left out of every comparison"
                for i in np.flatnonzero(~whole)
            ]
            matrix = np.frombuffer(b"".join(row[1] for row in block), "<f4")
            bad = whole & ~np.isfinite(matrix.reshape(len(block), -1)).all(axis=1)
            faults += [
                f"the embedding of {table} {block[i][0]} is not finite" for i in np.flatnonzero(bad)
            ]
    return faults


def _log(connection: Connection) -> list[str]:
    """Compare each field of each row with what the log says of it last.

    Where an erasure took entries out of a later change, rows may be ahead of what is left.
    """
    told: dict[tuple[str, str], dict[int, tuple[Any, int]]] = {}
    erased = connection.value("select max(id) from change where is_erased = 1") or 0
    for block in connection.blocks("select id, effects from change order by id"):
        for change, text in block:
            for effect in from_text(text):
                values = told.setdefault((effect.table, effect.field), {})
                rows = expand(effect.rows or [(0, 0)])
                values.update(dict.fromkeys(rows, (effect.after, change)))
    faults = []
    for (table, field), values in told.items():
        kept = _present(connection, table, field)
        for row, (value, change) in values.items():
            if row not in kept:
                faults.append(f"{table} {row} is in the log and not there")
            elif change >= erased and to_json(kept[row]) != to_json(value):
                what = f"{kept[row]!r}, the log says {value!r}"
                faults.append(f"{table} {row or ''} has {field} {what}")
    return faults


def _present(connection: Connection, table: str, field: str) -> dict[int, Any]:
    """Return the values of a field by row; of a setting as row 0."""
    if table == "setting":
        row = connection.row("select value from setting where key = ?", field)
        return {0: json.loads(row[0]) if row else None}
    decode = column_of(table, field).decode
    return {row[0]: decode(row[1]) for row in connection.rows(f"select id, {field} from {table}")}
