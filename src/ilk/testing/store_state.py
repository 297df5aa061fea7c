"""All that a reader answers, as plain values that two stores can be compared by."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict
from typing import Any, final

import numpy as np

from ilk.store import ChangeRow, Delta, Reader
from ilk.testing.claims import claim

__all__ = ["Follower", "check_alike", "state_of"]


def state_of(reader: Reader, content_hashes: Iterable[str]) -> dict[str, Any]:
    """Return every answer, but for times and ids of keys, which differ between stores."""
    hashes = sorted(content_hashes)
    rows = reader.exemplars(is_live=None)
    ids = [row.id for row in rows][::-1]
    classes = reader.classes(is_live=None)
    strangers = reader.strangers()
    unknowns = reader.unknowns()
    return {
        "sequence": reader.sequence(),
        "settings": reader.settings(),
        "classes": [asdict(row) for row in classes],
        "live classes": [row.id for row in reader.classes()],
        "classes of the past": [row.id for row in reader.classes(is_live=False)],
        "classes by id": [reader.get_class(row.id) == row for row in classes],
        "classes by label": [getattr(reader.find_class(row.label), "id", None) for row in classes],
        "exemplars": [_without_time(row) for row in rows],
        "live exemplars": [row.id for row in reader.exemplars()],
        "exemplars of classes": [
            [row.id for row in reader.exemplars(c.id, is_live=None)] for c in classes
        ],
        "exemplars by id": [row.id for row in reader.exemplars(ids=ids[::2], is_live=None)],
        "contents": {
            name: [row.id for row in found] for name, found in reader.find_content(hashes).items()
        },
        "embeddings": reader.embeddings(ids).tolist(),
        "damaged": [reader.damaged(), reader.damaged(ids[:2])],
        "tokens": [reader.token(i) is None for i in range(reader.sequence() + 2)],
        "crops": [reader.crop(i) for i in ids],
        "changes": [_plain_change(change) for change in reader.changes()],
        "last change": [_plain_change(change) for change in reader.changes(last=1)],
        "strangers": [
            strangers.ids.tolist(),
            strangers.embeddings.tolist(),
            strangers.groups,
            strangers.content_hashes,
        ],
        "unknowns": [
            _without_time(row) | {"embedding": row.embedding.tolist()} for row in unknowns
        ],
        "crops of unknowns": [reader.unknown_crop(row.id) for row in unknowns],
        "suppressed": reader.suppressed(hashes),
        "receipts": [_without_time(r) | {"digest": len(r.digest)} for r in reader.receipts()],
        "everything since 0": _plain_delta(reader.delta(0)),
    }


def check_alike(reader: Reader, reference: Reader, content_hashes: Iterable[str]) -> None:
    """Raise an `AssertionError` that names the first answer in which two readers differ."""
    hashes = set(content_hashes)
    got, expected = state_of(reader, hashes), state_of(reference, hashes)
    for name, value in expected.items():
        claim(got[name] == value, f"{name}: expected {value}, got {got[name]}")


@final
class Follower:
    """Somebody who never reads everything twice: what is live, from deltas alone."""

    def __init__(self) -> None:
        self.sequence = 0
        self.rows: dict[int, tuple[int, int, list[float]]] = {}
        """Class, role and embedding by id."""

    def follow(self, reader: Reader, *, limit: int | None = None) -> None:
        """Take over what changed since; with a limit, in as many steps as it needs."""
        while self.sequence < reader.sequence():
            delta = reader.delta(self.sequence, limit=limit)
            claim(
                self.sequence < delta.sequence <= reader.sequence(),
                f"a delta since {self.sequence} must go on, it ends at {delta.sequence}",
            )
            ids = delta.ids.tolist()
            claim(ids == sorted(set(ids)), f"ids of a delta must ascend, got {ids}")
            for i in delta.erased.tolist():
                self.rows.pop(i, None)
            rows = zip(
                ids, delta.class_ids, delta.roles, delta.is_live, delta.embeddings, strict=True
            )
            for i, class_id, role, is_live, embedding in rows:
                self.rows.pop(i, None)
                if is_live:
                    self.rows[i] = (int(class_id), int(role), embedding.tolist())
            self.sequence = delta.sequence

    def check(self, reader: Reader) -> None:
        """Raise an `AssertionError` unless it has arrived at what is live."""
        delta = reader.delta(0)
        expected = {
            i: (int(c), int(r), e)
            for i, c, r, e in zip(
                delta.ids.tolist(),
                delta.class_ids,
                delta.roles,
                delta.embeddings.tolist(),
                strict=True,
            )
        }
        claim(
            self.rows == expected,
            f"following deltas must lead to {sorted(expected)}, it led to {sorted(self.rows)}",
        )


def _without_time(row: Any) -> dict[str, Any]:
    return {name: value for name, value in vars(row).items() if name != "time"}


def _plain_change(change: ChangeRow) -> dict[str, Any]:
    """Return a change with its effects row by row: how they are grouped is the store's affair."""
    fields = {
        (effect.table, effect.field, i): (effect.before, effect.after)
        for effect in change.effects
        for first, last in (effect.rows or ((0, 0),))
        for i in range(first, last + 1)
    }
    return _without_time(change) | {"effects": fields}


def _plain_delta(delta: Delta) -> dict[str, Any]:
    values = {k: v.tolist() if isinstance(v, np.ndarray) else v for k, v in vars(delta).items()}
    return values
