"""The search keys of rows: the largest inner product with a query is the closest.

Shapes: N rows, K key size, D embedding size, Q probes.
"""

from __future__ import annotations

from typing import Any, final

import numpy as np

from ilk.distances import Cosine, Distance
from ilk.errors import InvalidInput
from ilk.scan import lengths_of, rounding_error

__all__ = ["Keys"]

_UNIT_SLACK = 1e-5
"""Rows whose squared length is this close to 1 are their own keys under the cosine distance."""

_PART_ROWS = 4096
"""How many keys are made at once."""

_SHORT = 4.0
"""Keys up to this length are told apart by float32 unless they are all but equal."""


@final
class Keys:
    """Keys in float32, and in float64 from when float32 turned out too coarse for them.

    Under the cosine distance, rows of unit length are their own keys and take no further memory.

    Args:
        distance: What closeness means.
    """

    def __init__(self, distance: Distance) -> None:
        self._distance = distance
        self._dtype: Any = np.float32
        self._own: np.ndarray | None = None
        self._are_rows = isinstance(distance, Cosine)
        self._longest = 0.0
        self._deviation = 0.0

    @property
    def is_wide(self) -> bool:
        """Whether the keys are float64."""
        return self._dtype is np.float64

    @property
    def can_widen(self) -> bool:
        """Whether float64 would tell more of the keys apart."""
        return not self.is_wide and self._longest > _SHORT

    def of(self, embeddings: np.ndarray) -> np.ndarray:
        """Return the (N, K) keys of the rows, a view."""
        return embeddings if self._own is None else self._own[: len(embeddings)]

    def update(self, embeddings: np.ndarray, positions: np.ndarray, capacity: int) -> None:
        """Follow a change of the rows at some positions.

        Args:
            embeddings: (N, D) all rows, after the change.
            positions: Of the rows that changed.
            capacity: How many rows to have room for.

        Raises:
            InvalidInput: A row is not finite, or too long for the distance even in float64.
        """
        for start in range(0, len(positions), _PART_ROWS):
            part = positions[start : start + _PART_ROWS]
            if self._are_rows and self._note_unit(embeddings[part]):
                continue
            if self._are_rows:
                self._are_rows = False
                self._make_all(embeddings, capacity)
                return
            self._make(embeddings, part, capacity)

    def widen(self, embeddings: np.ndarray) -> None:
        """Make all keys anew in float64."""
        self._dtype, self._are_rows = np.float64, False
        self._make_all(embeddings, len(embeddings))

    def queries(self, probes: np.ndarray) -> np.ndarray:
        """Return the (Q, K) queries of (Q, D) probes in the precision of the keys."""
        queries = self._distance.search_queries(probes.astype(np.float64))
        with np.errstate(over="ignore"):
            return np.ascontiguousarray(queries, self._dtype)

    def is_safe(self, queries: np.ndarray) -> bool:
        """Tell whether no product of these queries with a key can overflow."""
        largest = float(np.abs(queries).max(initial=0.0)) * queries.shape[1] ** 0.5
        return largest * max(1.0, self._longest) < float(np.finfo(self._dtype).max)

    def band(self, queries: np.ndarray) -> np.ndarray:
        """Return for each query how far apart two products must be to be in the right order."""
        return 2 * (rounding_error(queries, self._longest) + self._deviation * lengths_of(queries))

    def _note_unit(self, rows: np.ndarray) -> bool:
        """Tell whether the rows are of unit length or zero, and note how nearly."""
        squares = np.einsum("ij,ij->i", rows, rows)
        if not np.isfinite(squares).all():
            return False
        off = float(np.abs(squares - 1)[squares != 0].max(initial=0.0))
        if off > _UNIT_SLACK:
            return False
        self._longest = 1.0 + _UNIT_SLACK
        self._deviation = max(self._deviation, off / 2 + 1e-6)
        return True

    def _make_all(self, embeddings: np.ndarray, capacity: int) -> None:
        self._own, self._deviation, self._longest = None, 0.0, 0.0
        for start in range(0, len(embeddings), _PART_ROWS):
            stop = min(start + _PART_ROWS, len(embeddings))
            self._make(embeddings, np.arange(start, stop), capacity)

    def _make(self, embeddings: np.ndarray, positions: np.ndarray, capacity: int) -> None:
        made = self._distance.search_keys(embeddings[positions].astype(np.float64))
        with np.errstate(over="ignore", invalid="ignore"):
            keys = made.astype(self._dtype)
            squares = np.einsum("ij,ij->i", keys, keys, dtype=np.float64)
        if not np.isfinite(squares).all():
            self._refuse_or_widen(embeddings)
            return
        self._longest = max(self._longest, float(squares.max(initial=0.0) ** 0.5))
        if self._own is None or len(self._own) < len(embeddings):
            larger = np.empty((max(capacity, len(embeddings)), keys.shape[1]), self._dtype)
            if self._own is not None:
                larger[: len(self._own)] = self._own
            self._own = larger
        self._own[positions] = keys

    def _refuse_or_widen(self, embeddings: np.ndarray) -> None:
        if self.is_wide:
            raise InvalidInput(
                f"the embeddings are not finite, or too long for the {self._distance.name} "
                "distance: their search keys overflow float64; leave them out or scale them down"
            )
        self.widen(embeddings)
