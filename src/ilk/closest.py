"""The distance of a class: of its closest template, for all who ask.

A row of a searcher is a template of a class, or it bars: a "not" row says what its class is not,
an "ignore" row what no class is. A class is ruled out for a probe if a row that bars it is at most
as far as the class.

Shapes: Q probes, N rows, m classes per probe.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import final

import numpy as np

from ilk.distances import Distance
from ilk.searcher import Neighbors, Searcher
from ilk.thresholds import within

__all__ = [
    "EXEMPLAR",
    "IGNORE",
    "NOT",
    "Barred",
    "ClosestClasses",
    "Members",
    "barred_classes",
    "class_distances",
    "closest_classes",
    "rank_classes",
]

EXEMPLAR, NOT, IGNORE = 0, 1, 2
"""Roles of rows."""

_NUM_BARRED = 64
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
    except_row: np.ndarray | None = None,
) -> ClosestClasses:
    """Return the `num_classes` closest classes of each probe.

    Args:
        searcher: Holds the templates and the rows that bar.
        members: What the rows of the searcher are.
        probes: (Q, D).
        num_classes: m, at least 1; fewer exist where columns end with -1.
        except_class: (Q,) the class that does not count for each probe, -1 for none. Of a probe
            that is enrolled itself, this asks about the others.
        except_row: (Q,) the row that does not count for each probe, -1 for none. Of a probe that
            is a row itself, this asks about its class without it.

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
    waiting = np.arange(len(probes))
    k = num_classes + _NUM_FIRST
    while len(waiting) and len(searcher):
        neighbors = searcher.nearest(probes[waiting], k)
        is_all = neighbors.ids.shape[1] >= len(searcher)
        left_out = [v if v is None else v[waiting] for v in (except_class, except_row)]
        is_done = _fill(result, waiting, neighbors, members, left_out, is_all)
        waiting = waiting[~is_done]
        k *= 4
    return result


@final
@dataclass(frozen=True)
class Barred:
    """A class that a row rules out for a probe."""

    class_id: int
    """-1 if the row rules out every class that is farther."""
    row: int
    """The row that bars."""
    row_distance: float
    distance: float
    """Of the class, had it not been ruled out."""


def barred_classes(
    searcher: Searcher, members: Members, probes: np.ndarray, limits: np.ndarray
) -> list[Barred | None]:
    """Return for each of the (Q, D) probes the closest class that is ruled out, None for none.

    Only the 64 closest rows are looked at, and classes within the limit of each probe, (Q,).

    Example:
        >>> from ilk.distances import Euclidean
        >>> from ilk.searcher import ScanSearcher
        >>> searcher, members = ScanSearcher(Euclidean(), 1), Members()
        >>> searcher.put(np.array([1, 2]), np.array([[0.0], [1.0]], np.float32))
        >>> members.put(np.array([1, 2]), np.array([4, 4]), np.array([EXEMPLAR, NOT], np.int8))
        >>> barred_classes(searcher, members, np.array([[0.75], [0.25]]), np.array([5.0, 5.0]))
        [Barred(class_id=4, row=2, row_distance=0.25, distance=0.75), None]
    """
    if not (members.num_barring and len(searcher) and len(probes)):
        return [None] * len(probes)
    found = searcher.nearest(probes, _NUM_BARRED)
    return [
        _barred(members, rows, distances, limit)
        for rows, distances, limit in zip(found.ids, found.distances, limits, strict=True)
    ]


def _barred(
    members: Members, rows: np.ndarray, distances: np.ndarray, limit: float
) -> Barred | None:
    roles, class_ids = members.role_of(rows), members.class_of(rows)
    bars: dict[int, tuple[int, float]] = {}
    for at in np.lexsort((rows, -roles, distances)):
        apart, class_id = float(distances[at]), int(class_ids[at])
        if roles[at] == EXEMPLAR:
            if not within(apart, limit):
                return None
            for key in (-1, class_id):
                if key in bars:
                    return Barred(key, *bars[key], apart)
        else:
            bars.setdefault(-1 if roles[at] == IGNORE else class_id, (int(rows[at]), apart))
    return None


def rank_classes(
    probe: np.ndarray,
    class_ids: np.ndarray,
    distances: np.ndarray,
    rows: np.ndarray,
    roles: np.ndarray | None = None,
) -> np.ndarray:
    """Return which rows decide the distance of a class: for each probe the closest of each class.

    They come by probe, closest first, at the same distance by row id. A row that bars stands before
    others at its distance and decides like them; what follows an "ignore" row is left out.

    Args:
        probe: (n,) position of the probe that each row was found for.
        class_ids: (n,) of the rows.
        distances: (n,) to that probe.
        rows: (n,) row ids.
        roles: (n,) of the rows; None if none of them bars.

    Returns:
        (m,) positions in these arrays.

    Example:
        >>> probe, class_ids, rows = np.array([0, 0, 0]), np.array([7, 7, 2]), np.array([4, 5, 6])
        >>> rank_classes(probe, class_ids, np.array([0.3, 0.1, 0.3]), rows)
        array([1, 2])
    """
    if roles is None:
        return _first_of_each(probe, class_ids, np.lexsort((rows, distances, probe)))
    order = np.lexsort((rows, -roles, distances, probe))
    decisive = _first_of_each(probe, np.where(roles == IGNORE, -1, class_ids), order)
    ignores = roles[decisive] == IGNORE
    ends = np.cumsum(ignores)
    first = np.searchsorted(probe[decisive], probe[decisive])
    ended = ends - ends[first] + ignores[first]
    return decisive[(ended == 0) | ignores]


def _first_of_each(probe: np.ndarray, class_ids: np.ndarray, order: np.ndarray) -> np.ndarray:
    """Return those positions of an order by probe that are the first of their probe and class."""
    key = (probe * (class_ids.max(initial=0) + 2) + class_ids)[order]
    return order[np.sort(np.unique(key, return_index=True)[1])]


def _fill(
    result: ClosestClasses,
    asked: np.ndarray,
    neighbors: Neighbors,
    members: Members,
    left_out: Sequence[np.ndarray | None],
    is_all: bool,
) -> np.ndarray:
    """Fill in what the neighbors of the probes `asked` tell, and return which are done, (Q,).

    For each probe a class and a row are left out, (Q,) each, -1 for none; None for none at all.
    """
    num_probes, k = neighbors.ids.shape
    num_classes = result.class_ids.shape[1]
    probe = np.arange(num_probes).repeat(k)
    rows, distances = neighbors.ids.ravel(), neighbors.distances.ravel()
    roles, class_ids = members.role_of(rows), members.class_of(rows)
    may_bar = members.num_barring > 0
    at = _counting(probe, rows, class_ids, roles if may_bar else None, left_out).nonzero()[0]
    at = at[
        rank_classes(
            probe[at], class_ids[at], distances[at], rows[at], roles[at] if may_bar else None
        )
    ]
    is_done = np.full(num_probes, is_all)
    if may_bar:
        is_done[probe[at[roles[at] == IGNORE]]] = True
        is_found = roles[at] == EXEMPLAR
        if not is_all:  # a row that bars may lie at the last distance, beyond the k
            is_found &= distances[at] < neighbors.distances[probe[at], -1]
        at = at[is_found]
    found_for = probe[at]
    column = np.arange(len(at)) - found_for.searchsorted(found_for)
    is_done |= np.bincount(found_for, minlength=num_probes) >= num_classes
    keep = (column < num_classes) & is_done[found_for]
    at, place = at[keep], (asked[found_for[keep]], column[keep])
    result.class_ids[place], result.rows[place] = class_ids[at], rows[at]
    result.distances[place] = distances[at]
    return is_done


def _counting(
    probe: np.ndarray,
    rows: np.ndarray,
    class_ids: np.ndarray,
    roles: np.ndarray | None,
    left_out: Sequence[np.ndarray | None],
) -> np.ndarray:
    """Return which of the rows found for each probe count; roles are None if none of them bars."""
    except_class, except_row = left_out
    counts: np.ndarray = class_ids >= 0
    if except_class is not None:
        counts &= class_ids != except_class[probe]
    if roles is not None:
        counts |= roles == IGNORE
    if except_row is not None:
        counts &= rows != except_row[probe]
    return counts


def class_distances(
    searcher: Searcher,
    members: Members,
    distance: Distance,
    probes: np.ndarray,
    class_ids: Sequence[int],
) -> np.ndarray:
    """Return the (Q, C) distances of given classes to probes, infinite where one is ruled out.

    The same numbers as `closest_classes`, for classes that need not be among the closest; at a
    cost of probes times rows of these classes.
    """
    all_ids, rows = searcher.rows()
    wide = probes.astype(np.float64)

    def to(ids: np.ndarray) -> np.ndarray:
        chosen = np.flatnonzero(np.isin(all_ids, ids))
        if not len(chosen):
            return np.full(len(probes), np.inf)
        references = rows[chosen].astype(np.float64)
        return np.array([distance.to_all(probe, references).min() for probe in wide])

    barring = members.barring()
    ignored = to(barring[members.role_of(barring) == IGNORE])
    result = np.full((len(probes), len(class_ids)), np.inf)
    for column, class_id in enumerate(class_ids):
        values = to(members.rows_of(class_id))
        bar = np.minimum(ignored, to(members.rows_of(class_id, NOT)))
        result[:, column] = np.where(within(bar, values), np.inf, values)
    return result
