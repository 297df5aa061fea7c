"""The kit for stores: ours pass, through the door of plugins, and what is broken does not."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ilk.plugins import load
from ilk.store import Delta, Store
from ilk.testing import MemoryStore, check_store


def test_our_store_conforms(path: Path) -> None:
    kind = load("stores", "sqlite")
    check_store(lambda facts: kind.create(path, facts), lambda: kind.open(path))


class Broken:
    """A store in dicts with one thing wrong."""

    def __init__(self, facts: Mapping[str, Any], fault: str) -> None:
        self.inner, self.fault = MemoryStore(facts), fault

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)

    @contextmanager
    def reading(self) -> Iterator[Any]:
        with self.inner.reading() as reader:
            yield View(reader, self.fault)

    @contextmanager
    def changing(self, action: str, **who: str) -> Iterator[Any]:
        if self.fault == "silent":
            who = {}
        if self.fault == "half":
            before = self.inner._tables
            try:
                with self.inner.changing(action, **who) as writer:
                    yield writer
            except Exception:
                assert before is self.inner._tables
                self.inner._tables = writer.tables
                raise
            return
        with self.inner.changing(action, **who) as writer:
            yield View(writer, self.fault)

    def erase(self, **what: Any) -> Any:
        tables = self.inner._tables
        receipt = self.inner.erase(**what)
        if self.fault == "log kept":
            self.inner._tables.log[:-1] = tables.log
        if self.fault == "reopened":
            self.inner._tables.suppressed = set()
        return receipt


class View:
    """A reader or writer with one thing wrong."""

    def __init__(self, inner: Any, fault: str) -> None:
        self.inner, self.fault = inner, fault

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)

    def embeddings(self, ids: Any) -> np.ndarray:
        found: np.ndarray = self.inner.embeddings(ids)
        return found[::-1] if self.fault == "order" else found

    def delta(self, since: int, *, limit: int | None = None) -> Delta:
        found: Delta = self.inner.delta(since)
        if self.fault == "stale" and since:
            return self.inner.delta(self.inner.sequence())
        return found

    def update(self, table: str, ids: Any, field: str, value: Any) -> None:
        if self.fault != "deaf" or field != "expires":
            self.inner.update(table, ids, field, value)


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ("none", ""),
        ("order", "embeddings: expected"),
        ("stale", "following deltas must lead to"),
        ("silent", "changes: expected"),
        ("half", "a label twice must undo the change"),
        ("log kept", "changes: expected"),
        ("reopened", "suppressed: expected"),
        ("deaf", "exemplars: expected"),
    ],
)
def test_broken_stores_are_found(fault: str, message: str) -> None:
    made: list[Store] = []

    def create(facts: Mapping[str, Any]) -> Store:
        made.append(Broken(facts, fault))
        return made[-1]

    if not message:
        check_store(create, lambda: made[-1])
        return
    with pytest.raises(AssertionError, match=message):
        check_store(create, lambda: made[-1])
