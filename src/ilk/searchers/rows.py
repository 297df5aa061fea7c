"""Rows in one growing matrix, found by id.

Shapes: N rows, M rows of one call, D embedding size.
"""

from __future__ import annotations

from typing import final

import numpy as np

from ilk.searcher import check_rows

__all__ = ["Rows"]


@final
class Rows:
    """Embeddings in a float32 matrix without gaps; the last rows fill the places of dropped ones.

    The matrix grows by half, so that its capacity is at most 1.5 times what was ever needed. A
    grown matrix is a copy: views of the old one stay as they were.

    Args:
        embedding_size: D.

    Example:
        >>> rows = Rows(1)
        >>> rows.put(np.array([4, 5, 6]), np.array([[0.4], [0.5], [0.6]], np.float32))
        array([0, 1, 2])
        >>> rows.drop(np.array([4, 9]))
        array([0])
        >>> rows.ids
        array([6, 5])
    """

    def __init__(self, embedding_size: int) -> None:
        self._size = 0
        self._ids = np.zeros(0, np.int64)
        self._matrix = np.zeros((0, embedding_size), np.float32)
        self._position = np.zeros(0, np.int64)

    def __len__(self) -> int:
        """Return N."""
        return self._size

    @property
    def ids(self) -> np.ndarray:
        """(N,) int64, a view."""
        return self._ids[: self._size]

    @property
    def embeddings(self) -> np.ndarray:
        """(N, D) float32, a view."""
        return self._matrix[: self._size]

    @property
    def capacity(self) -> int:
        """How many rows the matrix has room for."""
        return len(self._matrix)

    def adopt(self, ids: np.ndarray, embeddings: np.ndarray) -> None:
        """Take over whole arrays as they are; only for rows that are empty and ids that differ.

        Raises:
            InvalidInput: The shapes do not fit, or an id is negative.
        """
        check_rows(ids, embeddings, self._matrix.shape[1])
        self._ids = np.ascontiguousarray(ids, np.int64)
        self._matrix = np.ascontiguousarray(embeddings, np.float32)
        self._size = len(ids)
        self._map_up_to(ids)
        self._position[ids] = np.arange(len(ids))

    def put(self, ids: np.ndarray, embeddings: np.ndarray) -> np.ndarray:
        """Add or replace rows and return their positions; of two with one id, the last is kept.

        Raises:
            InvalidInput: The shapes do not fit, or an id is negative.
        """
        check_rows(ids, embeddings, self._matrix.shape[1])
        if len(ids) > 1 and not (np.diff(ids) > 0).all():
            last = len(ids) - 1 - np.unique(ids[::-1], return_index=True)[1]
            ids, embeddings = ids[last], embeddings[last]
        self._map_up_to(ids)
        positions = self._position[ids]
        is_new = positions < 0
        count = int(is_new.sum())
        self._reserve(self._size + count)
        positions[is_new] = np.arange(self._size, self._size + count)
        self._size += count
        self._position[ids] = positions
        self._ids[positions] = ids
        if count == len(ids):
            self._matrix[self._size - count : self._size] = embeddings
        else:
            self._matrix[positions] = embeddings
        return positions

    def drop(self, ids: np.ndarray) -> np.ndarray:
        """Take rows out and return the positions that other rows moved to."""
        known = np.unique(ids[(ids >= 0) & (ids < len(self._position))])
        gone = self._position[known]
        known, gone = known[gone >= 0], gone[gone >= 0]
        self._position[known] = -1
        left = self._size - len(gone)
        holes = gone[gone < left]
        from_end = np.setdiff1d(np.arange(left, self._size), gone, assume_unique=True)
        self._matrix[holes] = self._matrix[from_end]
        self._ids[holes] = self._ids[from_end]
        self._position[self._ids[holes]] = holes
        self._size = left
        return holes

    def _map_up_to(self, ids: np.ndarray) -> None:
        needed = int(ids.max()) + 1 if len(ids) else 0
        self._position = _grown(self._position, needed, len(self._position), -1)

    def _reserve(self, needed: int) -> None:
        self._ids = _grown(self._ids, needed, self._size)
        self._matrix = _grown(self._matrix, needed, self._size)


def _grown(array: np.ndarray, needed: int, used: int, fill: int | None = None) -> np.ndarray:
    """Return the array if it has `needed` places, else a larger one with its first `used`."""
    if needed <= len(array):
        return array
    larger = np.empty((max(needed, len(array) * 3 // 2), *array.shape[1:]), array.dtype)
    larger[:used] = array[:used]
    if fill is not None:
        larger[used:] = fill
    return larger
