"""New embeddings of what a gallery keeps: from the sources, or from kept crops.

Shapes: D embedding size of the new encoder.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, final

import numpy as np

from ilk.gallery.admission import admit, check_shape
from ilk.gallery.binding import Binding
from ilk.gallery.sources import SourceFolder
from ilk.items import Item
from ilk.store import Reader, Store, Table

__all__ = ["Content", "Embed", "Lost", "Origin", "Reembedded"]

Content = bytes | Path | Item
"""A kept crop, a file, or the part of one that a box says."""

Embed = Callable[[Sequence[Content]], Sequence[np.ndarray | str]]
"""Gives for each content its (D,) embedding, or why there is none."""

Origin = Literal["source", "crop"]
"""What an embedding was made of: the file that was enrolled, or the crop that was kept of it."""

Progress = Callable[[int, int], None]
"""Called with (rows done, rows in all)."""

_AT_ONCE = 256


@final
@dataclass(frozen=True)
class Lost:
    """A row that the new encoder cannot embed."""

    table: Table
    id: int
    label: str
    """Of its class, or the group of a stranger."""
    name: str
    is_live: bool
    """Whether it is enrolled now, or was taken out earlier and could be brought back."""
    reason: str

    @property
    def told(self) -> str:
        """What it is, for a message."""
        named = self.name or f"{self.table} {self.id}"
        return f"{named} of {self.label!r}" if self.label else named


@final
@dataclass(frozen=True, eq=False)
class _Row:
    table: Table
    id: int
    content_hash: str
    name: str
    label: str
    is_live: bool
    region: Mapping[str, Any] | None = None
    """Where in its picture it was, if the exemplar remembers that."""
    crop: bytes | None = None


@final
class Reembedded:
    """New embeddings of the rows of a store, made as they come and kept in memory."""

    def __init__(
        self, store: Store, binding: Binding, embed: Embed, sources: SourceFolder | None
    ) -> None:
        self._store = store
        self._binding, self._embed, self._sources = binding, embed, sources
        self._rows: dict[Table, dict[int, np.ndarray]] = {}
        self._origins: dict[tuple[Table, int], Origin] = {}
        self._lost: dict[tuple[Table, int], Lost] = {}
        self._sequence = 0

    def follow(self, progress: Progress | None = None) -> int:
        """Embed the rows that are new in the store; return how many there were.

        The store is read in short views: nobody waits, and an erasure can clean up meanwhile.
        """
        with self._store.reading() as reader:
            pending = list(self._pending(reader))
            self._sequence = reader.sequence()
        for start in range(0, len(pending), _AT_ONCE):
            part = pending[start : start + _AT_ONCE]
            with self._store.reading() as reader:
                crops = [_crop(reader, row.table, row.id) for row in part]
            self._make([replace(row, crop=crop) for row, crop in zip(part, crops, strict=True)])
            if progress is not None:
                progress(start + len(part), len(pending))
        return len(pending)

    def of(self, table: Table, ids: Sequence[int]) -> dict[int, np.ndarray]:
        """Return the embeddings of rows by id, as far as they can be made."""
        known = self._rows.get(table, {})
        if any(row not in known and (table, row) not in self._lost for row in ids):
            self.follow()  # they came just now
            known = self._rows.get(table, {})
        return {row: known[row] for row in ids if row in known}

    def counts(self, reader: Reader) -> Counter[tuple[Table, Origin]]:
        """Return how many rows that the store still has came from where."""
        heads = [head for head in _heads(reader) if head in self._origins]
        return Counter((head[0], self._origins[head]) for head in heads)

    def lost(self, reader: Reader) -> list[Lost]:
        """Return the rows that the store still has and that cannot be embedded."""
        return [self._lost[head] for head in _heads(reader) if head in self._lost]

    def lost_since(self, known: Sequence[Lost]) -> list[Lost]:
        """Return the lost rows that are not among `known`."""
        heads = {(row.table, row.id) for row in known}
        return [row for head, row in self._lost.items() if head not in heads]

    def _pending(self, reader: Reader) -> Iterator[_Row]:
        labels = {row.id: row.label for row in reader.classes(is_live=None)}
        known = {*self._origins, *self._lost}
        for e in reader.exemplars(ids=self._touched(reader), is_live=None):
            if ("exemplar", e.id) not in known:
                label = labels.get(e.class_id, "") if e.class_id is not None else ""
                region = e.metadata.get("region")
                place = region if isinstance(region, Mapping) else None
                yield _Row("exemplar", e.id, e.content_hash, e.name, label, e.is_live, place)
        strangers = reader.strangers()
        heads = zip(strangers.ids.tolist(), strangers.content_hashes, strangers.groups, strict=True)
        for row, content_hash, group in heads:
            if ("stranger", row) not in known:
                yield _Row("stranger", row, content_hash, "", group, True)
        for u in reader.unknowns():
            if ("unknown", u.id) not in known:
                yield _Row("unknown", u.id, u.content_hash, u.name, "", True)

    def _touched(self, reader: Reader) -> list[int] | None:
        """Return the exemplars that anything happened to since the last time; None for all."""
        if not self._sequence:
            return None
        return [
            row
            for change in reader.changes(since=self._sequence)
            for effect in change.effects
            if effect.table == "exemplar"
            for first, last in effect.rows
            for row in range(first, last + 1)
        ]

    def _make(self, rows: Sequence[_Row]) -> None:
        """Embed rows from their files; from their crops where that fails."""
        reasons = dict.fromkeys(rows, "")
        left = list(rows)
        for origin in ("source", "crop"):
            pairs = [(row, self._input(row, origin)) for row in left]
            inputs = {row: found for row, found in pairs if found is not None}
            results = self._embed(list(inputs.values())) if inputs else []
            for row, result in zip(inputs, results, strict=True):
                reasons[row] = self._keep(row, result, origin)
            left = [row for row in left if row not in inputs or reasons[row]]
        for row in left:
            reason = reasons[row] or self._why_not(row)
            lost = Lost(row.table, row.id, row.label, row.name, row.is_live, reason)
            self._lost[row.table, row.id] = lost

    def _input(self, row: _Row, origin: Origin) -> Content | None:
        if origin == "crop":
            return row.crop
        if self._sources is None:
            return None
        return self._sources.find(row.name, row.content_hash, row.region)

    def _keep(self, row: _Row, result: np.ndarray | str, origin: Origin) -> str:
        """Keep an embedding; return why it cannot be kept, or ""."""
        if isinstance(result, str):
            return result
        shaped = check_shape(result, self._binding.embedding_size)
        admitted, reasons = admit(shaped, self._binding.distance)
        if not reasons[0]:
            self._rows.setdefault(row.table, {})[row.id] = admitted[0]
            self._origins[row.table, row.id] = origin
        return reasons[0]

    def _why_not(self, row: _Row) -> str:
        if self._sources is None:
            return "no crop of it was kept, and no folder of sources was given"
        return "no crop of it was kept, and the folder of sources has no file of its content"


def _heads(reader: Reader) -> Iterator[tuple[Table, int]]:
    yield from (("exemplar", row.id) for row in reader.exemplars(is_live=None))
    yield from (("stranger", row) for row in reader.strangers().ids.tolist())
    yield from (("unknown", row.id) for row in reader.unknowns())


def _crop(reader: Reader, table: Table, row: int) -> bytes | None:
    if table == "exemplar":
        return reader.crop(row)
    return reader.unknown_crop(row) if table == "unknown" else None
