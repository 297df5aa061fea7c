"""How each exemplar stands to the others: of its own class, and of the other classes.

Other classes are ranked by `rank_classes`, so exemplars of what a class is not, or of what is to be
ignored, rule classes out here as they do for probes. Distances are between
exemplars, whatever the templates of the gallery are.

Shapes: N exemplars, n of them asked about the other classes, P pairs, D embedding size.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import final

import numpy as np

from ilk.closest import EXEMPLAR, IGNORE, Members, rank_classes
from ilk.distances import Distance
from ilk.gallery.reembedding import Progress
from ilk.gallery.state import State
from ilk.plugins import load
from ilk.scan import exact_distances
from ilk.searcher import Neighbors, Searcher
from ilk.store import Reader
from ilk.thresholds import within

__all__ = ["Exemplars", "Neighborhood", "Others", "Own", "exemplars_of", "look_around"]

_SEED = 0
_PAIRS = 2000
"""So many random pairs show how far apart exemplars of one class and of different classes are."""

_ALMOST_ZERO_WITHIN, _ALMOST_ZERO_BETWEEN, _ROUNDING = 0.1, 0.01, 1e-6
"""Shares of these distances up to which two exemplars are nearly the same."""

_LARGE_CLASS = 1000
"""Of a larger class, only the exemplars that were drawn are compared with the others of it."""

_AT_ONCE = 256
"""Exemplars of one class that are compared with the others of it at once."""

_FIRST_NEAR, _MOST_NEAR = 16, 1024
"""So many of the closest rows are fetched at first for an exemplar, and at last."""

_CELLS = 1 << 20
"""Rows that are fetched at once for all exemplars together."""

_PROBES_AT_ONCE = 256
"""Exemplars that are asked about at once: between them it is told how far it is, and stopped."""


@final
@dataclass(frozen=True, eq=False)
class Exemplars:
    """A copy of a gallery's rows, to look at while others use and change the gallery."""

    distance: Distance
    searcher: Searcher
    members: Members
    ids: np.ndarray
    """(N,) int64, ascending: of the exemplars, without the rows that bar."""
    class_ids: np.ndarray
    """(N,) int64."""
    rows: np.ndarray
    """The searcher's own, in its order, with those that bar."""
    at: np.ndarray
    """(N,) place of each exemplar in `rows`."""

    def embeddings(self, positions: np.ndarray) -> np.ndarray:
        """Return the embeddings of exemplars by position."""
        return self.rows[self.at[positions]]


@final
@dataclass(frozen=True, eq=False)
class Own:
    """Each exemplar among the others of its class."""

    distances: np.ndarray
    """(N,) to the closest other; infinite where there is none, NaN where nobody looked."""
    closest: np.ndarray
    """(N,) position of that other; -1 where there is none or nobody looked."""
    copies_of: np.ndarray
    """(N,) id of the first earlier exemplar that is nearly the same, -1 for none."""
    copy_distances: np.ndarray
    """(N,) to it; NaN where there is none."""


@final
@dataclass(frozen=True, eq=False)
class Others:
    """Exemplars among the other classes within reach: pairs of an exemplar and a class."""

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
    num_cut: int
    """How many exemplars have more rows within reach than are ever fetched, 1,024."""


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
    """The largest distance at which two exemplars count as nearly the same: a tenth of the median
    distance between exemplars of one class, at most 1 % of that of different classes, and at least
    a millionth of it, which is what rounding does. Both medians are of 2,000 random pairs."""
    own: Own
    others: Others
    near: Neighbors
    """The 16 closest rows of each of the n that were asked, itself and rows that bar among them."""
    exemplars: Exemplars


def exemplars_of(state: State, reader: Reader) -> Exemplars:
    """Copy what there is to look at; the state is free for others afterwards.

    Args:
        state: Fresh.
        reader: Of its store.
    """
    binding = state.binding
    if state.live.templates.is_every:
        known = state.live.members
        ids, rows = state.live.searcher.rows()
        ids, rows, class_ids, roles = ids.copy(), rows.copy(), known.class_of(ids), None
        roles = known.role_of(ids)
    else:
        delta = reader.delta(0)
        ids, rows, class_ids, roles = delta.ids, delta.embeddings, delta.class_ids, delta.roles
    searcher: Searcher = load("searchers", "exact")(binding.distance, binding.embedding_size)
    searcher.put(ids, rows)
    members = Members()
    members.put(ids, class_ids, roles)
    everyone = members.all()
    chosen = everyone[members.role_of(everyone) == EXEMPLAR]
    all_ids, rows = searcher.rows()
    order = np.argsort(all_ids, kind="stable")
    at = order[np.searchsorted(all_ids, chosen, sorter=order)]
    return Exemplars(
        binding.distance, searcher, members, chosen, members.class_of(chosen), rows, at
    )


def look_around(
    exemplars: Exemplars,
    limit: float | None,
    max_exemplars: int,
    progress: Progress | None = None,
) -> Neighborhood:
    """Return how exemplars stand to each other.

    Args:
        exemplars: Of a gallery.
        limit: Other classes are told up to this distance, or if that is more or this None, up to
            where exemplars are nearly the same.
        max_exemplars: If there are more, so many are drawn (always the same ones of the same
            gallery), and only they are asked about the other classes, of which none is left out.
        progress: Called with (exemplars asked about, all that are); what it raises ends it.
    """
    distance, rows, at = exemplars.distance, exemplars.rows, exemplars.at
    ids, class_ids = exemplars.ids, exemplars.class_ids
    generator = np.random.default_rng(_SEED)
    asked = np.arange(len(ids))
    if len(ids) > max_exemplars:
        asked = np.sort(generator.choice(len(ids), max_exemplars, replace=False))
    almost_zero = _almost_zero(distance, rows, at, class_ids, generator)
    own = _among_own(distance, rows, at, ids, class_ids, asked, almost_zero)
    reach = almost_zero if limit is None else max(limit, almost_zero)
    others, near = _among_others(exemplars, asked, reach, progress)
    return Neighborhood(ids, class_ids, asked, almost_zero, own, others, near, exemplars)


def _almost_zero(
    distance: Distance,
    rows: np.ndarray,
    at: np.ndarray,
    class_ids: np.ndarray,
    generator: np.random.Generator,
) -> float:
    order = np.argsort(class_ids, kind="stable")
    _, start, size = np.unique(class_ids[order], return_index=True, return_counts=True)
    if not len(order):
        return 0.0
    low, many = np.repeat(start, size), np.repeat(size, size)
    first = generator.integers(0, len(order), _PAIRS)
    step = generator.random(_PAIRS)

    def median(second: np.ndarray, chosen: np.ndarray) -> float:
        if not chosen.any():
            return np.inf
        pairs = at[order[first[chosen]]], at[order[second[chosen]]]
        return float(np.median(exact_distances(distance, rows, rows, *pairs)))

    # another place in the same class, and a place in any other class
    inside = (
        low[first]
        + (first - low[first] + 1 + (step * (many[first] - 1)).astype(np.int64)) % (many[first])
    )
    outside = low[first] + many[first] + (step * (len(order) - many[first])).astype(np.int64)
    within_classes = median(inside, many[first] > 1)
    between = median(outside % len(order), many[first] < len(order))
    share = min(_ALMOST_ZERO_WITHIN * within_classes, _ALMOST_ZERO_BETWEEN * between)
    known = between if np.isfinite(between) else within_classes
    return max(share, _ROUNDING * known) if np.isfinite(known) else 0.0


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
    nearest_at = np.full(len(ids), -1, np.int64)
    copied_at = np.full(len(ids), np.nan)
    is_asked = np.zeros(len(ids), bool)
    is_asked[asked] = True
    for members in _by_classes(class_ids):
        inside, of = rows[at[members]].astype(np.float64), class_ids[members]
        places = np.arange(len(members))
        if len(members) > _LARGE_CLASS:
            places = places[is_asked[members]]
        for start in range(0, len(places), _AT_ONCE):
            some = places[start : start + _AT_ONCE]
            values = distance.pairwise(inside[some], inside)
            values[of[some, None] != of] = np.inf
            earlier = within(values, almost_zero) & (np.arange(len(members)) < some[:, None])
            values[np.arange(len(some)), some] = np.inf
            closest = values.argmin(1)
            has_other = np.isfinite(values.min(1))
            apart = distance.paired(inside[some], inside[closest])
            nearest[members[some]] = np.where(has_other, apart, np.inf)
            nearest_at[members[some]] = np.where(has_other, members[closest], -1)
            has_copy, copy = earlier.any(1), earlier.argmax(1)
            copies_of[members[some]] = np.where(has_copy, ids[members[copy]], -1)
            apart = distance.paired(inside[some], inside[copy])
            copied_at[members[some]] = np.where(has_copy, apart, np.nan)
    return Own(nearest, nearest_at, copies_of, copied_at)


def _by_classes(class_ids: np.ndarray) -> Iterator[np.ndarray]:
    """Yield the positions of the exemplars of some whole classes, ascending within each."""
    order = np.argsort(class_ids, kind="stable")
    ends = np.append(np.flatnonzero(np.diff(class_ids[order])) + 1, len(order))
    begin = 0
    while begin < len(order):
        upto = np.searchsorted(ends, [begin, begin + _AT_ONCE], "right")
        end = int(ends[max(upto[0], upto[1] - 1)])  # one class at least
        yield order[begin:end]
        begin = end


def _among_others(
    exemplars: Exemplars, asked: np.ndarray, reach: float, progress: Progress | None
) -> tuple[Others, Neighbors]:
    """Fetch the closest rows of each probe, and more wherever the last is within reach.

    Also return the closest rows that were fetched first, of each.
    """
    searcher, members, class_ids = exemplars.searcher, exemplars.members, exemplars.class_ids
    waiting, k, num_cut = np.arange(len(asked)), _FIRST_NEAR, 0
    nothing = np.zeros(0, np.int64)
    parts = [(nothing, nothing, nothing, np.zeros(0))]
    first = Neighbors(*(np.zeros((len(asked), min(k, len(searcher))), t) for t in (int, float)))
    while len(waiting):
        left, step = [nothing], max(1, min(_PROBES_AT_ONCE, _CELLS // k))
        for start in range(0, len(waiting), step):
            some = waiting[start : start + step]
            found = searcher.nearest(exemplars.embeddings(asked[some]), k)
            if k == _FIRST_NEAR:
                first.ids[some], first.distances[some] = found.ids, found.distances
                if progress is not None:
                    progress(start + len(some), len(asked))
            has_more = within(found.distances[:, -1], reach) & (found.ids.shape[1] < len(searcher))
            if k < _MOST_NEAR:
                left.append(some[has_more])
            else:
                num_cut += int(has_more.sum())
                has_more = np.zeros(len(some), bool)
            own = class_ids[asked[some]]
            pair, *told = _classes_within(found, members, own, reach, ~has_more)
            parts.append((asked[some[pair]], *told))
        waiting, k = np.concatenate(left), k * 4
    at, others, rows, distances = (np.concatenate(part) for part in zip(*parts, strict=True))
    order = np.argsort(at, kind="stable")
    is_first = np.diff(at[order], prepend=-1) > 0
    found_others = Others(
        at[order], others[order], rows[order], distances[order], is_first, num_cut
    )
    return found_others, first


def _classes_within(
    found: Neighbors, members: Members, own: np.ndarray, reach: float, is_told: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return probe, class, row and distance of each other class within reach, closest first."""
    num_probes, k = found.ids.shape
    probe = np.repeat(np.arange(num_probes), k)
    rows, distances = found.ids.reshape(-1), found.distances.reshape(-1)
    at = np.flatnonzero(is_told[probe] & within(distances, reach))
    roles, classes = members.role_of(rows[at]), members.class_of(rows[at])
    counts = (roles == IGNORE) | (classes != own[probe[at]])
    at, roles, classes = at[counts], roles[counts], classes[counts]
    may_bar = roles if members.num_barring else None
    chosen = rank_classes(probe[at], classes, distances[at], rows[at], may_bar)
    chosen = chosen[roles[chosen] == EXEMPLAR]
    at = at[chosen]
    return probe[at], classes[chosen], rows[at], distances[at]
