"""Ids as ranges: what a bulk change touched takes a few bytes in the log.

A range is (first, last), both included.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable

import numpy as np

__all__ = ["Ranges", "expand", "join_ranges", "subtract", "to_ranges"]

Ranges = tuple[tuple[int, int], ...]
"""Ranges in ascending order, with gaps between them."""


def to_ranges(ids: Iterable[int]) -> Ranges:
    """Return the ranges of ids; an id that occurs twice counts once.

    Example:
        >>> to_ranges([7, 3, 1, 2, 2])
        ((1, 3), (7, 7))
    """
    values = np.unique(np.fromiter(ids, np.int64))
    if not len(values):
        return ()
    ends = np.flatnonzero(np.diff(values) > 1)
    firsts = values[np.concatenate([[0], ends + 1])].tolist()
    lasts = values[np.concatenate([ends, [len(values) - 1]])].tolist()
    return tuple(zip(firsts, lasts, strict=True))


def join_ranges(ranges: Iterable[tuple[int, int]]) -> Ranges:
    """Return the union of ranges in any order.

    Example:
        >>> join_ranges([(4, 6), (1, 2), (3, 3), (9, 9)])
        ((1, 6), (9, 9))
    """
    found: list[tuple[int, int]] = []
    for first, last in sorted(ranges):
        if found and first <= found[-1][1] + 1:
            found[-1] = (found[-1][0], max(last, found[-1][1]))
        else:
            found.append((first, last))
    return tuple(found)


def subtract(ranges: Ranges, taken: Ranges) -> Ranges:
    """Return what is left of ranges without those that are taken.

    Example:
        >>> subtract(((1, 6), (9, 9)), ((2, 3), (6, 20)))
        ((1, 1), (4, 5))
    """
    found: list[tuple[int, int]] = []
    for first, last in ranges:
        start = first
        for low, high in taken[bisect_left(taken, first, key=_last) :]:
            if low > last:
                break
            if low > start:
                found.append((start, low - 1))
            start = high + 1
        if start <= last:
            found.append((start, last))
    return tuple(found)


def _last(one: tuple[int, int]) -> int:
    return one[1]


def expand(ranges: Iterable[tuple[int, int]]) -> list[int]:
    """Return the ids of ranges, one by one.

    Example:
        >>> expand([(1, 3), (7, 7)])
        [1, 2, 3, 7]
    """
    return [row for first, last in ranges for row in range(first, last + 1)]
