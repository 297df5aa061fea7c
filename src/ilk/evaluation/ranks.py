"""Where the class mates of every item stand among all others: exact counts, in bounded memory.

Everything that retrieval measures follows from two numbers per class mate: how many items of other
classes are strictly closer to the query, and how many are exactly as far. Most of them the blocked
matrix product settles; what lies within its band is decided by the distance itself in float64.

Shapes: N items, R class mates of a query, M mates of a block's queries that were kept.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import final

import numpy as np

from ilk.distances import Distance
from ilk.scan import Scan

__all__ = ["MateRanks", "mate_ranks"]

_FEW_MATES = 24
"""Up to this many class mates, counting once per mate is faster than sorting the row."""

_TOO_MANY_DOUBTS = 128
"""Doubtful neighbours per query beyond which float64 products are cheaper than recomputing."""


_BYTES_PER_DOUBT = 512
"""What settling one doubtful neighbour, or holding one mate, may take at its peak, generously."""


@final
@dataclass(frozen=True, eq=False)
class MateRanks:
    """The class mates of the queries `start` to `stop` (in class order) that can matter.

    All mates with fewer than `limit` closer strangers are here, and the closest ones in any case.
    """

    start: int
    stop: int
    query: np.ndarray
    """(M,) query of each mate."""
    less: np.ndarray
    """(M,) how many items of other classes are strictly closer to the query than the mate."""
    tied: np.ndarray
    """(M,) how many items of other classes are exactly as far."""


@final
@dataclass(frozen=True, eq=False)
class _Row:
    """One query's mates after counting, and what is still in doubt."""

    query: int
    mates: np.ndarray
    """Positions of the mates in class order."""
    values: np.ndarray
    """The inner products of the doubtful ones."""
    margin: np.floating
    """The band of the query."""
    sure: np.ndarray
    """Strangers that are closer for sure."""
    doubtful: np.ndarray
    """Which of the mates have strangers within the band, bool."""
    doubts: np.ndarray
    """Positions of the strangers within the band of a doubtful mate."""
    doubt_values: np.ndarray

    @property
    def size(self) -> int:
        """How many numbers the row holds, roughly."""
        return len(self.mates) + len(self.doubts)


def mate_ranks(
    embeddings: np.ndarray,
    bounds: np.ndarray,
    distance: Distance,
    *,
    depth: int,
    memory_bytes: int,
) -> Iterator[MateRanks]:
    """Yield where the class mates of every item stand, block by block.

    Args:
        embeddings: (N, D), the items of a class next to each other.
        bounds: (C + 1,) where each class begins in `embeddings`, and N.
        distance: What closeness means.
        depth: The least depth to which ranks must be exact; a query with more mates than that
            gets as many ranks as it has mates.
        memory_bytes: What the matrix product may take.
    """
    sizes = np.diff(bounds)
    class_of = np.repeat(np.arange(len(sizes)), sizes)
    most_doubts = max(1, memory_bytes // _BYTES_PER_DOUBT)
    scan = Scan(embeddings, embeddings, distance, memory_bytes=memory_bytes)
    for block in scan.blocks():
        rows: list[_Row] = []
        first, pending, doubts = block.start, 0, 0
        for i in range(block.start, block.stop):
            low, high = bounds[class_of[i]], bounds[class_of[i] + 1]
            if high - low > 1:
                at = i - block.start
                rows.append(_count(block.values[at], i, low, high, block.band[at], depth))
                pending += rows[-1].size
                doubts += len(rows[-1].doubts)
            if pending > most_doubts:
                yield _settle(rows, scan, first, i + 1)
                rows, first, pending = [], i + 1, 0
        if first < block.stop:
            yield _settle(rows, scan, first, block.stop)
        if doubts > _TOO_MANY_DOUBTS * (block.stop - block.start):
            scan.widen()


def _count(row: np.ndarray, i: int, low: int, high: int, band: float, depth: int) -> _Row:
    """Count the strangers closer than each mate of query `i`, as far as `row` can tell."""
    mates = np.concatenate([np.arange(low, i), np.arange(i + 1, high)])
    values = row[mates]
    row[low:high] = -np.inf
    limit = max(depth, len(mates))
    order = np.argsort(-values, kind="stable")
    mates, values = mates[order], values[order]
    margin = row.dtype.type(band)
    sure, possible = (_count_each if len(mates) <= _FEW_MATES else _count_sorted)(
        row, values, margin, limit
    )
    keep = (sure < limit) | (values >= values[0] - margin)
    mates, values, sure, doubtful = mates[keep], values[keep], sure[keep], (sure < possible)[keep]
    asked = values[doubtful]
    if not len(asked):
        nothing = np.zeros(0, np.int64)
        return _Row(i, mates, asked, margin, sure, doubtful, nothing, asked)
    doubts = np.flatnonzero((row >= asked[-1] - margin) & (row <= asked[0] + margin))
    if len(asked) > 1:
        near, rising = row[doubts], asked[::-1]
        first = np.searchsorted(rising, near - margin, "left")
        doubts = doubts[first < np.searchsorted(rising, near + margin, "right")]
    return _Row(i, mates, asked, margin, sure, doubtful, doubts, row[doubts])


def _count_each(
    row: np.ndarray, values: np.ndarray, margin: np.floating, limit: int
) -> tuple[np.ndarray, np.ndarray]:
    """Count by one pass over the row per value, in falling order, until no further one matters."""
    sure = np.full(len(values), limit, np.int64)
    possible = sure.copy()
    for at, value in enumerate(values):
        possible[at] = np.count_nonzero(row >= value - margin)
        sure[at] = np.count_nonzero(row > value + margin) if possible[at] else 0
        if sure[at] >= limit and value < values[0] - margin:
            break
    return sure, possible


def _count_sorted(
    row: np.ndarray, values: np.ndarray, margin: np.floating, limit: int
) -> tuple[np.ndarray, np.ndarray]:
    """Count by sorting the row once."""
    rising = np.sort(row)
    sure = len(row) - np.searchsorted(rising, values + margin, "right")
    possible = len(row) - np.searchsorted(rising, values - margin, "left")
    return sure, possible


def _settle(rows: list[_Row], scan: Scan, start: int, stop: int) -> MateRanks:
    """Decide what is in doubt by the distance itself, for many rows together."""
    nothing = np.zeros(0, np.int64)
    asked = [np.concatenate([row.mates[row.doubtful], row.doubts]) for row in rows]
    lengths = [len(positions) for positions in asked]
    queries = np.array([row.query for row in rows], np.int64)
    distances = scan.exact(np.repeat(queries, lengths), np.concatenate([nothing, *asked]))
    parts = np.split(distances, np.cumsum(lengths)[:-1]) if rows else []
    settled = [_decide(row, part) for row, part in zip(rows, parts, strict=True)]
    return MateRanks(
        start,
        stop,
        np.repeat(queries, [len(row.sure) for row in rows]),
        np.concatenate([nothing, *(less for less, _ in settled)]),
        np.concatenate([nothing, *(tied for _, tied in settled)]),
    )


def _decide(row: _Row, distances: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the exact (less, tied) of a row from the distances of doubtful mates and doubts.

    A doubt that is closer than a mate for sure, because another mate asked about it, is among the
    `sure` strangers of this one already.
    """
    less, tied = row.sure.copy(), np.zeros(len(row.sure), np.int64)
    if not len(row.doubts):
        return less, tied
    num_asked = int(row.doubtful.sum())
    of_mates, of_doubts = distances[:num_asked], np.sort(distances[num_asked:])
    below = np.searchsorted(of_doubts, of_mates, "left")
    upto = np.searchsorted(of_doubts, of_mates, "right")
    certain = np.searchsorted(np.sort(row.doubt_values), row.values + row.margin, "right")
    less[row.doubtful] += below - (len(row.doubts) - certain)
    tied[row.doubtful] = upto - below
    return less, tied
