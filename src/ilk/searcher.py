"""Searcher (Protocol): the rows closest to a probe. Derived from a store, and disposable.

Every searcher gives the answers of `ScanSearcher`, the reference: whatever ranks the rows first,
the distances of those that are left are computed by the distance itself, row by row, in float64.

Shapes: Q probes, N rows, k neighbors, D embedding size.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, final, runtime_checkable

import numpy as np

__all__ = ["Neighbors", "Searcher"]


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
