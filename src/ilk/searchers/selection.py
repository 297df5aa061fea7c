"""Which rows may be among the k closest: first by inexact products, with nothing missed.

Shapes: Q queries, N keys, K key size, k neighbors.
"""

from __future__ import annotations

import numpy as np

from ilk.searchers.engine import load_faiss, scan_rows

__all__ = ["scan_few", "select"]

_FIRST_ROWS = 1024
"""The first block is small: it only has to show what the later ones are up against."""

_BLOCK_VALUES = 1 << 22
"""Products of one block, at most: 16 MiB in float32."""

_AT_ONCE = 1 << 16
"""So few products are ranked together; blocks would cost more than they save."""

_ONE_CORE_VALUES = 10_000_000
"""Numbers in keys that one core goes through in a millisecond or two."""

_MOST_KEPT = 1 << 22
"""Pairs of query and row in doubt at once; beyond, the queries are split."""

_MANY_HITS = 8
"""So many times k hits per query in one block, and the bar is raised by the block itself."""

_EXTRA = 16
"""How many rows more than k are fetched, to prove that none was missed."""

Pairs = tuple[np.ndarray, np.ndarray]
"""Positions of queries and of rows."""


def select(keys: np.ndarray, queries: np.ndarray, k: int, band: np.ndarray) -> Pairs:
    """Return every (query, row) whose product is within `band` of the query's k-th largest.

    One pass of blocked matrix products. The bar for a query only rises, up to its final value, so
    whatever is above it in the end has been kept.

    Args:
        keys: (N, K).
        queries: (Q, K) of the same dtype.
        k: At most N.
        band: (Q,), not negative.
    """
    band = band.astype(keys.dtype)
    if len(queries) * len(keys) <= _AT_ONCE:
        return _select_at_once(keys, queries, k, band)
    best = np.full((len(queries), k), -np.inf, keys.dtype)
    kept: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []
    size, buffer = 0, np.zeros(0, keys.dtype)
    for start, stop in _blocks(len(keys), len(queries), k):
        count = len(queries) * (stop - start)
        if len(buffer) < count:
            buffer = np.empty(count, keys.dtype)
        values = buffer[:count].reshape(len(queries), stop - start)
        _multiply(queries, keys[start:stop], values)
        probe, row, value, best = _above(values, best, band)
        kept.append((probe, row + start, value))
        size += len(probe)
        if size > _MOST_KEPT:
            kept = [_still_above(kept, best, band)]
            size = len(kept[0][0])
            if size > _MOST_KEPT and len(queries) > 1:
                return _select_halves(keys, queries, k, band)
    probe, row, _ = _still_above(kept, best, band)
    return probe, row


def _select_at_once(keys: np.ndarray, queries: np.ndarray, k: int, band: np.ndarray) -> Pairs:
    values = np.empty((len(queries), len(keys)), keys.dtype)
    _multiply(queries, keys, values)
    kth = np.partition(values, len(keys) - k, axis=1)[:, len(keys) - k]
    return np.divmod(np.flatnonzero(values >= (kth - band)[:, None]), len(keys))


def _multiply(queries: np.ndarray, keys: np.ndarray, values: np.ndarray) -> None:
    """Write the (Q, N) products into `values`; those of one query with few keys on one core.

    A matrix product goes to all cores, and waits for the last of them: where they are busy, as
    they are right after an encoder, a hundred times longer than the product takes.
    """
    if len(queries) == 1 and keys.size <= _ONE_CORE_VALUES:
        np.vecdot(keys, queries[0], out=values[0])
    else:
        np.matmul(queries, keys.T, out=values)


def _blocks(num_rows: int, num_queries: int, k: int) -> list[tuple[int, int]]:
    """Cut the rows into blocks that grow to a full one."""
    size, start, blocks = max(_FIRST_ROWS, 2 * k), 0, []
    most = max(size, _BLOCK_VALUES // max(1, num_queries))
    while start < num_rows:
        stop = min(num_rows, start + size)
        blocks.append((start, stop))
        start, size = stop, min(most, 4 * size)
    return blocks


def _above(
    values: np.ndarray, best: np.ndarray, band: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return (query, row, value) above the bar of a block, and the k best values so far."""
    k, size = best.shape[1], values.shape[1]
    hits = values >= (best.min(axis=1) - band)[:, None]
    if size > k and np.count_nonzero(hits) > _MANY_HITS * k * len(values):
        kth = np.partition(values, size - k, axis=1)[:, size - k]
        hits = values >= (np.maximum(best.min(axis=1), kth) - band)[:, None]
    flat = np.flatnonzero(hits)
    probe, row = np.divmod(flat, size)
    value = values.reshape(-1)[flat]
    order = np.lexsort((-value, probe))
    rank = np.arange(len(order)) - np.searchsorted(probe, np.arange(len(values)))[probe]
    top = rank < k
    fresh = np.full_like(best, -np.inf)
    fresh[probe[top], rank[top]] = value[order][top]
    both = np.concatenate([best, fresh], axis=1)
    return probe, row, value, np.partition(both, k, axis=1)[:, k:]


def _still_above(
    kept: list[tuple[np.ndarray, np.ndarray, np.ndarray]], best: np.ndarray, band: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    probe, row, value = (np.concatenate(parts) for parts in zip(*kept, strict=True))
    keep = value >= (best.min(axis=1) - band)[probe]
    return probe[keep], row[keep], value[keep]


def _select_halves(keys: np.ndarray, queries: np.ndarray, k: int, band: np.ndarray) -> Pairs:
    half = len(queries) // 2
    first = select(keys, queries[:half], k, band[:half])
    probe, row = select(keys, queries[half:], k, band[half:])
    return np.concatenate([first[0], probe + half]), np.concatenate([first[1], row])


def scan_few(
    keys: np.ndarray, queries: np.ndarray, k: int, band: np.ndarray
) -> tuple[Pairs, np.ndarray]:
    """Return pairs as `select` does, for those queries for which a faiss scan can prove them.

    Also returns the positions of the other queries: for them more rows are in doubt than were
    fetched. Without faiss, or where importing it would take longer than it saves, that is all.
    """
    nothing = np.zeros(0, np.int64)
    faiss = load_faiss(keys.size) if keys.dtype == np.float32 else None
    if faiss is None:
        return (nothing, nothing), np.arange(len(queries))
    fetched = min(len(keys), k + _EXTRA)
    values, rows = scan_rows(faiss, queries, keys, fetched)
    cut = values[:, k - 1] - band.astype(values.dtype)
    is_above = values >= cut[:, None]
    is_left = is_above[:, -1] & (fetched < len(keys))
    is_above[is_left] = False
    return (is_above.nonzero()[0], rows[is_above]), is_left.nonzero()[0]
