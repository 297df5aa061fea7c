"""One consistent view: every question that the file answers."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from ilk.errors import DamagedGallery, GalleryError, InvalidInput
from ilk.store import (
    ChangeRow,
    ClassRow,
    Delta,
    Erased,
    ExemplarRow,
    Strangers,
    UnknownRow,
    forms_of,
)
from ilk.stores.sqlite.connection import Connection
from ilk.stores.sqlite.deltas import read_delta
from ilk.stores.sqlite.effects import from_text
from ilk.stores.sqlite.embeddings import is_whole
from ilk.stores.sqlite.ranges import to_ranges
from ilk.stores.sqlite.schema import ROLES
from ilk.stores.sqlite.suppression import keyed_hash

__all__ = ["SqliteReader"]

_CLASSES = """
    select id, label, is_live,
        (select count(*) from exemplar where class_id = class.id and role = 0 and is_live = 1)
    from class"""

_EXEMPLARS = """
    select exemplar.id, class_id, role, name, content_hash, coalesce(time, ?), metadata,
        exists(select 1 from crop where exemplar_id = exemplar.id), expires, is_live
    from exemplar left join change on change.id = added"""

_BLOCK = 250
"""How many values one statement is given, or three times as many."""


class SqliteReader:
    """What `Store.reading` gives; it ends with its `with` block."""

    def __init__(self, connection: Connection, size: int, sequence: int, time: str = "") -> None:
        self._connection = connection
        self._size = size
        self._sequence = sequence
        self._time = time
        """Of rows whose change is not in the log yet."""
        self._is_over = False

    def end(self) -> None:
        """Refuse further questions: their answers would belong to another view."""
        self._is_over = True

    @property
    def _open(self) -> Connection:
        if self._is_over:
            raise GalleryError("this view of the store has ended; ask inside its `with` block")
        return self._connection

    def sequence(self) -> int:
        """Return the id of the last change, 0 for none."""
        return self._sequence

    def settings(self) -> dict[str, Any]:
        """Return all settings: JSON values by key."""
        rows = self._open.rows("select key, value from setting order by key")
        return {key: json.loads(value) for key, value in rows}

    def classes(self, *, is_live: bool | None = True) -> list[ClassRow]:
        """Return classes by label; those of the past too if `is_live` is None."""
        where = "" if is_live is None else f" where is_live = {int(is_live)}"
        rows = self._open.rows(f"{_CLASSES}{where} order by label, id")
        return [_class_row(row) for row in rows]

    def find_class(self, label: str) -> ClassRow | None:
        """Return the live class of that label."""
        row = self._open.row(f"{_CLASSES} where label = ? and is_live = 1", label)
        return _class_row(row) if row else None

    def get_class(self, class_id: int) -> ClassRow | None:
        """Return the class of that id, live or not."""
        row = self._open.row(f"{_CLASSES} where id = ?", int(class_id))
        return _class_row(row) if row else None

    def exemplars(
        self,
        class_id: int | None = None,
        *,
        ids: Iterable[int] | None = None,
        is_live: bool | None = True,
    ) -> list[ExemplarRow]:
        """Return exemplars by id: of all, of one class, or those of `ids`."""
        conditions = [] if is_live is None else [f"is_live = {int(is_live)}"]
        values: list[Any] = []
        if class_id is not None:
            conditions.append("class_id = ?")
            values.append(int(class_id))
        if ids is None:
            return self._exemplars(conditions, values)
        conditions.append("exemplar.id between ? and ?")
        return [
            row
            for first, last in to_ranges(ids)
            for row in self._exemplars(conditions, [*values, first, last])
        ]

    def find_content(self, content_hashes: Iterable[str]) -> dict[str, list[ExemplarRow]]:
        """Return the live exemplars (of any role) of each content hash that has some."""
        wanted = list(dict.fromkeys(content_hashes))
        found: dict[str, list[ExemplarRow]] = {}
        for role in ("role = 0", "role != 0"):  # each has its index
            for block in _blocks(wanted):
                places = ", ".join("?" * len(block))
                conditions = ["is_live = 1", role, f"content_hash in ({places})"]
                for row in self._exemplars(conditions, block):
                    found.setdefault(row.content_hash, []).append(row)
        return {name: sorted(found[name], key=_id) for name in wanted if name in found}

    def embeddings(self, ids: Sequence[int] | np.ndarray) -> np.ndarray:
        """Return the (N, D) float32 embeddings of exemplars, in the order of `ids`."""
        distinct, places = np.unique(np.asarray(ids, np.int64), return_inverse=True)
        found = np.empty((len(distinct), self._size), np.float32)
        count = 0
        statement = (
            f"select embedding, id, {self._open.checksum} from exemplar where id between ? and ? "
            "order by id"
        )
        for first, last in to_ranges(distinct):
            for block in self._open.blocks(statement, first, last):
                self._require_whole(block)
                found[count : count + len(block)] = _matrix(block, self._size)
                count += len(block)
        if count != len(distinct):
            raise InvalidInput(f"expected ids of exemplars, {len(distinct) - count} do not exist")
        is_plain = len(distinct) == len(places) and bool((places == np.arange(len(places))).all())
        return found if is_plain else found[places]

    def damaged(self, ids: Iterable[int] | None = None) -> list[int]:
        """Return the exemplars, of all or of `ids`, whose embedding is not what was written."""
        statement = (
            f"select embedding, id, {self._open.checksum} from exemplar where id between ? and ?"
        )
        return [
            row[1]
            for first, last in (to_ranges(ids) if ids is not None else ((0, 2**62),))
            for block in self._open.blocks(f"{statement} order by id", first, last)
            for row, is_sound in zip(block, _whole(block), strict=True)
            if not is_sound
        ]

    def crop(self, exemplar_id: int) -> bytes | None:
        """Return the kept crop of an exemplar."""
        row = self._open.row("select picture from crop where exemplar_id = ?", int(exemplar_id))
        return row[0] if row else None

    def delta(self, since: int, *, limit: int | None = None) -> Delta:
        """Return what happened to exemplars after the sequence number `since`.

        Args:
            since: 0 gives all rows that are live.
            limit: Unused rows stay for a later call if more than this many were touched; a change
                is never cut in two, so the first may have more.
        """
        if not 0 <= since <= self._sequence:
            raise InvalidInput(
                f"since must be a sequence number from 0 to {self._sequence}, got {since}; "
                "read everything again"
            )
        return read_delta(self._open, self._size, since, self._sequence, limit)

    def token(self, sequence: int) -> str | None:
        """Return the random token of a change; None if there is no such change, or it has none."""
        found = self._open.value(f"select {self._open.token} from change where id = ?", sequence)
        return None if found is None else f"{found:x}"

    def changes(self, *, last: int | None = None, since: int = 0) -> list[ChangeRow]:
        """Return the log by id, or only its `last` rows."""
        count = -1 if last is None else last
        rows = self._open.rows(
            "select id, time, actor, action, call, undoes, effects, is_erased from change "
            "where id > ? order by id desc limit ?",
            since,
            count,
        )
        return [_change_row(row) for row in reversed(rows)]

    def strangers(self, *, is_live: bool | None = True) -> Strangers:
        """Return the live strangers whose embedding is what was written; None: of the past too."""
        where = "" if is_live is None else f"where is_live = {int(is_live)} "
        found = self._open.rows(
            f'select embedding, id, {self._open.checksum}, "group", content_hash from stranger '
            f"{where}order by id"
        )
        rows = [row for row, is_sound in zip(found, _whole(found), strict=True) if is_sound]
        return Strangers(
            np.array([row[1] for row in rows], np.int64),
            _matrix(rows, self._size),
            tuple(row[3] for row in rows),
            tuple(row[4] for row in rows),
        )

    def unknowns(
        self, ids: Iterable[int] | None = None, *, is_live: bool | None = True
    ) -> list[UnknownRow]:
        """Return by id the kept unknown probes whose embedding is what was written.

        Those of the past too if `is_live` is None.
        """
        where = "" if is_live is None else f"is_live = {int(is_live)} and "
        ranges = to_ranges(ids) if ids is not None else ((0, 2**62),)
        rows = [
            row
            for first, last in ranges
            for row in self._open.rows(
                f"select embedding, unknown.id, {self._open.checksum}, content_hash, name, "
                "distance, coalesce(time, ?), crop is not null "
                "from unknown left join change on change.id = added "
                f"where {where}unknown.id between ? and ? order by unknown.id",
                self._time,
                first,
                last,
            )
        ]
        matrix = _matrix(rows, self._size)
        return [
            UnknownRow(row[1], embedding, row[3], row[4], row[5], row[6], bool(row[7]))
            for row, embedding, is_sound in zip(rows, matrix, _whole(rows), strict=True)
            if is_sound
        ]

    def unknown_crop(self, unknown_id: int) -> bytes | None:
        """Return the kept crop of an unknown probe."""
        row = self._open.row("select crop from unknown where id = ?", int(unknown_id))
        return row[0] if row else None

    def suppressed(self, content_hashes: Iterable[str]) -> set[str]:
        """Return those content hashes that an erasure has closed for good."""
        if self._open.row("select 1 from suppressed limit 1") is None:
            return set()
        key = self._open.value("select value from internal where key = 'key'")
        found: set[str] = set()
        for block in _blocks(list(dict.fromkeys(content_hashes))):
            hashes = {keyed_hash(key, f): content for content in block for f in forms_of(content)}
            places = ", ".join("?" * len(hashes))
            rows = self._open.rows(f"select hash from suppressed where hash in ({places})", *hashes)
            found.update(hashes[row[0]] for row in rows)
        return found

    def expired(self, day: str) -> list[int]:
        """Return the exemplars, live or not, that may not be kept from that day (ISO 8601) on."""
        statement = (
            "select id from exemplar where expires is not null and substr(expires, 1, 10) <= ?"
        )
        return sorted(row[0] for row in self._open.rows(statement, day))

    def receipts(self) -> list[Erased]:
        """Return the receipts of erasures."""
        rows = self._open.rows(
            "select change_id, time, num_classes, num_exemplars, num_unknowns, num_strangers, "
            "num_changes, digest from receipt order by change_id"
        )
        return [Erased(*row) for row in rows]

    def _require_whole(self, block: Sequence[tuple[Any, ...]]) -> None:
        whole = _whole(block)
        if not whole.all():
            raise DamagedGallery(
                f"the embedding of exemplar {block[int((~whole).argmax())][1]} in "
                f"{self._connection.path} is damaged: it is not what was written; remove the "
                "exemplar and enroll it again"
            )

    def _exemplars(self, conditions: list[str], values: Sequence[Any]) -> list[ExemplarRow]:
        where = f" where {' and '.join(conditions)}" if conditions else ""
        rows = self._open.rows(f"{_EXEMPLARS}{where} order by exemplar.id", self._time, *values)
        return [_exemplar_row(row) for row in rows]


def _class_row(row: tuple[Any, ...]) -> ClassRow:
    return ClassRow(row[0], row[1], bool(row[2]), row[3])


def _exemplar_row(row: tuple[Any, ...]) -> ExemplarRow:
    return ExemplarRow(
        id=row[0],
        class_id=row[1],
        role=ROLES[row[2]],
        name=row[3],
        content_hash=row[4],
        time=row[5],
        metadata=json.loads(row[6]) if row[6] != "{}" else {},
        has_crop=bool(row[7]),
        expires=row[8],
        is_live=bool(row[9]),
    )


def _change_row(row: tuple[Any, ...]) -> ChangeRow:
    number, time, actor, action, call, undoes, effects, is_erased = row
    return ChangeRow(number, time, actor, action, call, undoes, from_text(effects), bool(is_erased))


def _id(row: ExemplarRow) -> int:
    return row.id


def _matrix(rows: Sequence[tuple[Any, ...]], size: int) -> np.ndarray:
    """Return the (N, D) embeddings in the first column, writable."""
    joined = bytearray().join([row[0] for row in rows])
    return np.frombuffer(joined, "<f4").reshape(len(rows), size)


def _whole(rows: Sequence[tuple[Any, ...]]) -> np.ndarray:
    """Return which rows are what was written, by embedding (column 0) and checksum (column 2)."""
    return is_whole([row[0] for row in rows], [row[2] for row in rows])


def _blocks(values: list[str]) -> list[list[str]]:
    return [values[start : start + _BLOCK] for start in range(0, len(values), _BLOCK)]
