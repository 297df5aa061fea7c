"""The tables of `MemoryStore`, and what they answer."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Sequence
from typing import Any, final

import numpy as np

from ilk.errors import InvalidInput
from ilk.store import (
    ChangeRow,
    ClassRow,
    Delta,
    Effect,
    Erased,
    ExemplarRow,
    Strangers,
    UnknownRow,
    forms_of,
)

__all__ = ["ROLES", "MemoryReader", "Tables"]

ROLES = ("exemplar", "not", "ignore")
"""Roles by the number that a delta gives them."""


@final
class Tables:
    """Everything that a store keeps."""

    def __init__(self) -> None:
        self.rows: dict[str, dict[int, dict[str, Any]]] = {
            table: {} for table in ("class", "exemplar", "stranger", "unknown")
        }
        self.last = dict.fromkeys(self.rows, 0)
        self.settings: dict[str, Any] = {}
        self.log: list[ChangeRow] = []
        self.tokens: dict[int, str] = {}
        self.erased: list[tuple[int, int]] = []
        self.suppressed: set[str] = set()
        self.receipts: list[Erased] = []

    def copy(self) -> Tables:
        """Return tables that can be changed alone; embeddings are shared."""
        other = copy.copy(self)
        other.rows = {t: {i: dict(row) for i, row in rows.items()} for t, rows in self.rows.items()}
        other.last, other.settings = dict(self.last), dict(self.settings)
        other.log, other.erased = list(self.log), list(self.erased)
        other.tokens = dict(self.tokens)
        other.suppressed, other.receipts = set(self.suppressed), list(self.receipts)
        return other

    def touch(self, effects: Iterable[Effect], change: int) -> None:
        """Note on rows which change touched them last."""
        for effect in effects:
            for first, last in effect.rows:
                for i in range(first, last + 1):
                    self.rows[effect.table][i]["touched"] = change


class MemoryReader:
    """A view of tables."""

    def __init__(self, tables: Tables, size: int, time: str) -> None:
        self.tables = tables
        self._size = size
        self._time = time

    def sequence(self) -> int:
        """Return the id of the last change, 0 for none."""
        return len(self.tables.log)

    def settings(self) -> dict[str, Any]:
        """Return all settings."""
        return {
            key: copy.deepcopy(self.tables.settings[key]) for key in sorted(self.tables.settings)
        }

    def classes(self, *, is_live: bool | None = True) -> list[ClassRow]:
        """Return classes by label."""
        rows = [self._class_row(i) for i in self.tables.rows["class"]]
        found = [row for row in rows if is_live is None or row.is_live == is_live]
        return sorted(found, key=lambda row: (row.label.encode(), row.id))

    def find_class(self, label: str) -> ClassRow | None:
        """Return the live class of that label."""
        return next((row for row in self.classes() if row.label == label), None)

    def get_class(self, class_id: int) -> ClassRow | None:
        """Return the class of that id, live or not."""
        return self._class_row(class_id) if class_id in self.tables.rows["class"] else None

    def exemplars(
        self,
        class_id: int | None = None,
        *,
        ids: Iterable[int] | None = None,
        is_live: bool | None = True,
    ) -> list[ExemplarRow]:
        """Return exemplars by id."""
        wanted = None if ids is None else set(ids)
        return [
            self._exemplar_row(i)
            for i, row in sorted(self.tables.rows["exemplar"].items())
            if (class_id is None or row["class_id"] == class_id)
            and (wanted is None or i in wanted)
            and (is_live is None or row["is_live"] == is_live)
        ]

    def find_content(self, content_hashes: Iterable[str]) -> dict[str, list[ExemplarRow]]:
        """Return the live exemplars of each content hash that has some."""
        live = self.exemplars()
        found = {name: [r for r in live if r.content_hash == name] for name in content_hashes}
        return {name: rows for name, rows in found.items() if rows}

    def embeddings(self, ids: Sequence[int] | np.ndarray) -> np.ndarray:
        """Return the (N, D) float32 embeddings of exemplars, in the order of `ids`."""
        rows = self.tables.rows["exemplar"]
        if any(int(i) not in rows for i in ids):
            raise InvalidInput("expected ids of exemplars")
        return self._matrix([rows[int(i)]["embedding"] for i in ids])

    def damaged(self, ids: Iterable[int] | None = None) -> list[int]:
        """Return no exemplars: memory is not damaged."""
        return []

    def token(self, sequence: int) -> str | None:
        """Return what tells a change from the change of that id in any other history, or None."""
        return self.tables.tokens.get(sequence)

    def crop(self, exemplar_id: int) -> bytes | None:
        """Return the kept crop of an exemplar."""
        crop: bytes | None = self.tables.rows["exemplar"].get(exemplar_id, {}).get("crop")
        return crop

    def delta(self, since: int, *, limit: int | None = None) -> Delta:
        """Return what happened to exemplars after the sequence number `since`, all of it."""
        if not 0 <= since <= self.sequence():
            raise InvalidInput(f"since must be from 0 to {self.sequence()}, got {since}")
        rows = {
            i: row
            for i, row in sorted(self.tables.rows["exemplar"].items())
            if row["touched"] > since and (since or row["is_live"])
        }
        classes = [-1 if row["class_id"] is None else row["class_id"] for row in rows.values()]
        erased = sorted(i for change, i in self.tables.erased if change > since)
        return Delta(
            sequence=self.sequence(),
            ids=np.array(list(rows), np.int64),
            class_ids=np.array(classes, np.int64),
            roles=np.array([ROLES.index(row["role"]) for row in rows.values()], np.int8),
            is_live=np.array([row["is_live"] for row in rows.values()], np.bool_),
            embeddings=self._matrix([row["embedding"] for row in rows.values()]),
            erased=np.array(erased, np.int64),
            settings_changed=any(
                change.action == "erase"
                or any(e.table in ("class", "stranger", "setting") for e in change.effects)
                for change in self.tables.log[since:]
            ),
        )

    def changes(self, *, last: int | None = None, since: int = 0) -> list[ChangeRow]:
        """Return the log by id, or only its `last` rows."""
        found = self.tables.log[since:]
        return found if last is None else found[len(found) - min(last, len(found)) :]

    def strangers(self, *, is_live: bool | None = True) -> Strangers:
        """Return the live strangers by id; those of the past too if `is_live` is None."""
        found = sorted(self.tables.rows["stranger"].items())
        rows = {i: row for i, row in found if is_live in (None, row["is_live"])}
        return Strangers(
            np.array(list(rows), np.int64),
            self._matrix([row["embedding"] for row in rows.values()]),
            tuple(row["group"] for row in rows.values()),
            tuple(row["content_hash"] for row in rows.values()),
        )

    def unknowns(
        self, ids: Iterable[int] | None = None, *, is_live: bool | None = True
    ) -> list[UnknownRow]:
        """Return the kept unknown probes by id; those of the past too if `is_live` is None."""
        wanted = None if ids is None else set(ids)
        return [
            UnknownRow(
                i,
                row["embedding"],
                row["content_hash"],
                row["name"],
                row["distance"],
                row["time"],
                row["crop"] is not None,
            )
            for i, row in sorted(self.tables.rows["unknown"].items())
            if is_live in (None, row["is_live"]) and (wanted is None or i in wanted)
        ]

    def unknown_crop(self, unknown_id: int) -> bytes | None:
        """Return the kept crop of an unknown probe."""
        row = self.tables.rows["unknown"].get(unknown_id)
        return row["crop"] if row is not None else None

    def suppressed(self, content_hashes: Iterable[str]) -> set[str]:
        """Return those content hashes that an erasure has closed for good."""
        closed = self.tables.suppressed
        return {content for content in content_hashes if forms_of(content) & closed}

    def expired(self, day: str) -> list[int]:
        """Return the exemplars, live or not, that may not be kept from that day (ISO 8601) on."""
        dates = {i: row["expires"] for i, row in self.tables.rows["exemplar"].items()}
        return sorted(i for i, date in dates.items() if date is not None and date[:10] <= day)

    def receipts(self) -> list[Erased]:
        """Return the receipts of erasures."""
        return list(self.tables.receipts)

    def _class_row(self, class_id: int) -> ClassRow:
        row = self.tables.rows["class"][class_id]
        members = [e for e in self.exemplars(class_id) if e.role == "exemplar"]
        return ClassRow(class_id, row["label"], row["is_live"], len(members))

    def _exemplar_row(self, exemplar_id: int) -> ExemplarRow:
        row = self.tables.rows["exemplar"][exemplar_id]
        names = ("class_id", "role", "name", "content_hash", "time", "metadata", "expires")
        kept = {name: row[name] for name in names}
        has_crop = row["crop"] is not None
        return ExemplarRow(id=exemplar_id, has_crop=has_crop, is_live=row["is_live"], **kept)

    def _matrix(self, rows: Sequence[np.ndarray]) -> np.ndarray:
        return np.array(rows, np.float32).reshape(len(rows), self._size)
