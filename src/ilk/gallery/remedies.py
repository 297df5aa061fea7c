"""Remedies: which removals and merges help, judged by exemplars that are left out.

An exemplar that is far from its class may be junk, or the only view of its kind; two classes that
lie close may be one thing, or two letters that resemble each other. Distances to strangers tell
neither. What tells it is what the gallery answers about its exemplars, each with itself left out:

- A removal is advised if the exemplar itself is answered wrongly, no other exemplar's right answer
  becomes wrong (neither the closest class nor what is within the threshold), and another's answer
  becomes right. Where nothing changes, nobody can tell junk from a rare view without looking.
  Advised removals add up: each is judged as if those before it were done.
- A merge is advised if exemplars of either class find the other as often as if labels had been
  drawn by lot: at least 0.8 times as many cross over as lots would make, and the energy distance
  between the two (Szekely and Rizzo, 2013) is no greater than that of 0.3 of all lots. Both must
  have five exemplars, and 0.8 of the gallery's exemplars be answered rightly; or three, and 0.95.

Shapes: n exemplars that are asked about, k rows that were found for each.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import final

import numpy as np

from ilk.closest import EXEMPLAR, rank_classes
from ilk.gallery.neighborhood import Neighborhood
from ilk.thresholds import within

__all__ = ["Remedies"]

_CROSSING, _LOTS = 0.8, 0.3
_ENOUGH = ((5, 0.8), (3, 0.95))
"""So many exemplars of both classes, and so large a share of right answers in the gallery."""

_DRAWS, _SEED = 200, 0
_MOST_OF_CLASS = 200
"""So many exemplars of a class are looked at to tell whether it is one with another."""


@final
class Remedies:
    """What mends a gallery, judged one after the other.

    Args:
        around: How exemplars stand to each other.
        limit: The threshold; None for none.
        doubtful: Positions of exemplars that may have to go: of the others, those that found them
            first in their class are asked about, too.
    """

    def __init__(self, around: Neighborhood, limit: float | None, doubtful: np.ndarray) -> None:
        self._around, self._limit = around, np.inf if limit is None else limit
        more = np.flatnonzero(np.isin(around.own.closest, doubtful))
        more = np.setdiff1d(more, around.asked)
        self._at = np.concatenate([around.asked, more])
        self._near = around.near
        self._more(more)
        self._gone = np.zeros(0, np.int64)
        self._sizes = dict(zip(*np.unique(around.class_ids, return_counts=True), strict=True))
        self._class, self._distance, self._row = self._answers(np.arange(len(self._at)))

    @property
    def removed(self) -> np.ndarray:
        """Ids of the exemplars whose removal is advised."""
        return self._gone

    def remove(self, row: int) -> bool:
        """Say whether to remove an exemplar that stands out, and go on as if that were done."""
        place = self._place(row)
        if place is None:
            return False
        own = int(self._around.class_ids[self._at[place]])
        gain, loss, asked, now = self._effect(row)
        helps = self._class[place] != own and gain and not loss
        if helps:
            self._let_go(row, own, asked, now)
        return bool(helps)

    def remove_copy(self, row: int, of: int) -> bool:
        """Say whether an exemplar that is nearly the same as another can go at no cost."""
        place = self._place(row)
        if place is None or of in self._gone:
            return False
        _, loss, asked, now = self._effect(row, except_row=of)
        if not loss:
            self._let_go(row, int(self._around.class_ids[self._at[place]]), asked, now)
        return not loss

    def are_one(self, pairs: Iterable[tuple[int, int]]) -> set[tuple[int, int]]:
        """Return which pairs of classes are one thing under two names, each class in one pair."""
        generator = np.random.default_rng(_SEED)
        alike = [pair for pair in pairs if self._is_alike(*pair, generator)]
        own = self._around.class_ids[self._at]
        is_right = self._class == own
        for first, second in alike:
            is_right |= (self._class == first) & (own == second)
            is_right |= (self._class == second) & (own == first)
        counts = np.array([self._sizes[int(c)] >= 2 for c in own], bool)
        share = float(is_right[counts].mean()) if counts.any() else 0.0
        merged: set[tuple[int, int]] = set()
        taken: set[int] = set()
        for first, second in alike:
            size = min(self._sizes[first], self._sizes[second])
            enough = any(size >= least and share >= rate for least, rate in _ENOUGH)
            if enough and not taken & {first, second}:
                merged.add((first, second))
                taken |= {first, second}
        return merged

    def is_closer_elsewhere(self, position: int, other_class: int, twin: int) -> bool:
        """Whether an exemplar is closer to the rest of another class than to that of its own.

        Args:
            position: Of the exemplar.
            other_class: Id of the other class.
            twin: Position of the exemplar of the other class that does not count.
        """
        around = self._around
        rest = np.flatnonzero(around.class_ids == other_class)
        rest = rest[rest != twin][:_MOST_OF_CLASS]
        if not len(rest):
            return False
        probe = around.exemplars.embeddings(np.array([position])).astype(np.float64)[0]
        there = around.exemplars.embeddings(rest).astype(np.float64)
        nearest = float(around.exemplars.distance.to_all(probe, there).min())
        return nearest < float(np.nan_to_num(around.own.distances[position], posinf=np.inf))

    def _more(self, more: np.ndarray) -> None:
        exemplars, near = self._around.exemplars, self._near
        if len(more):
            found = exemplars.searcher.nearest(exemplars.embeddings(more), near.ids.shape[1])
            near = type(near)(
                np.concatenate([near.ids, found.ids]),
                np.concatenate([near.distances, found.distances]),
            )
        self._near = near

    def _place(self, row: int) -> int | None:
        """Return where an exemplar is among those asked about, unless it is gone already."""
        found = np.flatnonzero(self._around.ids[self._at] == row)
        return int(found[0]) if len(found) and row not in self._gone else None

    def _let_go(self, row: int, own: int, asked: np.ndarray, now: tuple[np.ndarray, ...]) -> None:
        self._gone = np.append(self._gone, row)
        self._sizes[own] -= 1
        self._class[asked], self._distance[asked], self._row[asked] = now

    def _effect(
        self, row: int, except_row: int = -1
    ) -> tuple[int, int, np.ndarray, tuple[np.ndarray, ...]]:
        """Return answers gained and lost without a row, whose answers change, and to what.

        Those of the row itself, and of `except_row`, do not count.
        """
        asked = np.flatnonzero(self._row == row)
        own = self._around.class_ids[self._at[asked]]
        before = self._class[asked] == own
        was_named = before & within(self._distance[asked], self._limit)
        now = self._answers(asked, np.append(self._gone, row))
        after = now[0] == own
        is_named = after & within(now[1], self._limit)
        counts = ~np.isin(self._around.ids[self._at[asked]], [row, except_row, *self._gone])
        lost = (before & ~after) | (was_named & ~is_named)
        return int((after & ~before & counts).sum()), int((lost & counts).sum()), asked, now

    def _answers(
        self, which: np.ndarray, gone: np.ndarray | None = None
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return class, distance and row of the answer about exemplars, each left out itself."""
        members = self._around.exemplars.members
        k = self._near.ids.shape[1]
        probe = np.repeat(np.arange(len(which)), k)
        rows, distances = self._near.ids[which].ravel(), self._near.distances[which].ravel()
        counts = rows != self._around.ids[self._at[which]][probe]
        if gone is not None:
            counts &= ~np.isin(rows, gone)
        at = np.flatnonzero(counts)
        roles, classes = members.role_of(rows[at]), members.class_of(rows[at])
        may_bar = roles if members.num_barring else None
        chosen = rank_classes(probe[at], classes, distances[at], rows[at], may_bar)
        chosen = chosen[roles[chosen] == EXEMPLAR]
        at, classes = at[chosen], classes[chosen]
        first = np.diff(probe[at], prepend=-1) > 0
        place, at, classes = probe[at[first]], at[first], classes[first]
        result = (
            np.full(len(which), -1, np.int64),
            np.full(len(which), np.inf),
            np.full(len(which), -1, np.int64),
        )
        result[0][place], result[1][place], result[2][place] = classes, distances[at], rows[at]
        return result

    def _is_alike(self, first: int, second: int, generator: np.random.Generator) -> bool:
        """Whether the labels of two classes could have been drawn by lot."""
        around = self._around
        parts = []
        for class_id in (first, second):
            at = np.flatnonzero(around.class_ids == class_id)
            at = at[~np.isin(around.ids[at], self._gone)]
            parts.append(at[np.linspace(0, len(at) - 1, min(len(at), _MOST_OF_CLASS)).astype(int)])
        sizes = [len(part) for part in parts]
        if min(sizes) < min(least for least, _ in _ENOUGH):
            return False
        rows = around.exemplars.embeddings(np.concatenate(parts)).astype(np.float64)
        apart = around.exemplars.distance.pairwise(rows, rows)
        is_second = np.arange(len(rows)) >= sizes[0]
        np.fill_diagonal(apart, np.inf)
        crossing = int((is_second[apart.argmin(1)] != is_second).sum())
        by_lot = 2 * sizes[0] * sizes[1] / (len(rows) - 1)
        if crossing < _CROSSING * by_lot:
            return False
        np.fill_diagonal(apart, 0.0)
        seen = _energy(apart, is_second)
        lots = [_energy(apart, generator.permutation(is_second)) for _ in range(_DRAWS)]
        return float(np.mean(np.array(lots) >= seen - 1e-12)) > _LOTS


def _energy(apart: np.ndarray, is_second: np.ndarray) -> float:
    """Return how much farther two parts are from each other than each is from itself."""
    second = is_second.astype(np.float64)
    first = 1 - second
    m, n = first.sum(), second.sum()
    between = 2 * (first @ apart @ second) / (m * n)
    inside = (first @ apart @ first) / (m * (m - 1)) + (second @ apart @ second) / (n * (n - 1))
    return float(between - inside)
