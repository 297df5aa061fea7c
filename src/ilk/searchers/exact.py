"""The exact searcher: one scan of a float32 matrix, settled by the distance itself in float64.

Shapes: Q probes, N rows, k neighbors, D embedding size.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import final

import numpy as np

from ilk.distances import Distance
from ilk.errors import InvalidInput
from ilk.scan import exact_distances
from ilk.searcher import Neighbors, check_probes, closest_first
from ilk.searchers.keys import Keys
from ilk.searchers.rows import Rows
from ilk.searchers.selection import scan_few, select

__all__ = ["ExactSearcher"]

_FEW = 8
"""Fewer probes than this are scanned for one by one; more by a matrix product."""

_MOST_PROBES = 1024
"""More probes at once do not make the matrix product faster."""


@final
class ExactSearcher:
    """All rows in memory; a fast first ranking, and then the exact distances of what is left.

    The first ranking is a scan by faiss where it is installed and NumPy's matrix product
    otherwise. How far either can be off is known, so no row that could be among the closest is
    left out, and the answers are the same to the last bit.

    Args:
        distance: What closeness means.
        embedding_size: D.
        on_change: Told the positions of rows that came, changed or moved.

    Example:
        >>> searcher = ExactSearcher(Euclidean(), 1)
        >>> searcher.put(np.array([3, 5]), np.array([[0.0], [4.0]], np.float32))
        >>> found = searcher.nearest(np.array([[5.0]]), 9)
        >>> found.ids.tolist(), found.distances.tolist()
        ([[5, 3]], [[1.0, 5.0]])
    """

    def __init__(
        self,
        distance: Distance,
        embedding_size: int,
        *,
        on_change: Callable[[np.ndarray], None] = lambda positions: None,
    ) -> None:
        self._distance, self._size = distance, embedding_size
        self._on_change = on_change
        self._rows = Rows(embedding_size)
        self._keys = Keys(distance)

    def __len__(self) -> int:
        """Return N."""
        return len(self._rows)

    def put(self, ids: np.ndarray, embeddings: np.ndarray) -> None:
        """Add rows, or replace those whose id is there; of two with one id, the last is kept."""
        self._follow(self._rows.put(ids, embeddings))

    def drop(self, ids: np.ndarray) -> None:
        """Take rows out; ids that are not there are no error."""
        self._follow(self._rows.drop(ids))

    def adopt(self, ids: np.ndarray, embeddings: np.ndarray) -> None:
        """Take over whole arrays without copying them, as the first rows; they may be mapped.

        They must be writable (copy-on-write will do) and nobody else's from now on. A matrix that
        has to grow is copied into memory.

        Args:
            ids: (N,) int64, all different.
            embeddings: (N, D) float32.

        Raises:
            InvalidInput: There are rows already, or the arrays do not fit.
        """
        if len(self):
            raise InvalidInput(f"only an empty searcher can adopt arrays, it has {len(self)} rows")
        self._rows.adopt(ids, embeddings)
        self._follow(np.arange(len(ids)))

    def rows(self) -> tuple[np.ndarray, np.ndarray]:
        """Return ids (N,) and embeddings (N, D) in the searcher's own order, as views."""
        return self._rows.ids, self._rows.embeddings

    def nearest(self, probes: np.ndarray, k: int) -> Neighbors:
        """Return the min(k, N) closest rows of each of the (Q, D) probes, exactly."""
        check_probes(probes, k, self._size)
        k = min(k, len(self))
        if not k:
            return Neighbors(np.zeros((len(probes), 0), np.int64), np.zeros((len(probes), 0)))
        if len(probes) <= _MOST_PROBES:
            return self._nearest(probes, k)
        starts = range(0, len(probes), _MOST_PROBES)
        parts = [self._nearest(probes[start : start + _MOST_PROBES], k) for start in starts]
        return Neighbors(
            np.concatenate([part.ids for part in parts]),
            np.concatenate([part.distances for part in parts]),
        )

    def nearest_among(self, probes: np.ndarray, positions: list[np.ndarray], k: int) -> Neighbors:
        """Return the k closest of the rows at some positions, at least k of them for each probe.

        Args:
            probes: (Q, D).
            positions: Q arrays of different positions in `rows`.
            k: How many.
        """
        queries = self._safe_queries(probes)
        keys, band = self._keys.of(self._rows.embeddings), self._keys.band(queries)
        rows = []
        for query, at, slack in zip(queries, positions, band, strict=True):
            values = keys[at] @ query
            kth = np.partition(values, len(at) - k)[len(at) - k]
            rows.append(at[values >= kth - values.dtype.type(slack)])
        probe = np.repeat(np.arange(len(probes)), [len(at) for at in rows])
        return self._settle(probes, probe, np.concatenate(rows), k)

    def keys(self) -> np.ndarray:
        """Return the (N, K) search keys in the order of `rows`, a view."""
        return self._keys.of(self._rows.embeddings)

    def _follow(self, positions: np.ndarray) -> None:
        self._keys.update(self._rows.embeddings, positions, self._rows.capacity)
        self._on_change(positions)

    def _nearest(self, probes: np.ndarray, k: int) -> Neighbors:
        queries = self._safe_queries(probes)
        keys, band = self._keys.of(self._rows.embeddings), self._keys.band(queries)
        probe = row = np.zeros(0, np.int64)
        left = np.arange(len(queries))
        if len(queries) < _FEW:
            (probe, row), left = scan_few(keys, queries, k, band)
        if len(left):
            more, rows = select(keys, queries[left], k, band[left])
            if self._keys.can_widen and len(more) > len(left) * (k + 256 + len(self) // 32):
                self._keys.widen(self._rows.embeddings)
                return self._nearest(probes, k)
            probe, row = np.concatenate([probe, left[more]]), np.concatenate([row, rows])
        return self._settle(probes, probe, row, k)

    def _settle(self, probes: np.ndarray, probe: np.ndarray, row: np.ndarray, k: int) -> Neighbors:
        """Return the k closest of the (probe, row) pairs by their exact distances."""
        exact = exact_distances(self._distance, probes, self._rows.embeddings, probe, row)
        return closest_first(probe, self._rows.ids[row], exact, len(probes), k)

    def _safe_queries(self, probes: np.ndarray) -> np.ndarray:
        """Return the queries; turn to float64 if products with them would overflow float32."""
        queries = self._keys.queries(probes)
        if self._keys.is_safe(queries):
            return queries
        if self._keys.is_wide:
            raise InvalidInput(
                f"the probes are too long for the {self._distance.name} distance: products with "
                "them overflow float64; scale the embeddings down"
            )
        self._keys.widen(self._rows.embeddings)
        return self._safe_queries(probes)
