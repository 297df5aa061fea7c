"""Inner products of many probes with many references in bounded memory, and how far to trust them.

One blocked matrix product orders the references of every probe almost rightly. `Block.band` says
how far apart two values must be to be in the right order for sure; whoever needs the order of
closer ones asks `Scan.exact`, the distance itself in float64. So what is found depends neither on
the block size nor on the order in which a matrix product adds.

Shapes: Q probes, R references, B probes of one block, D embedding size, K key size.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from hashlib import blake2b
from typing import Any, final

import numpy as np

from ilk.distances import Distance
from ilk.errors import InvalidInput

__all__ = ["Block", "Scan", "exact_distances", "lengths_of", "rounding_error"]

_SAFETY = 8.0
"""The rounding error of an inner product of K terms stays within _SAFETY sqrt(K) u |q| |k|, with u
the unit roundoff, but for a chance of about 1e-13 (Higham and Mary 2019, theorem 2.4)."""

_ROWS_AT_ONCE = 1024
"""More rows in a block do not make the matrix product faster."""

_FIRST_ROWS = 32
"""The first block is small: it shows whether float32 leaves too much in doubt."""

_EXACT_ELEMENTS = 1 << 15
"""Elements per side of one exact recomputation: 256 KiB, which stays in the cache."""

_DISTINCT_FROM = 4096
"""From this many pairs on it pays to look for equal ones."""

_KEY_ROWS = 4096
"""How many keys are made at once."""


@final
@dataclass(frozen=True, eq=False)
class Block:
    """The inner products of the probes `start` to `stop` with all references."""

    start: int
    stop: int
    values: np.ndarray
    """(B, R), larger is closer. Yours to overwrite until the next block is asked for."""
    band: np.ndarray
    """(B,): of two values further apart than this, the larger is the closer for sure."""


@final
class Scan:
    """Probes against references under one distance, block by block.

    Args:
        probes: (Q, D) embeddings.
        references: (R, D) embeddings; may be the same array.
        distance: What closeness means.
        memory_bytes: What keys and blocks together may take; at least one row is always taken.
        is_wide: Begin with float64, at twice the time, instead of turning to it when needed.

    Raises:
        InvalidInput: The distance's search keys overflow even in float64.

    Example:
        >>> from ilk.distances import Euclidean
        >>> points = np.array([[0.0], [1.0], [3.0]])
        >>> scan = Scan(points, points, Euclidean())
        >>> [block.values.argsort()[:, -2].tolist() for block in scan.blocks()]
        [[1, 0, 1]]
        >>> scan.exact(np.array([0, 1]), np.array([2, 2]))
        array([3., 2.])
    """

    def __init__(
        self,
        probes: np.ndarray,
        references: np.ndarray,
        distance: Distance,
        *,
        memory_bytes: int = 1 << 30,
        is_wide: bool = False,
    ) -> None:
        self.distance = distance
        self._probes, self._references = probes, references
        self._memory_bytes = memory_bytes
        self._dtype: Any = np.float64 if is_wide else np.float32
        self._keys: np.ndarray | None = None
        self._longest_key = 0.0
        self._is_ready = False

    @property
    def is_wide(self) -> bool:
        """Whether the blocks are float64."""
        return self._dtype is np.float64

    def widen(self) -> None:
        """Turn to float64 from the next block on: too much lies within the band."""
        if not self.is_wide:
            self._dtype, self._keys, self._is_ready = np.float64, None, False

    def blocks(self) -> Iterator[Block]:
        """Yield the blocks in order; each is overwritten by the next."""
        start, buffer = 0, np.zeros((0, 0))
        while start < len(self._probes):
            self._prepare()
            most = self._block_rows() if start else min(self._block_rows(), _FIRST_ROWS)
            rows = min(most, len(self._probes) - start)
            if buffer.dtype != self._dtype or len(buffer) < rows:
                buffer = np.empty((rows, len(self._references)), self._dtype)
            queries = self._cast(self.distance.search_queries(_float64(self._probes, start, rows)))
            values = buffer[:rows]
            self._multiply(queries, values)
            yield Block(start, start + rows, values, 2 * rounding_error(queries, self._longest_key))
            start += rows

    def exact(self, probes: np.ndarray, references: np.ndarray) -> np.ndarray:
        """Return the (n,) float64 distances of probe positions to reference positions, pairwise.

        Pairs with the same content are computed once, so that an encoder that has collapsed to
        few distinct embeddings costs no more than another.
        """
        if len(probes) > _DISTINCT_FROM and self._has_duplicates:
            first, second = self._first_of_content
            keys = first[probes] * len(self._references) + second[references]
            distinct, inverse = np.unique(keys, return_inverse=True)
            return self._exact(*np.divmod(distinct, len(self._references)))[inverse]
        return self._exact(probes, references)

    @cached_property
    def _first_of_content(self) -> tuple[np.ndarray, np.ndarray]:
        """For each probe and each reference, the position of the first with its content."""
        first = _first_of_content(self._probes)
        is_same = self._references is self._probes
        return first, first if is_same else _first_of_content(self._references)

    @cached_property
    def _has_duplicates(self) -> bool:
        return any((first != np.arange(len(first))).any() for first in self._first_of_content)

    def _exact(self, probes: np.ndarray, references: np.ndarray) -> np.ndarray:
        return exact_distances(self.distance, self._probes, self._references, probes, references)

    def _block_rows(self) -> int:
        row_bytes = max(1, len(self._references)) * np.dtype(self._dtype).itemsize
        return int(np.clip(self._memory_bytes // 8 // row_bytes, 1, _ROWS_AT_ONCE))

    def _prepare(self) -> None:
        """Measure the keys and keep them if they fit; turn to float64 if float32 overflows."""
        if self._is_ready:
            return
        size = self._key_slice(slice(0, 1)).shape[1] * np.dtype(self._dtype).itemsize
        fits = len(self._references) * size <= self._memory_bytes // 2
        keys, longest = [], 0.0
        for part in self._key_parts():
            made = self._key_slice(part)
            longest = max(longest, float(_longest(made)))
            if fits:
                keys.append(made)
        if not np.isfinite(longest) or longest > np.finfo(self._dtype).max ** 0.5:
            if self.is_wide:
                raise InvalidInput(
                    f"the embeddings are too long for the {self.distance.name} distance: its "
                    "search keys overflow float64; scale the embeddings down"
                )
            self.widen()
            self._prepare()
            return
        self._longest_key, self._is_ready = longest, True
        self._keys = np.concatenate(keys) if keys else None

    def _multiply(self, queries: np.ndarray, values: np.ndarray) -> None:
        if self._keys is not None:
            np.matmul(queries, self._keys.T, out=values)
            return
        for part in self._key_parts():
            values[:, part] = queries @ self._key_slice(part).T

    def _key_parts(self) -> Iterator[slice]:
        for start in range(0, len(self._references), _KEY_ROWS):
            yield slice(start, min(start + _KEY_ROWS, len(self._references)))

    def _key_slice(self, part: slice) -> np.ndarray:
        rows = _float64(self._references, part.start, part.stop - part.start)
        return self._cast(self.distance.search_keys(rows))

    def _cast(self, keys: np.ndarray) -> np.ndarray:
        with np.errstate(over="ignore"):
            return np.ascontiguousarray(keys, self._dtype)


def rounding_error(queries: np.ndarray, longest_key: float) -> np.ndarray:
    """Return how far a product of each query with a key may be from the true one, (Q,).

    Args:
        queries: (Q, K) search queries in the precision of the products.
        longest_key: The length of the longest key.
    """
    lengths = lengths_of(queries)
    safety = _SAFETY * queries.shape[1] ** 0.5
    numbers = np.finfo(queries.dtype)
    of_products = float(numbers.eps) / 2 * longest_key
    of_distances = float(np.finfo(np.float64).eps) / 2 * lengths
    underflow = float(numbers.tiny)
    error: np.ndarray = safety * (
        lengths * (of_products + of_distances + underflow) + underflow * (1 + longest_key)
    )
    return error


def lengths_of(rows: np.ndarray) -> np.ndarray:
    """Return the lengths of the rows, in float64."""
    lengths: np.ndarray = np.einsum("ij,ij->i", rows, rows, dtype=np.float64) ** 0.5
    return lengths


def exact_distances(
    distance: Distance,
    probes: np.ndarray,
    references: np.ndarray,
    i: np.ndarray,
    j: np.ndarray,
) -> np.ndarray:
    """Return the (n,) float64 distances of probes `i` to references `j`, pair by pair."""
    result = np.empty(len(i))
    step = max(1, _EXACT_ELEMENTS // max(1, probes.shape[1]))
    for start in range(0, len(i), step):
        part = slice(start, start + step)
        rows = references[j[part]].astype(np.float64)
        if len(probes) == 1:
            result[part] = distance.to_all(probes[0].astype(np.float64), rows)
        else:
            result[part] = distance.paired(probes[i[part]].astype(np.float64), rows)
    return result


def _float64(rows: np.ndarray, start: int, count: int) -> np.ndarray:
    return rows[start : start + count].astype(np.float64)


def _longest(keys: np.ndarray) -> float:
    with np.errstate(over="ignore", invalid="ignore"):
        squares = np.einsum("ij,ij->i", keys, keys, dtype=np.float64)
    return float(squares.max(initial=0.0) ** 0.5) if not np.isnan(squares).any() else np.inf


def _first_of_content(embeddings: np.ndarray) -> np.ndarray:
    seen: dict[bytes, int] = {}
    rows = np.ascontiguousarray(embeddings)
    hashes = (blake2b(row.tobytes(), digest_size=16).digest() for row in rows)
    return np.array([seen.setdefault(key, i) for i, key in enumerate(hashes)], np.int64)
