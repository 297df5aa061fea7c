"""Random changes that are made to a store and to its reference alike."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, final

import numpy as np

from ilk.store import Chosen, NewExemplar, NewStranger, NewUnknown, Store, Writer
from ilk.testing.claims import D, claim
from ilk.testing.memory_store import MemoryStore
from ilk.testing.store_state import Follower, check_alike

__all__ = ["Play"]

_NAMES = (
    *["enroll"] * 4,
    *["merge"] * 3,
    *["undo", "remove", "rename", "keep"] * 2,
    "set",
    "erase",
)
"""What happens how often."""


@final
class Play:
    """The same random changes on a store and on the reference."""

    def __init__(self, store: Store, reference: MemoryStore) -> None:
        self.stores: tuple[Store, Store] = (store, reference)
        self.random = np.random.default_rng(5)
        self.num_contents = 0
        self.follower, self.slow_follower = Follower(), Follower()

    @property
    def hashes(self) -> list[str]:
        """The content hashes so far."""
        return [f"{i:064x}" for i in range(self.num_contents)]

    def change(self) -> None:
        """Change both in the same way."""
        name = str(self.random.choice(_NAMES))
        if name == "erase":
            self._erase()
            return
        act = getattr(self, f"_{name}")()
        ids = []
        for store in self.stores:
            with store.changing(name, actor="ada", call="c1") as writer:
                ids.append(act(writer))
        claim(ids[0] == ids[1], f"{name}: expected ids {ids[1]}, got {ids[0]}")

    def compare(self) -> None:
        """Compare every answer, and two who follow: one at once, one in small steps, and late."""
        store, reference = self.stores
        with store.reading() as reader, reference.reading() as expected:
            check_alike(reader, expected, self.hashes)
            self.follower.follow(reader)
            self.follower.check(expected)
            if self.random.random() < 0.2:
                self.slow_follower.follow(reader, limit=3)
                self.slow_follower.check(expected)
            since = int(self.random.integers(reader.sequence() + 1))
            got, wanted = reader.delta(since), expected.delta(since)
            claim(
                set(wanted.ids) <= set(got.ids)
                and np.array_equal(got.erased, wanted.erased)
                and got.settings_changed == wanted.settings_changed,
                f"a delta since {since} must be {wanted}, got {got}",
            )

    def _rows(self, count: int) -> list[NewExemplar]:
        rows = []
        for _ in range(count):
            i = self.num_contents
            self.num_contents += 1
            metadata = {"page": i, "tags": ["a", None]} if i % 3 else {}
            crop = b"crop %d" % i if i % 2 else None
            expires = "2030-01-01" if i % 5 == 0 else None
            embedding = self.random.normal(size=D).astype(np.float32)
            rows.append(NewExemplar(embedding, f"{i:064x}", f"{i}.png", metadata, crop, expires))
        return rows

    def _live(self) -> tuple[list[int], list[int]]:
        """Return the ids of live classes and exemplars, of the reference."""
        with self.stores[1].reading() as reader:
            rows = [row.id for row in reader.exemplars() if row.class_id is not None]
            return sorted(row.id for row in reader.classes()), rows

    def _pick(self, ids: list[int]) -> int:
        return ids[int(self.random.integers(len(ids)))]

    def _enroll(self) -> Callable[[Writer], Any]:
        classes, _ = self._live()
        rows, others = self._rows(int(self.random.integers(1, 9))), self._rows(2)
        label = None if classes and self.random.random() < 0.4 else f"class {self.num_contents} é"
        old = None if label is not None else self._pick(classes)

        def act(writer: Writer) -> Any:
            class_id = writer.add_class(label) if label is not None else old
            ids = writer.add_exemplars(class_id, rows)
            ids += writer.add_exemplars(class_id, others[:1], role="not")
            return class_id, ids + writer.add_exemplars(None, others[1:], role="ignore")

        return act

    def _remove(self) -> Callable[[Writer], Any]:
        classes, rows = self._live()
        chosen = [i for i in rows if self.random.random() < 0.1]
        gone = self._pick(classes) if classes and self.random.random() < 0.5 else None

        def act(writer: Writer) -> None:
            writer.update("exemplar", chosen, "is_live", False)
            if gone is not None:
                members = [row.id for row in writer.exemplars(gone)]
                writer.update("exemplar", members, "is_live", False)
                writer.update("class", [gone], "is_live", False)

        return act

    def _rename(self) -> Callable[[Writer], Any]:
        classes, rows = self._live()
        number = self.num_contents
        self.num_contents += 1

        def act(writer: Writer) -> None:
            for i in classes[:1]:
                writer.update("class", [i], "label", f"renamed {number}")
                writer.update("class", [i], "label", f"renamed again {number}")
            writer.update("exemplar", rows[::3], "name", "renamed.png")
            writer.update("exemplar", rows[::4], "metadata", {"number": number})
            writer.update("exemplar", rows[:2], "expires", None)
            writer.update("exemplar", rows[:1], "role", "not")

        return act

    def _merge(self) -> Callable[[Writer], Any]:
        classes, _ = self._live()
        one, other = (self._pick(classes), self._pick(classes)) if classes else (0, 0)

        def act(writer: Writer) -> None:
            if one != other:
                members = [row.id for row in writer.exemplars(one)]
                writer.update("exemplar", members, "class_id", other)
                writer.update("class", [one], "is_live", False)

        return act

    def _undo(self) -> Callable[[Writer], Any]:
        """Turn the last change around, by its effects."""

        def act(writer: Writer) -> None:
            for change in writer.changes(last=1):
                if change.action == "erase" or change.is_erased:
                    return
                writer.mark_undo(change.id)
                for effect in reversed(change.effects):
                    if effect.table == "setting":
                        writer.set(effect.field, effect.before)
                        continue
                    ids = [i for a, b in effect.rows for i in range(a, b + 1)]
                    writer.update(effect.table, ids, effect.field, effect.before)

        return act

    def _keep(self) -> Callable[[Writer], Any]:
        probe, stranger = self._rows(2)
        kept = f"{int(self.random.integers(self.num_contents)):064x}"
        unknowns = [
            NewUnknown(probe.embedding, probe.content_hash, "probe.png", float("inf"), b"seen"),
            NewUnknown(probe.embedding, kept, "other.png", 0.5),
        ]
        groups = ("stranger", f"class {self.num_contents // 2} é")
        strangers = [NewStranger(stranger.embedding, stranger.content_hash, g) for g in groups]
        dismissed = int(self.random.integers(1, 20))

        def act(writer: Writer) -> Any:
            found = writer.add_unknowns(unknowns), writer.add_strangers(strangers)
            writer.update("unknown", [u.id for u in writer.unknowns([dismissed])], "is_live", False)
            last = [u.id for u in writer.unknowns() if u.id not in found[0]][-1:]
            writer.update("unknown", last, "distance", None if dismissed % 2 else 0.25)
            return found

        return act

    def _set(self) -> Callable[[Writer], Any]:
        value = [None, 0.25, {"b": [1, None], "a": "é"}][int(self.random.integers(3))]
        key = str(self.random.choice(["threshold", "templates"]))
        return lambda writer: writer.set(key, value)

    def _erase(self) -> None:
        with self.stores[1].reading() as reader:
            classes = [row.id for row in reader.classes(is_live=None)]
            rows = [row.id for row in reader.exemplars(is_live=None)]
        class_ids = [self._pick(classes)] if classes and self.random.random() < 0.7 else []
        exemplar_ids = [self._pick(rows)] if rows else []
        if class_ids or exemplar_ids:
            chosen = Chosen(tuple(class_ids), tuple(exemplar_ids))
            for store in self.stores:
                store.erase(choose=lambda reader: chosen, actor="ada")
