"""The state that answers: templates and who they belong to, following the store change by change.

All of it is derived: it can be rebuilt from the store, or from a snapshot and what changed since,
at any time.

Shapes: N exemplars, D embedding size.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any, final

import numpy as np

from ilk.closest import EXEMPLAR, Members
from ilk.distances import Distance
from ilk.gallery.snapshot import Permission, read_snapshot, write_snapshot
from ilk.plugins import load
from ilk.searcher import Searcher
from ilk.store import Delta, Reader
from ilk.templates import Templates

__all__ = ["Live", "Moved"]

_ARRAYS = ("ids", "embeddings", "members", "class_ids", "roles")

_DELTA_ROWS = 20_000
"""How many rows are read at once: bounds the memory of opening a large gallery."""


@final
class Moved:
    """What one step of following did to the searcher: rows out, rows in."""

    def __init__(self, embedding_size: int) -> None:
        self.settings_changed = False
        """Whether a setting, a label or a stranger changed."""
        self.dropped = np.zeros(0, np.int64)
        self.put = np.zeros(0, np.int64)
        self.embeddings = np.zeros((0, embedding_size), np.float32)
        self.damaged: list[int] = []
        """Rows that were left out, because their embedding is not what was written."""

    @property
    def num_rows(self) -> int:
        """How many rows went or came."""
        return len(self.dropped) + len(self.put)

    def add(self, dropped: np.ndarray, put: np.ndarray, embeddings: np.ndarray) -> None:
        """Note one more part; a row may be in several."""
        self.dropped = np.concatenate([self.dropped, dropped])
        stays = ~np.isin(self.put, np.concatenate([dropped, put]))
        self.put = np.concatenate([self.put[stays], put])
        self.embeddings = np.concatenate([self.embeddings[stays], embeddings])


@final
class Live:
    """Searcher, members and class sizes of one gallery at one sequence number.

    Not safe for threads: its owner holds a lock.
    """

    def __init__(
        self, distance: Distance, embedding_size: int, templates: Templates, searcher: str
    ) -> None:
        self.distance = distance
        self.embedding_size = embedding_size
        self.templates = templates
        self.searcher: Searcher = load("searchers", searcher)(distance, embedding_size)
        self.members = Members()
        self.sizes: Counter[int] = Counter()
        """Live exemplars of role "exemplar" by class id; classes without any are left out."""
        self.sequence = 0
        self._templates: dict[int, np.ndarray] = {}
        """Ids of the templates of each class; unused where every exemplar is one."""

    @property
    def num_classes(self) -> int:
        """How many classes have an exemplar."""
        return len(self.sizes)

    def follow(self, reader: Reader) -> Moved:
        """Take over what changed in the store since; return what that did to the rows."""
        moved = Moved(self.embedding_size)
        while True:
            delta = reader.delta(self.sequence, limit=_DELTA_ROWS)
            if delta.sequence == self.sequence:
                return moved
            moved.settings_changed |= delta.settings_changed
            moved.damaged += delta.damaged.tolist()
            self._apply(delta, reader, moved)
            self.sequence = delta.sequence

    def load(self, path: Path, expect: dict[str, Any], reader: Reader) -> dict[str, np.ndarray]:
        """Start from a snapshot if there is a fitting one; return its further arrays.

        It fits if the change that it was written after is in the history of the store: not if a
        backup of one of them was restored beside the other.
        """
        snapshot = read_snapshot(path, expect=expect)
        if snapshot is None:
            return {}
        token = reader.token(int(snapshot.header["sequence"]))
        if token is None or token != snapshot.header.get("token"):
            return {}
        arrays = dict(snapshot.arrays)
        own = {name: arrays.pop(name) for name in _ARRAYS}
        adopt = getattr(self.searcher, "adopt", self.searcher.put)
        adopt(own["ids"], own["embeddings"])
        self.members.put(own["members"], own["class_ids"], own["roles"])
        self._count(own["members"], 1)
        if not self.templates.is_every:
            shown = own["ids"][self.members.role_of(own["ids"]) == EXEMPLAR]
            classes = self.members.class_of(shown)
            self._templates = {c: np.sort(shown[classes == c]) for c in np.unique(classes).tolist()}
        self.sequence = int(snapshot.header["sequence"])
        return arrays

    def save(
        self,
        path: Path,
        header: dict[str, Any],
        arrays: dict[str, np.ndarray],
        permission: Permission,
    ) -> bool:
        """Write a snapshot with further arrays of the owner's; return whether it was written."""
        ids, embeddings = self.searcher.rows()
        members = self.members.all()
        own = [ids, embeddings, members, self.members.class_of(members)]
        own.append(self.members.role_of(members))
        named = dict(zip(_ARRAYS, own, strict=True))
        whole = header | {"sequence": self.sequence}
        return write_snapshot(path, whole, named | arrays, permission=permission)

    def _apply(self, delta: Delta, reader: Reader, moved: Moved) -> None:
        gone = np.concatenate([delta.ids[~delta.is_live], delta.erased, delta.damaged])
        ids, class_ids = delta.ids[delta.is_live], delta.class_ids[delta.is_live]
        roles, embeddings = delta.roles[delta.is_live], delta.embeddings[delta.is_live]
        known = self.members.knows(np.concatenate([ids, gone]))
        touched = {*self._count(known, -1), *class_ids[roles == EXEMPLAR].tolist()}
        self.members.drop(gone)
        self.members.put(ids, class_ids, roles)
        self._count(ids, 1)
        self._move(gone, ids[:0], embeddings[:0], moved)
        shown = np.ones(len(ids), bool)
        if not self.templates.is_every:
            self._remake(sorted(touched), reader, moved)
            shown = roles != EXEMPLAR
        self._move(gone[:0], ids[shown], embeddings[shown], moved)

    def _count(self, ids: np.ndarray, sign: int) -> list[int]:
        """Count rows of role "exemplar" in or out; return their classes."""
        of_exemplars = ids[self.members.role_of(ids) == EXEMPLAR]
        classes, counts = np.unique(self.members.class_of(of_exemplars), return_counts=True)
        for class_id, count in zip(classes.tolist(), counts.tolist(), strict=True):
            self.sizes[class_id] += sign * count
            if not self.sizes[class_id]:
                del self.sizes[class_id]
        return classes.tolist()

    def _remake(self, class_ids: list[int], reader: Reader, moved: Moved) -> None:
        """Make the templates of classes anew.

        All old ones go before the new ones come: a template may stand for another class by now.
        """
        for class_id in class_ids:
            before = self._templates.pop(class_id, np.zeros(0, np.int64))
            self._move(before, before[:0], np.zeros((0, self.embedding_size), np.float32), moved)
        for class_id in class_ids:
            rows = [row.id for row in reader.exemplars(class_id) if row.role == "exemplar"]
            ids = self.members.knows(np.array(rows, np.int64))  # the others are damaged
            made, embeddings = self.templates.make(ids, reader.embeddings(ids), self.distance)
            if len(made):
                self._templates[class_id] = made
            self._move(made[:0], made, embeddings, moved)

    def _move(
        self, gone: np.ndarray, ids: np.ndarray, embeddings: np.ndarray, moved: Moved
    ) -> None:
        self.searcher.drop(gone)
        self.searcher.put(ids, embeddings)
        moved.add(gone, ids, embeddings)
