"""How each exemplar stands to the others: of its own class, and of the other classes.

The distance to another class is that of `closest_classes`, so exemplars of what a class is not, or
of what is to be ignored, rule classes out here as they do for probes. Distances are between
exemplars, whatever the templates of the gallery are.

Shapes: N exemplars, n of them asked about the other classes, P pairs, D embedding size.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import final

import numpy as np

from ilk.closest import EXEMPLAR, Members, closest_classes
from ilk.distances import Distance
from ilk.gallery.state import State
from ilk.plugins import load
from ilk.scan import exact_distances
from ilk.searcher import Searcher
from ilk.store import Reader
from ilk.thresholds import within

__all__ = ["Neighborhood", "Others", "Own", "look_around"]

_SEED = 0
_PAIRS = 2000
"""So many random pairs show how far apart exemplars of different classes are."""

_ALMOST_ZERO = 0.01
"""Share of that distance up to which two exemplars are nearly the same."""

_LARGE_CLASS = 1000
"""Of a larger class, only the exemplars that were drawn are compared with the others of it."""

_AT_ONCE = 256
"""Exemplars of one class that are compared with the others of it at once."""

_MOST_CLASSES = 64
"""For one exemplar, so many other classes within the threshold are told at most."""


@final
@dataclass(frozen=True, eq=False)
class Own:
    """Each exemplar among the others of its class."""

    distances: np.ndarray
    """(N,) to the closest other; infinite where there is none, NaN where nobody looked."""
    copies_of: np.ndarray
    """(N,) id of the first earlier exemplar that is nearly the same, -1 for none."""
    copy_distances: np.ndarray
    """(N,) to it; NaN where there is none."""


@final
@dataclass(frozen=True, eq=False)
class Others:
    """Exemplars among the other classes: pairs of an exemplar and a class."""

    exemplars: np.ndarray
    """(P,) positions of exemplars, ascending; each with its closest other class first."""
    class_ids: np.ndarray
    """(P,) of the other class."""
    rows: np.ndarray
    """(P,) id of that class's closest exemplar."""
    distances: np.ndarray
    """(P,)."""
    is_first: np.ndarray
    """(P,) bool: whether it is the closest other class of its exemplar."""


@final
@dataclass(frozen=True, eq=False)
class Neighborhood:
    """All exemplars, among their own class and among the others."""

    ids: np.ndarray
    """(N,) ascending."""
    class_ids: np.ndarray
    """(N,)."""
    asked: np.ndarray
    """(n,) positions of those that were asked about the other classes."""
    almost_zero: float
    """The largest distance at which two exemplars count as nearly the same: 1 % of the median
    distance between exemplars of different classes (of any two, if there is one class)."""
    own: Own
    others: Others


def look_around(
    state: State, reader: Reader, limit: float | None, max_exemplars: int
) -> Neighborhood:
    """Return how exemplars stand to each other.

    Args:
        state: Fresh.
        reader: Of its store.
        limit: Other classes up to this distance are all told, up to 64 of them; None tells only
            the closest.
        max_exemplars: If there are more, so many are drawn (always the same ones of the same
            gallery), and only they are asked about the other classes, of which none is left out.
    """
    distance = state.binding.distance
    searcher, members = _exemplars(state, reader)
    everyone = members.all()
    ids = everyone[members.role_of(everyone) == EXEMPLAR]
    class_ids = members.class_of(ids)
    all_ids, rows = searcher.rows()
    order = np.argsort(all_ids, kind="stable")
    at = order[np.searchsorted(all_ids, ids, sorter=order)]
    generator = np.random.default_rng(_SEED)
    asked = np.arange(len(ids))
    if len(ids) > max_exemplars:
        asked = np.sort(generator.choice(len(ids), max_exemplars, replace=False))
    almost_zero = _ALMOST_ZERO * _typical(distance, rows, at, class_ids, generator)
    own = _among_own(distance, rows, at, ids, class_ids, asked, almost_zero)
    others = _among_others(searcher, members, rows, at, class_ids, asked, limit)
    return Neighborhood(ids, class_ids, asked, almost_zero, own, others)


def _exemplars(state: State, reader: Reader) -> tuple[Searcher, Members]:
    """Return a search over every exemplar: the gallery's own, if exemplars are its templates."""
    if state.live.templates.is_every:
        return state.live.searcher, state.live.members
    delta, members = reader.delta(0), Members()
    binding = state.binding
    searcher: Searcher = load("searchers", "exact")(binding.distance, binding.embedding_size)
    searcher.put(delta.ids, delta.embeddings)
    members.put(delta.ids, delta.class_ids, delta.roles)
    return searcher, members


def _typical(
    distance: Distance,
    rows: np.ndarray,
    at: np.ndarray,
    class_ids: np.ndarray,
    generator: np.random.Generator,
) -> float:
    """Return the median distance of random pairs of different classes; 0 if there are no pairs."""
    if len(at) < 2:
        return 0.0
    first = generator.integers(0, len(at), _PAIRS)
    second = (first + generator.integers(1, len(at), _PAIRS)) % len(at)
    differ = class_ids[first] != class_ids[second]
    chosen = differ if differ.any() else np.ones(_PAIRS, bool)
    values = exact_distances(distance, rows, rows, at[first[chosen]], at[second[chosen]])
    return float(np.median(values))


def _among_own(
    distance: Distance,
    rows: np.ndarray,
    at: np.ndarray,
    ids: np.ndarray,
    class_ids: np.ndarray,
    asked: np.ndarray,
    almost_zero: float,
) -> Own:
    nearest, copies_of = np.full(len(ids), np.nan), np.full(len(ids), -1, np.int64)
    copied_at = np.full(len(ids), np.nan)
    is_asked = np.zeros(len(ids), bool)
    is_asked[asked] = True
    for members in _by_class(class_ids):
        if len(members) == 1:
            nearest[members] = np.inf
            continue
        inside = rows[at[members]].astype(np.float64)
        places = np.arange(len(members))
        if len(members) > _LARGE_CLASS:
            places = places[is_asked[members]]
        for start in range(0, len(places), _AT_ONCE):
            some = places[start : start + _AT_ONCE]
            values = distance.pairwise(inside[some], inside)
            earlier = within(values, almost_zero) & (np.arange(len(members)) < some[:, None])
            values[np.arange(len(some)), some] = np.inf
            closest = values.argmin(1)
            nearest[members[some]] = distance.paired(inside[some], inside[closest])
            has_copy, copy = earlier.any(1), earlier.argmax(1)
            copies_of[members[some]] = np.where(has_copy, ids[members[copy]], -1)
            apart = distance.paired(inside[some], inside[copy])
            copied_at[members[some]] = np.where(has_copy, apart, np.nan)
    return Own(nearest, copies_of, copied_at)


def _by_class(class_ids: np.ndarray) -> Iterator[np.ndarray]:
    """Yield the positions, ascending, of the exemplars of each class."""
    order = np.argsort(class_ids, kind="stable")
    starts = np.flatnonzero(np.diff(class_ids[order], prepend=-1))
    yield from np.split(order, starts[1:]) if len(order) else ()


def _among_others(
    searcher: Searcher,
    members: Members,
    rows: np.ndarray,
    at: np.ndarray,
    class_ids: np.ndarray,
    asked: np.ndarray,
    limit: float | None,
) -> Others:
    """Ask for the two closest classes, and for more wherever the last is within the limit."""
    waiting, num_classes = asked, 1 if limit is None else 2
    parts = [(np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0))]
    while len(waiting):
        found = closest_classes(
            searcher, members, rows[at[waiting]], num_classes, except_class=class_ids[waiting]
        )
        goes_on = np.zeros(len(waiting), bool)
        if limit is not None and num_classes < _MOST_CLASSES:
            goes_on = within(found.distances[:, -1], limit)
        told = np.isfinite(found.distances) & ~goes_on[:, None]
        if limit is not None:
            told[:, 1:] &= within(found.distances[:, 1:], limit)
        probe = np.nonzero(told)[0]
        picked = found.class_ids[told], found.rows[told], found.distances[told]
        parts.append((waiting[probe], *picked))
        waiting, num_classes = waiting[goes_on], num_classes * 4
    exemplars, others, decisive, distances = (
        np.concatenate(arrays) for arrays in zip(*parts, strict=True)
    )
    order = np.argsort(exemplars, kind="stable")
    exemplars = exemplars[order]
    is_first = np.diff(exemplars, prepend=-1) > 0
    return Others(exemplars, others[order], decisive[order], distances[order], is_first)
