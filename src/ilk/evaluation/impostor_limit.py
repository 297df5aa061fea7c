"""A limit for comparisons from strangers, so that a chosen share of impostors is accepted.

The rule is that of `ilk.calibration.limit_for_fpir`: the largest distance below the k-th smallest
of n impostor comparisons, k = floor(fmr (n + 1)); with too few comparisons it is refused.
Comparisons that share a person are not independent, so with few strangers the rate holds about, and
not at most: random embeddings of people of whom a tenth resemble each other, 46 at a time (1,035
comparisons for a rate of 0.001), gave a mean FMR of up to 0.0015; 100 at a time gave 0.0011.

Shapes: N items, D embedding size, n impostor comparisons.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import final

import numpy as np

from ilk.distances import Distance
from ilk.errors import InvalidInput, NotEnoughTrials

__all__ = ["ImpostorLimit", "limit_for_fmr", "limit_from_strangers"]

_ROWS_AT_ONCE = 256


@final
@dataclass(frozen=True)
class ImpostorLimit:
    """The largest accepted distance, and who stands behind it."""

    value: float
    target_fmr: float
    num_comparisons: int
    """Impostor comparisons."""
    num_classes: int
    """Of so many people: comparisons that share a person are not independent."""
    basis: str
    """Whose comparisons these are, in words."""


def limit_from_strangers(
    embeddings: np.ndarray, class_ids: np.ndarray, distance: Distance, fmr: float, basis: str
) -> ImpostorLimit:
    """Return the limit from all impostor comparisons among some items.

    Memory grows with the comparisons that are accepted, not with all of them.

    Args:
        embeddings: (N, D).
        class_ids: (N,).
        distance: What closeness means.
        fmr: The accepted share, above 0 and below 1.
        basis: Whose these are, in words.

    Raises:
        NotEnoughTrials: There are too few comparisons for the rate.
        InvalidInput: The rate is not between 0 and 1.

    Example:
        >>> from ilk.distances import Euclidean
        >>> points, ids = np.array([[0.0], [1.0], [5.0], [7.0]]), np.array([0, 0, 1, 2])
        >>> limit = limit_from_strangers(points, ids, Euclidean(), 0.2, "four items")
        >>> limit.num_comparisons, 1.999 < limit.value < 2.0
        (5, True)
    """
    classes, ids = np.unique(class_ids, return_inverse=True)
    sizes = np.bincount(ids, minlength=len(classes))
    num_items = len(ids)
    num_all = (num_items**2 - int(sizes @ sizes)) // 2
    smallest = _smallest(embeddings, ids, distance, _rank(num_all, fmr, basis))
    value = float(np.nextafter(smallest.max(), -np.inf))
    return ImpostorLimit(value, fmr, num_all, len(classes), basis)


def limit_for_fmr(
    distances: np.ndarray, fmr: float, *, num_classes: int, basis: str
) -> ImpostorLimit:
    """Return the limit from the (n,) distances of impostor comparisons.

    Raises:
        NotEnoughTrials: There are too few for the rate.
        InvalidInput: The rate is not between 0 and 1.

    Example:
        >>> limit_for_fmr(np.arange(1.0, 20.0), 0.1, num_classes=19, basis="19 pairs").value < 2
        True
        >>> limit_for_fmr(np.arange(1.0, 20.0), 0.001, num_classes=19, basis="19 pairs")
        Traceback (most recent call last):
        ...
        ilk.errors.NotEnoughTrials: a false match rate of 0.001 needs at least 999 impostor
        comparisons, got 19 of 19 pairs; bring more strangers or ask for a higher rate
    """
    rank = _rank(len(distances), fmr, basis)
    boundary = float(np.partition(distances.astype(np.float64), rank - 1)[rank - 1])
    value = float(np.nextafter(boundary, -np.inf))
    return ImpostorLimit(value, fmr, len(distances), num_classes, basis)


def _rank(num_comparisons: int, fmr: float, basis: str) -> int:
    """Return which of the smallest distances must stay beyond the limit."""
    if not 0 < fmr < 1:
        raise InvalidInput(f"a false match rate must be above 0 and below 1, got {fmr}")
    needed = math.ceil(round(1 / fmr - 1, 9))
    if num_comparisons < needed:
        raise NotEnoughTrials(
            f"a false match rate of {fmr:g} needs at least {needed:,} impostor comparisons, got "
            f"{num_comparisons:,} of {basis}; bring more strangers or ask for a higher rate"
        )
    return math.floor(round(fmr * (num_comparisons + 1), 9))


def _smallest(
    embeddings: np.ndarray, class_ids: np.ndarray, distance: Distance, number: int
) -> np.ndarray:
    """Return the `number` smallest distances between items of two classes."""
    wide = embeddings.astype(np.float64)
    best, bound = np.zeros(0), np.inf
    waiting: list[np.ndarray] = []
    num_waiting = 0
    for start in range(0, len(wide), _ROWS_AT_ONCE):
        rows = slice(start, start + _ROWS_AT_ONCE)
        block = distance.pairwise(wide[rows], wide[start:])
        is_pair = np.triu(class_ids[rows, None] != class_ids[None, start:], 1)
        waiting.append(block[is_pair & (block < bound)])
        num_waiting += len(waiting[-1])
        if num_waiting > number or start + _ROWS_AT_ONCE >= len(wide):
            best = np.concatenate([best, *waiting])
            waiting, num_waiting = [], 0
            if len(best) > number:
                best = np.partition(best, number - 1)[:number]
            if len(best) == number:
                bound = float(best.max())
    return best
