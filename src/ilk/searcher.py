"""Searcher (Protocol): the rows closest to a probe. Derived from a store, and disposable.

Every searcher gives the answers of `ScanSearcher`, the reference: whatever ranks the rows first,
the distances of those that are left are computed by the distance itself, row by row, in float64.

Shapes: Q probes, N rows, k neighbors, D embedding size.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, final, runtime_checkable

import numpy as np

from ilk.distances import Distance
from ilk.errors import InvalidInput
from ilk.scan import Scan

__all__ = ["Neighbors", "ScanSearcher", "Searcher", "check_probes", "check_rows", "closest_first"]


@final
@dataclass(frozen=True, eq=False)
class Neighbors:
    """The k rows closest to each probe, closest first; rows at the same distance by id."""

    ids: np.ndarray
    """(Q, k) int64."""
    distances: np.ndarray
    """(Q, k) float64."""


@runtime_checkable
class Searcher(Protocol):
    """Rows with ids, and which of them are closest. Not safe for threads: its owner holds a lock.

    It is made with (distance, embedding_size).
    """

    def __len__(self) -> int:
        """Return N."""

    def put(self, ids: np.ndarray, embeddings: np.ndarray) -> None:
        """Add rows, or replace those whose id is there: ids (M,) int64, embeddings (M, D)."""

    def drop(self, ids: np.ndarray) -> None:
        """Take rows out; ids that are not there are no error."""

    def nearest(self, probes: np.ndarray, k: int) -> Neighbors:
        """Return the min(k, N) closest rows of each of the (Q, D) probes, exactly."""

    def rows(self) -> tuple[np.ndarray, np.ndarray]:
        """Return ids (N,) and embeddings (N, D) in the searcher's own order, as views."""


@final
class ScanSearcher:
    """The reference: it keeps nothing but the rows and scans all of them for every call.

    Args:
        distance: What closeness means.
        embedding_size: D.

    Example:
        >>> searcher = ScanSearcher(Euclidean(), 1)
        >>> searcher.put(np.array([3, 5]), np.array([[0.0], [4.0]], np.float32))
        >>> searcher.put(np.array([3]), np.array([[7.0]], np.float32))
        >>> found = searcher.nearest(np.array([[5.0]]), 9)
        >>> found.ids.tolist(), found.distances.tolist()
        ([[5, 3]], [[1.0, 2.0]])
    """

    def __init__(self, distance: Distance, embedding_size: int) -> None:
        self._distance, self._size = distance, embedding_size
        self._rows: dict[int, np.ndarray] = {}

    def __len__(self) -> int:
        """Return N."""
        return len(self._rows)

    def put(self, ids: np.ndarray, embeddings: np.ndarray) -> None:
        """Add rows, or replace those whose id is there; of two with one id, the last is kept."""
        check_rows(ids, embeddings, self._size)
        self._rows.update(zip(ids.tolist(), np.array(embeddings, np.float32), strict=True))

    def drop(self, ids: np.ndarray) -> None:
        """Take rows out; ids that are not there are no error."""
        for row_id in ids.tolist():
            self._rows.pop(row_id, None)

    def nearest(self, probes: np.ndarray, k: int) -> Neighbors:
        """Return the min(k, N) closest rows of each of the (Q, D) probes, exactly."""
        check_probes(probes, k, self._size)
        ids, embeddings = self.rows()
        k = min(k, len(ids))
        if not k:
            return Neighbors(np.zeros((len(probes), 0), np.int64), np.zeros((len(probes), 0)))
        scan = Scan(probes, embeddings, self._distance)
        parts = []
        for block in scan.blocks():
            kth = np.partition(block.values, len(ids) - k, axis=1)[:, len(ids) - k]
            cut = kth - block.band.astype(block.values.dtype)
            probe, row = np.divmod(np.flatnonzero(block.values >= cut[:, None]), len(ids))
            exact = scan.exact(probe + block.start, row)
            parts.append(closest_first(probe, ids[row], exact, block.stop - block.start, k))
        return Neighbors(
            np.concatenate([np.zeros((0, k), np.int64), *(part.ids for part in parts)]),
            np.concatenate([np.zeros((0, k)), *(part.distances for part in parts)]),
        )

    def rows(self) -> tuple[np.ndarray, np.ndarray]:
        """Return ids (N,) and embeddings (N, D) in the order in which the ids came."""
        embeddings = np.zeros((len(self), self._size), np.float32)
        if self._rows:
            np.stack(list(self._rows.values()), out=embeddings)
        return np.array(list(self._rows), np.int64), embeddings


def closest_first(
    probe: np.ndarray, ids: np.ndarray, distances: np.ndarray, num_probes: int, k: int
) -> Neighbors:
    """Return the k closest of the rows that were found for each probe, at least k for each.

    Args:
        probe: (n,) position of the probe that each row was found for.
        ids: (n,) of the rows.
        distances: (n,) to that probe.
        num_probes: Q.
        k: How many are kept.
    """
    if num_probes == 1:
        chosen = np.lexsort((ids, distances))[None, :k]
        return Neighbors(ids[chosen], distances[chosen])
    order = np.lexsort((ids, distances, probe))
    starts = np.searchsorted(probe[order], np.arange(num_probes))
    chosen = order[starts[:, None] + np.arange(k)]
    return Neighbors(ids[chosen], distances[chosen])


def check_rows(ids: np.ndarray, embeddings: np.ndarray, embedding_size: int) -> None:
    """Check what `Searcher.put` was given.

    Raises:
        InvalidInput: The shapes do not fit, an id is negative, or a number is not finite.
    """
    if embeddings.shape != (len(ids), embedding_size):
        raise InvalidInput(
            f"rows must be ids (M,) and embeddings (M, {embedding_size}), got {ids.shape} and "
            f"{embeddings.shape}"
        )
    if len(ids) and ids.min() < 0:
        raise InvalidInput(f"row ids must not be negative, got {ids.min()}")
    with np.errstate(over="ignore", invalid="ignore"):
        looks_finite = np.isfinite(embeddings.sum())
    if not looks_finite and not np.isfinite(embeddings).all():
        raise InvalidInput("embeddings must be finite, got NaN or infinity; leave those rows out")


def check_probes(probes: np.ndarray, k: int, embedding_size: int) -> None:
    """Check what `Searcher.nearest` was given.

    Raises:
        InvalidInput: The probes are not (Q, D) or not finite, or k is below 1.
    """
    if probes.ndim != 2 or probes.shape[1] != embedding_size:
        raise InvalidInput(f"probes must be (Q, {embedding_size}), got {probes.shape}")
    if not np.isfinite(probes).all():
        raise InvalidInput("probes must be finite, got NaN or infinity; leave those out")
    if k < 1:
        raise InvalidInput(f"k must be at least 1, got {k}")
