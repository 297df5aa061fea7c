"""What changes the tables of `MemoryStore`."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Sequence
from typing import Any, final

import numpy as np

from ilk.errors import GalleryError, InvalidInput
from ilk.store import NewExemplar, NewStranger, NewUnknown, Role, Table, forms_of
from ilk.testing.memory_reading import ROLES, MemoryReader, Tables

__all__ = ["MemoryWriter"]


@final
class MemoryWriter(MemoryReader):
    """Tables that are being changed; their owner keeps them, or not."""

    def __init__(self, tables: Tables, size: int, time: str) -> None:
        super().__init__(tables, size, time)
        self.num_writes = 0
        self.undoes: int | None = None

    @property
    def change_id(self) -> int:
        """The id that this change has in the log."""
        return len(self.tables.log) + 1

    def add_class(self, label: str) -> int:
        """Add a live class and return its id."""
        self._check_label(label)
        return self._add("class", [{"label": label}])[0]

    def add_exemplars(
        self, class_id: int | None, rows: Sequence[NewExemplar], *, role: Role = "exemplar"
    ) -> list[int]:
        """Add live exemplars and return their ids, which are consecutive."""
        if role not in ROLES or (class_id is None) != (role == "ignore"):
            raise InvalidInput(f"class {class_id} does not fit to role {role!r}")
        for row in rows:
            self._check_embedding(row.embedding)
        if class_id is not None and class_id not in self.tables.rows["class"]:
            raise GalleryError(f"there is no class {class_id}")
        given = [vars(row) | {"class_id": class_id, "role": role} for row in rows]
        ids = self._add("exemplar", given)
        self._check_contents()
        return ids

    def add_strangers(self, rows: Sequence[NewStranger]) -> list[int]:
        """Add strangers and return their ids."""
        for row in rows:
            self._check_embedding(row.embedding)
        return self._add("stranger", [dict(vars(row)) for row in rows])

    def add_unknowns(self, rows: Sequence[NewUnknown]) -> list[int]:
        """Keep unknown probes and return their ids; a content hash that is kept stays one row."""
        found = []
        for row in rows:
            self._check_embedding(row.embedding)
            kept = [u.id for u in self.unknowns() if u.content_hash == row.content_hash]
            found += kept or self._add("unknown", [dict(vars(row))])
        return found

    def update(self, table: Table, ids: Iterable[int], field: str, value: Any) -> None:
        """Set one field of some rows; rows that have the value already are not touched."""
        rows = self.tables.rows[table]
        wanted = set(ids)
        if not wanted <= rows.keys():
            raise InvalidInput(f"expected ids of table {table}, not all of {sorted(wanted)} are")
        if (table, field) == ("class", "label"):
            self._check_label(value)
        if field == "distance" and value is None:
            value = math.inf
        for i in wanted:
            if repr(rows[i][field]) != repr(value):
                rows[i][field] = value
                self.num_writes += 1
        self._check_contents()

    def set(self, key: str, value: Any) -> None:
        """Set a setting to a JSON value; None takes it away."""
        if self.tables.settings.get(key) != value:
            self.num_writes += 1
        self.tables.settings.pop(key, None)
        if value is not None:
            self.tables.settings[key] = json.loads(json.dumps(value))

    def reopen(self, content_hashes: Iterable[str]) -> int:
        """Let content that an erasure closed be enrolled again; return how much of it was closed.

        The number is in the log as the setting "num_reopened", which only grows.
        """
        found = self.suppressed(content_hashes)
        for content in found:
            self.tables.suppressed -= forms_of(content)
        if found:
            self.set("num_reopened", self.settings().get("num_reopened", 0) + len(found))
        return len(found)

    def mark_undo(self, change_id: int) -> None:
        """Note that this change turns that one around."""
        self.undoes = change_id

    def _add(self, table: str, rows: list[dict[str, Any]]) -> list[int]:
        first = self.tables.last[table] + 1
        self.tables.last[table] += len(rows)
        self.num_writes += len(rows)
        head = {"is_live": True, "touched": self.change_id, "time": self._time}
        self.tables.rows[table].update({i: head | row for i, row in enumerate(rows, first)})
        return list(range(first, first + len(rows)))

    def _check_label(self, label: str) -> None:
        if self.find_class(label) is not None:
            raise GalleryError(f"expected a label that no class has, got {label!r}")

    def _check_contents(self) -> None:
        live = [r.content_hash for r in self.exemplars() if r.role == "exemplar"]
        labels = [row.label for row in self.classes()]
        unknowns = [row.content_hash for row in self.unknowns()]
        if any(len(set(names)) < len(names) for names in (live, labels, unknowns)):
            raise GalleryError("expected contents and labels that are live once")

    def _check_embedding(self, embedding: np.ndarray) -> None:
        is_sound = embedding.dtype == np.float32 and embedding.shape == (self._size,)
        if not is_sound or not np.isfinite(embedding).all():
            raise InvalidInput(f"expected finite float32 embeddings of shape ({self._size},)")
