"""Any sequence of changes gives the answers of a store in plain dicts."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from ilk.errors import GalleryError, InvalidInput
from ilk.store import NewExemplar, NewStranger, NewUnknown, Store, Writer
from ilk.stores.sqlite import SqliteStore
from ilk.testing import MemoryStore
from ilk.testing.store_state import Follower, check_alike

D = 2
FACTS = {"embedding_size": D}
LABELS = st.sampled_from(["ant", "bée", "cat"])
HASHES = [f"hash {i}" for i in range(12)]
CONTENTS = st.lists(st.sampled_from(HASHES), min_size=1, max_size=4, unique=True)
NUMBERS = st.integers(0, 30)
IDS = st.lists(NUMBERS, max_size=6)
VALUES = st.none() | st.integers() | st.lists(st.text(max_size=3), max_size=2)


def embedding(content: str) -> np.ndarray:
    return np.array([len(content), HASHES.index(content)], np.float32)


class Machine(RuleBasedStateMachine):
    """Each rule does the same to both; either both refuse, or both give the same."""

    @initialize()
    def begin(self) -> None:
        self.folder = Path(tempfile.mkdtemp())
        self.path = self.folder / "gallery.sqlite"
        self.store: Store = SqliteStore.create(self.path, FACTS)
        self.reference = MemoryStore(FACTS)
        self.follower, self.slow = Follower(), Follower()

    def teardown(self) -> None:
        if hasattr(self, "store"):
            self.store.close()
            shutil.rmtree(self.folder)

    def both(self, act: Callable[[Writer], Any]) -> None:
        results: list[Any] = []
        for store in (self.store, self.reference):
            try:
                with store.changing("act", actor="ada", call="one") as writer:
                    results.append(act(writer))
            except (GalleryError, InvalidInput):
                results.append("refused")
        assert results[0] == results[1]

    @rule(label=LABELS, contents=CONTENTS)
    def enroll(self, label: str, contents: list[str]) -> None:
        rows = [NewExemplar(embedding(c), c, f"{c}.png", {"c": c}, c.encode()) for c in contents]

        def act(writer: Writer) -> Any:
            row = writer.find_class(label)
            class_id = writer.add_class(label) if row is None else row.id
            return class_id, writer.add_exemplars(class_id, rows)

        self.both(act)

    @rule(label=LABELS, contents=CONTENTS, role=st.sampled_from(["not", "ignore"]))
    def bar(self, label: str, contents: list[str], role: Any) -> None:
        rows = [NewExemplar(embedding(c), c) for c in contents]

        def act(writer: Writer) -> Any:
            row = writer.find_class(label)
            class_id = row.id if row is not None and role == "not" else None
            return writer.add_exemplars(class_id, rows, role=role)

        self.both(act)

    @rule(label=LABELS)
    def remove(self, label: str) -> None:
        def act(writer: Writer) -> None:
            row = writer.find_class(label)
            if row is not None:
                ids = [e.id for e in writer.exemplars(row.id)]
                writer.update("exemplar", ids, "is_live", False)
                writer.update("class", [row.id], "is_live", False)

        self.both(act)

    @rule(label=LABELS, other=LABELS)
    def merge(self, label: str, other: str) -> None:
        def act(writer: Writer) -> None:
            row, into = writer.find_class(label), writer.find_class(other)
            if row is not None and into is not None and row.id != into.id:
                ids = [e.id for e in writer.exemplars(row.id)]
                writer.update("exemplar", ids, "class_id", into.id)
                writer.update("class", [row.id], "is_live", False)

        self.both(act)

    @rule(label=LABELS, new=LABELS)
    def rename(self, label: str, new: str) -> None:
        def act(writer: Writer) -> None:
            row = writer.find_class(label)
            if row is not None:
                writer.update("class", [row.id], "label", new)

        self.both(act)

    @rule(numbers=IDS, value=VALUES, field=st.sampled_from(["name", "metadata", "expires"]))
    def annotate(self, numbers: list[int], value: Any, field: str) -> None:
        new = {"name": repr(value), "metadata": {"value": value}, "expires": repr(value)}[field]

        def act(writer: Writer) -> None:
            rows = [e.id for e in writer.exemplars(is_live=None)]
            writer.update("exemplar", {rows[i] for i in numbers if i < len(rows)}, field, new)

        self.both(act)

    @rule(numbers=IDS)
    def toggle(self, numbers: list[int]) -> None:
        """Take rows out, and back in the same change where that is possible."""

        def act(writer: Writer) -> None:
            rows = writer.exemplars()
            ids = [rows[i].id for i in numbers if i < len(rows)]
            writer.update("exemplar", ids, "is_live", False)
            writer.update("exemplar", ids[::2], "is_live", True)

        self.both(act)

    @rule(contents=CONTENTS, group=LABELS)
    def keep(self, contents: list[str], group: str) -> None:
        rows = [NewUnknown(embedding(c), c, c, float("inf"), c.encode()) for c in contents]
        others = [NewStranger(embedding(c), c, group) for c in contents]
        self.both(lambda writer: (writer.add_unknowns(rows), writer.add_strangers(others)))

    @rule(table=st.sampled_from(["unknown", "stranger"]), numbers=IDS)
    def dismiss(self, table: Any, numbers: list[int]) -> None:
        self.both(lambda writer: writer.update(table, numbers, "is_live", False))

    @rule(numbers=IDS, value=st.none() | st.floats(0, 9))
    def measure(self, numbers: list[int], value: float | None) -> None:
        def act(writer: Writer) -> None:
            ids = [row.id for row in writer.unknowns() if row.id in numbers]
            writer.update("unknown", ids, "distance", value)

        self.both(act)

    @rule(key=st.sampled_from(["a", "b"]), value=VALUES)
    def set(self, key: str, value: Any) -> None:
        self.both(lambda writer: writer.set(key, value))

    @rule()
    def undo(self) -> None:
        def act(writer: Writer) -> None:
            for change in writer.changes(last=1):
                if change.action == "act" and not change.is_erased:
                    writer.mark_undo(change.id)
                    for effect in reversed(change.effects):
                        ids = [i for a, b in effect.rows for i in range(a, b + 1)]
                        if effect.table == "setting":
                            writer.set(effect.field, effect.before)
                        else:
                            writer.update(effect.table, ids, effect.field, effect.before)

        self.both(act)

    @rule(classes=st.lists(NUMBERS, max_size=2), numbers=st.lists(NUMBERS, max_size=2))
    def erase(self, classes: list[int], numbers: list[int]) -> None:
        with self.reference.reading() as reader:
            known = [row.id for row in reader.classes(is_live=None)]
            rows = [row.id for row in reader.exemplars(is_live=None)]
        class_ids = [known[i] for i in classes if i < len(known)]
        exemplar_ids = [rows[i] for i in numbers if i < len(rows)]
        for store in (self.store, self.reference):
            store.erase(class_ids=class_ids, exemplar_ids=exemplar_ids)

    @rule()
    def open_again(self) -> None:
        self.store.close()
        self.store = SqliteStore.open(self.path)

    @rule(limit=st.integers(0, 4))
    def follow_slowly(self, limit: int) -> None:
        with self.store.reading() as reader, self.reference.reading() as expected:
            self.slow.follow(reader, limit=limit)
            self.slow.check(expected)

    @invariant()
    def alike(self) -> None:
        if not hasattr(self, "store"):
            return
        with self.store.reading() as reader, self.reference.reading() as expected:
            check_alike(reader, expected, HASHES)
            self.follower.follow(reader)
            self.follower.check(expected)
        assert self.store.check() == []


Machine.TestCase.settings = settings(
    deadline=None,
    max_examples=25,
    stateful_step_count=25,
    suppress_health_check=[HealthCheck.too_slow],
)
test_any_sequence = Machine.TestCase
