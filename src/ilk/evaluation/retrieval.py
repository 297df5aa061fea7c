"""Closed-set retrieval: every item asks for its class mates among all other items.

The query itself is left out by its position, never by its distance: a duplicate of it counts like
any other item. Neighbours that are exactly as far as each other have no order, so every figure is
the expected value over all orders of them. A query without class mates has nothing to find; it is
counted apart and in no figure.

Definitions, for a query with R class mates among N - 1 others:

- `recall_at_k`: 1 if at least one of the k closest is a class mate (the hit rate).
- `r_precision`: the share of class mates among the R closest.
- `map_at_r`: 1/R times the sum over the ranks k <= R that hold a class mate, of the precision
  among the k closest (Musgrave, Belongie and Lim 2020).
- `mrr`: 1 / rank of the closest class mate.

Shapes: N items, D embedding size, G groups of class mates that are equally far from their query.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import final

import numpy as np

from ilk.distances import Distance
from ilk.errors import InvalidInput
from ilk.evaluation.ranks import MateRanks, mate_ranks

__all__ = ["retrieval"]


def retrieval(
    embeddings: np.ndarray,
    labels: np.ndarray,
    distance: Distance,
    *,
    recall_at: Sequence[int] = (1,),
    memory_bytes: int = 1 << 30,
    progress: Callable[[int, int], None] | None = None,
) -> dict[str, np.ndarray]:
    """Return every retrieval figure of every item; their means are the usual numbers.

    Args:
        embeddings: (N, D), finite.
        labels: (N,) of any kind that NumPy can sort.
        distance: What closeness means. Not necessarily the one that the encoder learned with.
        recall_at: The k of `recall_at_k`, each at least 1.
        memory_bytes: What may be taken beyond the embeddings. It never changes the result.
        progress: Called with the queries done and N.

    Returns:
        "recall_at_k" for each k, "r_precision", "map_at_r" and "mrr", each (N,) float64, NaN for
        queries without class mates. Higher is better.

    Raises:
        InvalidInput: Lengths differ, a k is below 1, or an embedding is not finite.

    Example:
        The first item's mate is second closest:

        >>> from ilk.distances import Euclidean
        >>> points = np.array([[0.0], [1.0], [2.0], [9.0]])
        >>> found = retrieval(points, np.array(["a", "b", "a", "b"]), Euclidean())
        >>> found["mrr"].round(3).tolist()
        [0.5, 0.333, 0.5, 0.5]
        >>> retrieval(points[:2], np.array(["a", "b"]), Euclidean())["mrr"].tolist()
        [nan, nan]
    """
    if embeddings.ndim != 2 or len(embeddings) != len(labels):
        raise InvalidInput(
            f"expected (N, D) embeddings and N labels, got {embeddings.shape} and {len(labels)}"
        )
    if any(k < 1 for k in recall_at):
        raise InvalidInput(f"recall_at takes whole numbers from 1, got {tuple(recall_at)}")
    classes, class_ids = np.unique(labels, return_inverse=True)
    order = np.argsort(class_ids, kind="stable")
    sizes = np.bincount(class_ids, minlength=len(classes))
    num_mates = (sizes - 1)[class_ids[order]]
    names = [f"recall_at_{k}" for k in recall_at] + ["r_precision", "map_at_r", "mrr"]
    found = {name: np.full(len(labels), np.nan) for name in names}
    harmonic = np.concatenate([[0.0], np.cumsum(1 / np.arange(1.0, len(labels) + 1))])
    blocks = mate_ranks(
        embeddings[order],
        np.concatenate([[0], np.cumsum(sizes)]),
        distance,
        depth=max(recall_at, default=1),
        memory_bytes=memory_bytes,
    )
    for block in blocks:
        asked = np.arange(block.start, block.stop)
        asked = asked[num_mates[asked] > 0]
        groups = _groups(block, asked, num_mates[asked])
        for k in recall_at:
            found[f"recall_at_{k}"][order[asked]] = _recall(groups, k)
        found["r_precision"][order[asked]] = _r_precision(groups)
        found["map_at_r"][order[asked]] = _map_at_r(groups, harmonic)
        found["mrr"][order[asked]] = _mrr(groups)
        if progress is not None:
            progress(block.stop, len(labels))
    return found


@final
@dataclass(frozen=True, eq=False)
class _Groups:
    """Class mates that are equally far from their query, closest first; (G,) unless said."""

    query: np.ndarray
    """Position of the query among those asked."""
    num_mates: np.ndarray
    """R of each query asked, (number of queries,)."""
    less: np.ndarray
    """Items of other classes that are closer."""
    tied: np.ndarray
    """Items of other classes in the group."""
    mates: np.ndarray
    """Class mates in the group."""
    before: np.ndarray
    """Class mates that are closer."""
    is_first: np.ndarray
    """Whether it is the closest group of its query."""

    @property
    def within_r(self) -> np.ndarray:
        """How many places of the group are among the first R."""
        places = self.num_mates[self.query] - self.less - self.before
        return places.clip(0, self.tied + self.mates)

    def per_query(self, values: np.ndarray) -> np.ndarray:
        """Return the sum over each query's groups."""
        return np.bincount(self.query, values, minlength=len(self.num_mates))


def _groups(block: MateRanks, asked: np.ndarray, num_mates: np.ndarray) -> _Groups:
    order = np.lexsort((block.tied > 0, block.less, block.query))
    query = np.searchsorted(asked, block.query[order])
    less, tied = block.less[order], block.tied[order]
    if not len(query):
        none = np.zeros(0, np.int64)
        return _Groups(none, num_mates, none, none, none, none, none.astype(bool))
    is_new = np.ones(len(query), bool)
    is_new[1:] = (np.diff(query) != 0) | (np.diff(less) != 0) | (np.diff(tied > 0) != 0)
    starts = np.flatnonzero(is_new)
    group_query = query[starts]
    return _Groups(
        query=group_query,
        num_mates=num_mates,
        less=less[starts],
        tied=tied[starts],
        mates=np.diff(np.append(starts, len(query))),
        before=starts - np.searchsorted(query, group_query, "left"),
        is_first=np.append(True, np.diff(group_query) != 0),
    )


def _recall(groups: _Groups, k: int) -> np.ndarray:
    """1 less the chance that the first k places hold no mate (hypergeometric)."""
    first = groups.is_first
    tied, size = groups.tied[first], (groups.tied + groups.mates)[first]
    places = k - groups.less[first]
    missed = np.ones(len(places))
    for place in range(k):
        is_open = place < places
        left = np.maximum(tied - place, 0) / np.maximum(size - place, 1)
        missed = np.where(is_open, missed * left, missed)
    return 1 - missed


def _r_precision(groups: _Groups) -> np.ndarray:
    expected = groups.mates * groups.within_r / (groups.tied + groups.mates)
    return groups.per_query(expected) / groups.num_mates


def _map_at_r(groups: _Groups, harmonic: np.ndarray) -> np.ndarray:
    """Sum the expected precision at the expected hits of each group.

    In a group of m places, p of them mates, behind a items, b of them mates, place t holds a mate
    with chance p/m, and then (b + 1) + (t - 1) c mates are expected so far, c = (p - 1)/(m - 1).
    The sum of ((b + 1) + (t - 1) c) / (a + t) over t <= s is
    c s + (b + 1 - (a + 1) c) (H(a + s) - H(a)), with H the harmonic numbers.
    """
    size, places = groups.tied + groups.mates, groups.within_r
    ahead = groups.less + groups.before
    slope = np.where(groups.tied > 0, (groups.mates - 1) / np.maximum(size - 1, 1), 1.0)
    span = harmonic[ahead + places] - harmonic[ahead]
    summed = slope * places + (groups.before + 1 - (ahead + 1) * slope) * span
    return groups.per_query(groups.mates / size * summed) / groups.num_mates


def _mrr(groups: _Groups) -> np.ndarray:
    first = groups.is_first
    less, tied, mates = groups.less[first], groups.tied[first], groups.mates[first]
    expected = 1 / (less + 1.0)
    is_tied = tied > 0
    cases = np.stack([less[is_tied], tied[is_tied], mates[is_tied]], 1)
    distinct, inverse = np.unique(cases, axis=0, return_inverse=True)
    values = np.array([_expected_reciprocal(*case) for case in distinct.tolist()])
    expected[is_tied] = values[inverse.reshape(-1)] if len(values) else 0.0
    return expected


def _expected_reciprocal(less: int, tied: int, mates: int) -> float:
    """Return the mean of 1 / rank of the first of `mates`, shuffled with `tied` others."""
    skipped = np.arange(tied + 1)
    left = tied + mates - skipped
    goes_on = np.concatenate([[1.0], np.cumprod((tied - skipped[:-1]) / left[:-1])])
    return float((goes_on * mates / left / (less + 1 + skipped)).sum())
