"""A store in plain dicts: the reference that stores are held against, and a fake for tests.

It is slow and forgets all with the process, and so simple that it can be read at one sitting: every
change is found by comparing the tables before with the tables after.
"""

from __future__ import annotations

import hashlib
import hmac
import math
import secrets
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any, final

from ilk.artifact import class_hash
from ilk.errors import InvalidInput
from ilk.store import (
    ChangeRow,
    Chosen,
    Effect,
    Erased,
    Reader,
    content_hash_of,
    normal_content,
)
from ilk.testing.memory_reading import MemoryReader, Tables
from ilk.testing.memory_writing import MemoryWriter

__all__ = ["MemoryStore"]

_KEY = b"of a store that forgets"
_COLUMNS = {
    "class": ("is_live", "label"),
    "exemplar": ("is_live", "class_id", "role", "name", "metadata", "expires"),
    "stranger": ("is_live",),
    "unknown": ("is_live", "distance"),
}
"""What the log keeps; fields of a new row only as far as it is live."""


@final
class MemoryStore:
    """The truth of one gallery, for as long as the process lives; not for threads.

    Example:
        >>> store = MemoryStore({"embedding_size": 2})
        >>> with store.changing("enroll") as writer:
        ...     owl = writer.add_class("owl")
        >>> with store.reading() as reader:
        ...     reader.changes()[0].effects
        (Effect(table='class', field='is_live', before=False, after=True, rows=((1, 1),)),)
    """

    def __init__(self, facts: Mapping[str, Any]) -> None:
        self._facts = MappingProxyType(dict(facts))
        self._tables = Tables()

    @property
    def facts(self) -> Mapping[str, Any]:
        """What the gallery was made with and is bound to."""
        return self._facts

    def version(self) -> Any:
        """Return what differs whenever anything was committed since."""
        return len(self._tables.log)

    @contextmanager
    def reading(self) -> Iterator[MemoryReader]:
        """Give one consistent view, for the time of a `with` block."""
        yield MemoryReader(self._tables.copy(), int(self._facts["embedding_size"]), _now())

    @contextmanager
    def changing(self, action: str, *, actor: str = "", call: str = "") -> Iterator[MemoryWriter]:
        """Give one transaction; an error undoes it."""
        time = _now()
        writer = MemoryWriter(self._tables.copy(), int(self._facts["embedding_size"]), time)
        yield writer
        before, after = self._tables, writer.tables
        effects = _effects(before, after)
        if writer.num_writes == 0:
            return
        change = ChangeRow(
            len(after.log) + 1, time, actor, action, call, writer.undoes, effects, False
        )
        after.log.append(change)
        after.tokens[change.id] = secrets.token_hex(8)
        after.touch(effects, change.id)
        self._tables = after

    def erase(
        self,
        *,
        class_ids: Iterable[int] = (),
        exemplar_ids: Iterable[int] = (),
        choose: Callable[[Reader], Chosen] | None = None,
        actor: str = "",
    ) -> Erased:
        """Delete for good: rows, crops, log contents; close their content for later enrollment."""
        tables = self._tables.copy()
        more = Chosen()
        if choose is not None:
            more = choose(MemoryReader(tables, int(self._facts["embedding_size"]), _now()))
        gone: dict[str, set[int]] = {name: set() for name in _COLUMNS}
        gone["class"] = {*class_ids, *more.class_ids}
        gone["exemplar"] = {*exemplar_ids, *more.exemplar_ids}
        for table, ids in gone.items():
            if not ids <= tables.rows[table].keys():
                raise InvalidInput(f"expected ids of table {table}, not all of {sorted(ids)} are")
        exemplars = tables.rows["exemplar"]
        _add_rows_of_classes(exemplars, gone)
        gone["class"] |= _merged(tables, gone["exemplar"])
        _add_rows_of_classes(exemplars, gone)
        contents = {normal_content(exemplars[i]["content_hash"]) for i in gone["exemplar"]}
        labels = _labels(tables, gone["class"])
        for table in ("exemplar", "stranger", "unknown"):
            for i, row in tables.rows[table].items():
                if normal_content(row["content_hash"]) in contents or row.get("group") in labels:
                    gone[table].add(i)
        closed = {content_hash_of(exemplars[i]["embedding"]) for i in gone["exemplar"]}
        closed |= {f"class {class_hash(label)}" for label in labels}
        for table, ids in gone.items():
            for i in ids:
                del tables.rows[table][i]
        log = [_scrub(change, gone, labels) for change in tables.log]
        num_changes = sum(a != b for a, b in zip(log, tables.log, strict=True))
        change = ChangeRow(len(log) + 1, _now(), actor, "erase", "", None, (), False)
        tables.log = [*log, change]
        tables.tokens[change.id] = secrets.token_hex(8)
        tables.erased += [(change.id, i) for i in sorted(gone["exemplar"])]
        tables.suppressed |= contents | closed
        hashes = sorted(hmac.digest(_KEY, content.encode(), "sha256") for content in contents)
        digest = hashlib.sha256(b"".join(hashes)).hexdigest()
        receipt = Erased(
            change_id=change.id,
            time=change.time,
            num_classes=len(gone["class"]),
            num_exemplars=len(gone["exemplar"]),
            num_unknowns=len(gone["unknown"]),
            num_strangers=len(gone["stranger"]),
            num_changes=num_changes,
            digest=digest,
        )
        tables.receipts.append(receipt)
        self._tables = tables
        return receipt

    def check(self) -> list[str]:
        """Look over the whole store; there is nothing that can break."""
        return []

    def close(self) -> None:
        """Let go of nothing."""


def _expand(effect: Effect) -> Iterator[int]:
    """Yield the ids of an effect one by one; of a setting 0."""
    for first, last in effect.rows or ((0, 0),):
        yield from range(first, last + 1)


def _effects(before: Tables, after: Tables) -> tuple[Effect, ...]:
    """Compare the tables field by field."""
    found: list[tuple[Any, str, Any, Any, int]] = []
    for table, columns in _COLUMNS.items():
        for i, row in after.rows[table].items():
            old = before.rows[table].get(i, row | {"is_live": False})
            found += [
                (table, c, _plain(old[c]), _plain(row[c]), i)
                for c in columns
                if repr(old[c]) != repr(row[c])
            ]
    groups: dict[str, tuple[Any, list[int]]] = {}
    for *head, i in found:
        groups.setdefault(repr(head), (head, []))[1].append(i)
    effects = [
        Effect(*head, rows=tuple((i, i) for i in ids))  # type: ignore[misc]
        for head, ids in groups.values()
    ]
    keys = dict.fromkeys([*before.settings, *after.settings])
    pairs = [(key, before.settings.get(key), after.settings.get(key)) for key in keys]
    return (*effects, *(Effect("setting", k, old, new) for k, old, new in pairs if old != new))


def _plain(value: Any) -> Any:
    """Return None for an infinite distance: the log is JSON, which has no infinity."""
    return None if value == math.inf else value


def _add_rows_of_classes(exemplars: dict[int, dict[str, Any]], gone: dict[str, set[int]]) -> None:
    gone["exemplar"] |= {i for i, row in exemplars.items() if row["class_id"] in gone["class"]}


def _merged(tables: Tables, exemplars: set[int]) -> set[int]:
    """Find classes that ended in the change in which all they had went to an erased class."""
    merged = set()
    for change in tables.log:
        for class_id, row in tables.rows["class"].items():
            ended = [
                e
                for e in change.effects
                if (e.table, e.field, e.after) == ("class", "is_live", False)
                and class_id in _expand(e)
            ]
            moved = {
                i
                for e in change.effects
                if (e.table, e.field, e.before) == ("exemplar", "class_id", class_id)
                for i in _expand(e)
            }
            if ended and moved and moved <= exemplars and not row["is_live"]:
                merged.add(class_id)
    return merged


def _labels(tables: Tables, classes: set[int]) -> set[str]:
    labels = {tables.rows["class"][i]["label"] for i in classes}
    for change in tables.log:
        for effect in change.effects:
            is_label = (effect.table, effect.field) == ("class", "label")
            if is_label and classes.intersection(_expand(effect)):
                labels |= {effect.before, effect.after}
    return labels


def _scrub(change: ChangeRow, gone: dict[str, set[int]], labels: set[str]) -> ChangeRow:
    kept = []
    for effect in change.effects:
        values = [effect.before, effect.after]
        if effect.table == "setting":
            kept.append(effect)
            continue
        if effect.field == "label" and labels.intersection(values):
            continue
        if effect.field == "class_id" and gone["class"].intersection(values):
            continue
        rows = tuple((i, i) for i in _expand(effect) if i not in gone[effect.table])
        if rows:
            kept.append(
                effect
                if len(rows) == sum(1 for _ in _expand(effect))
                else replace(effect, rows=rows)
            )
    if tuple(kept) == change.effects:
        return change
    return replace(change, effects=tuple(kept), is_erased=True)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")
