"""Erasure: rows, crops and what the log says of them go; a receipt and keyed hashes stay.

Deleted content is overwritten (`secure_delete`), but copies lie in the -wal file and in pages that
SQLite moved rows out of. So afterwards the file is rewritten and the -wal file cut to nothing; a
flag in the file says that this is still to be done, should it not be possible at once.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from ilk.artifact import class_hash
from ilk.errors import GalleryError
from ilk.store import Chosen, Erased, content_hash_of
from ilk.stores.sqlite.connection import Connection
from ilk.stores.sqlite.effects import from_text, to_text
from ilk.stores.sqlite.erasure import Erasure
from ilk.stores.sqlite.ranges import expand
from ilk.stores.sqlite.schema import TABLES
from ilk.stores.sqlite.suppression import digest, keyed_hash
from ilk.stores.sqlite.writing import append_change, log_end

__all__ = ["clean", "erase_rows", "has_residue"]

_RESIDUE = (
    "the rows are deleted for everybody, but bytes of them are left in the files of {}: another "
    "process reads an older state, or there is no room; close it, and erase or open the gallery "
    "again, which clears them"
)


def erase_rows(connection: Connection, chosen: Chosen, *, actor: str, time: str) -> Erased:
    """Delete rows and their traces in the transaction that is open; return the receipt."""
    erasure = Erasure(connection, chosen.class_ids, chosen.exemplar_ids)
    key: bytes = connection.value("select value from internal where key = 'key'")
    hashes = sorted(keyed_hash(key, content) for content in erasure.content_hashes)
    closed = {*hashes, *(keyed_hash(key, text) for text in _closed_with(connection, erasure))}
    sequence, last = log_end(connection)
    _delete(connection, erasure)
    num_changes = _scrub_log(connection, erasure)
    head = (time, actor, "erase", "", None)
    append_change(connection, (sequence, last), head, [], is_about_settings=True)
    connection.run_many(
        "insert or ignore into suppressed values(?)", [(h,) for h in sorted(closed)]
    )
    connection.run_many(
        "insert into erased values(?, ?)",
        [(sequence + 1, row) for row in expand(erasure.rows["exemplar"])],
    )
    receipt = Erased(
        change_id=sequence + 1,
        time=time,
        num_classes=erasure.num("class"),
        num_exemplars=erasure.num("exemplar"),
        num_unknowns=erasure.num("unknown"),
        num_strangers=erasure.num("stranger"),
        num_changes=num_changes,
        digest=digest(hashes),
    )
    connection.run("insert into receipt values(?, ?, ?, ?, ?, ?, ?, ?)", *vars(receipt).values())
    connection.run("insert or replace into internal values('residue', x'01')")
    return receipt


def has_residue(connection: Connection) -> bool:
    """Return whether bytes of erased rows may still be in the files."""
    return connection.wait("select 1 from internal where key = 'residue'") != []


def clean(connection: Connection, seconds: float) -> None:
    """Rewrite the file, so that no byte of what was deleted is left in it.

    Raises:
        GalleryError: Another process read an old state for that long, or the disk is full; a
            later call goes on.
    """
    try:
        is_clean = connection.empty_log(seconds)
        if is_clean:
            connection.wait("vacuum", seconds)
            is_clean = connection.empty_log(seconds)
    except GalleryError as error:
        raise GalleryError(f"{_RESIDUE.format(connection.path)} ({error})") from error
    if not is_clean:
        raise GalleryError(_RESIDUE.format(connection.path))
    connection.wait("delete from internal where key = 'residue'")


def _closed_with(connection: Connection, erasure: Erasure) -> Iterator[str]:
    """Yield what is closed beside contents: the embeddings for content, and classes of cohorts."""
    yield from (f"class {class_hash(label)}" for label in erasure.labels)
    statement = "select embedding from exemplar where id between ? and ?"
    for first, last in erasure.rows["exemplar"]:
        for block in connection.blocks(statement, first, last):
            yield from (content_hash_of(np.frombuffer(row[0], "<f4")) for row in block)


def _delete(connection: Connection, erasure: Erasure) -> None:
    crops = "delete from crop where exemplar_id between ? and ?"
    connection.run_many(crops, erasure.rows["exemplar"])
    for table in reversed(TABLES):
        statement = f"delete from {table} where id between ? and ?"
        connection.run_many(statement, erasure.rows[table])


def _scrub_log(connection: Connection, erasure: Erasure) -> int:
    """Take out of the log what mentions rows or labels; return how many changes lost something."""
    count = 0
    statement = "update change set effects = ?, is_erased = 1 where id = ?"
    for change, text in connection.rows("select id, effects from change"):
        effects = from_text(text)
        kept = [left for effect in effects if (left := erasure.left_of(effect)) is not None]
        if list(effects) != kept:
            count += 1
            connection.run(statement, to_text(kept), change)
    return count
