"""The distance of a class: of its closest template, for all who ask.

A row of a searcher is a template of a class, or it bars: a "not" row says what its class is not,
an "ignore" row what no class is. A class is ruled out for a probe if a row that bars it is at most
as far as the class.

Shapes: Q probes, N rows, m classes per probe.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

import numpy as np

from ilk.searcher import Neighbors, Searcher

__all__ = ["EXEMPLAR", "IGNORE", "NOT", "ClosestClasses", "Members", "closest_classes"]

EXEMPLAR, NOT, IGNORE = 0, 1, 2
"""Roles of rows."""

_NUM_FIRST = 16
"""How many rows are fetched at first, beyond the classes that are asked for."""


@final
@dataclass(frozen=True, eq=False)
class ClosestClasses:
    """The m closest classes of each probe, closest first; at the same distance by row id."""

    class_ids: np.ndarray
    """(Q, m) int64; -1 where there is no further class."""
    distances: np.ndarray
    """(Q, m) float64; infinite where there is no further class."""
    rows: np.ndarray
    """(Q, m) int64: id of the template that decided; -1 where there is none."""


@final
class Members:
    """Which class each row belongs to, and in which role, by row id.

    Example:
        >>> members = Members()
        >>> members.put(np.array([1, 2]), np.array([7, 7]), np.array([0, 1]))
        >>> members.class_of(np.array([2, 1])).tolist(), members.num_barring
        ([7, 7], 1)
    """

    def __init__(self) -> None:
        self._class = np.full(16, -1, np.int64)
        self._role = np.full(16, -1, np.int8)
        self.num_barring = 0

    def put(self, ids: np.ndarray, class_ids: np.ndarray, roles: np.ndarray) -> None:
        """Set class and role of rows, ids (M,)."""
        if len(ids):
            self._grow(int(ids.max()) + 1)
            self._count(ids, -1)
            self._class[ids], self._role[ids] = class_ids, roles
            self._count(ids, 1)

    def drop(self, ids: np.ndarray) -> None:
        """Forget rows; those that are not there are no error."""
        ids = ids[ids < len(self._class)]
        self._count(ids, -1)
        self._class[ids], self._role[ids] = -1, -1

    def knows(self, ids: np.ndarray) -> np.ndarray:
        """Return those of the ids that are there."""
        ids = ids[ids < len(self._class)]
        return ids[self._role[ids] >= EXEMPLAR]

    def class_of(self, ids: np.ndarray) -> np.ndarray:
        """Return the class id of each row, -1 for none."""
        return self._class[ids]

    def rows_of(self, class_id: int, role: int = EXEMPLAR) -> np.ndarray:
        """Return the ids, ascending, of the rows of a class that have a role."""
        return np.flatnonzero((self._class == class_id) & (self._role == role))

    def all(self) -> np.ndarray:
        """Return all ids, ascending."""
        return np.flatnonzero(self._role >= EXEMPLAR)

    def barring(self) -> np.ndarray:
        """Return the ids, ascending, of the rows that bar."""
        return np.flatnonzero(self._role > EXEMPLAR)

    def role_of(self, ids: np.ndarray) -> np.ndarray:
        """Return the role of each row."""
        return self._role[ids]

    def _grow(self, size: int) -> None:
        if size > len(self._class):
            extra = max(size, len(self._class) * 3 // 2) - len(self._class)
            self._class = np.concatenate([self._class, np.full(extra, -1, np.int64)])
            self._role = np.concatenate([self._role, np.full(extra, -1, np.int8)])

    def _count(self, ids: np.ndarray, sign: int) -> None:
        self.num_barring += sign * int((self._role[ids] > EXEMPLAR).sum())


def closest_classes(
    searcher: Searcher,
    members: Members,
    probes: np.ndarray,
    num_classes: int = 1,
    *,
    except_class: np.ndarray | None = None,
) -> ClosestClasses:
    """Return the `num_classes` closest classes of each probe.

    Args:
        searcher: Holds the templates and the rows that bar.
        members: What the rows of the searcher are.
        probes: (Q, D).
        num_classes: m, at least 1; fewer exist where columns end with -1.
        except_class: (Q,) the class that does not count for each probe, -1 for none. Of a probe
            that is enrolled itself, this asks about the others.

    Example:
        >>> from ilk.distances import Euclidean
        >>> from ilk.searcher import ScanSearcher
        >>> searcher, members = ScanSearcher(Euclidean(), 1), Members()
        >>> searcher.put(np.array([1, 2, 3]), np.array([[0.0], [1.0], [5.0]], np.float32))
        >>> members.put(np.array([1, 2, 3]), np.array([4, 4, 8]), np.zeros(3, np.int8))
        >>> found = closest_classes(searcher, members, np.array([[2.0]]), 2)
        >>> found.class_ids.tolist(), found.distances.tolist(), found.rows.tolist()
        ([[4, 8]], [[1.0, 3.0]], [[2, 3]])
    """
    shape = (len(probes), num_classes)
    result = ClosestClasses(
        np.full(shape, -1, np.int64), np.full(shape, np.inf), np.full(shape, -1, np.int64)
    )
    if except_class is None:
        except_class = np.full(len(probes), -1, np.int64)
    waiting = np.arange(len(probes))
    k = num_classes + _NUM_FIRST
    while len(waiting) and len(searcher):
        neighbors = searcher.nearest(probes[waiting], k)
        is_all = neighbors.ids.shape[1] >= len(searcher)
        unfinished = []
        for at, probe in enumerate(waiting):
            found = _walk(neighbors, at, members, num_classes, int(except_class[probe]), is_all)
            if found is None:
                unfinished.append(int(probe))
                continue
            for column, (class_id, value, row) in enumerate(found):
                result.class_ids[probe, column] = class_id
                result.distances[probe, column] = value
                result.rows[probe, column] = row
        waiting = np.array(unfinished, np.int64)
        k *= 4
    return result


def _walk(
    neighbors: Neighbors,
    at: int,
    members: Members,
    num_classes: int,
    except_class: int,
    is_all: bool,
) -> list[tuple[int, float, int]] | None:
    """Return (class, distance, row) of the closest classes; None if more rows must be fetched."""
    ids, values = neighbors.ids[at], neighbors.distances[at]
    roles = members.role_of(ids)
    if members.num_barring:  # what bars comes first in a tie
        order = np.lexsort((ids, -roles, values))
        ids, values, roles = ids[order], values[order], roles[order]
    seen = {except_class, -1}
    found: list[tuple[int, float, int]] = []
    rows = zip(ids.tolist(), values.tolist(), roles.tolist(), members.class_of(ids), strict=True)
    for row, value, role, class_id in rows:
        if role == IGNORE:
            return found
        if class_id in seen:
            continue
        if members.num_barring and not is_all and value == values[-1]:
            return None  # a row that bars may lie at the same distance, beyond what was fetched
        seen.add(int(class_id))
        if role == EXEMPLAR:
            found.append((int(class_id), value, row))
            if len(found) == num_classes:
                return found
    return found if is_all else None
