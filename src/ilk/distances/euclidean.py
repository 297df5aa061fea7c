"""Euclidean: the straight line."""

from __future__ import annotations

from typing import final

from ilk.distances.arrays import (
    Array,
    append,
    constant,
    mend_cancellation,
    namespace,
    row_length,
    safe_root,
    squared_norm,
)
from ilk.distances.distance import Distance

__all__ = ["Euclidean"]


@final
class Euclidean(Distance):
    """The straight-line distance |p - r|, in [0, inf).

    Finite wherever the dtype can hold it: float32 embeddings may be as long as 1e38.

    Example:
        >>> Euclidean().pairwise(np.array([[0.0, 0.0]]), np.array([[3.0, 4.0]]))
        array([[5.]])
    """

    name = "euclidean"
    upper = float("inf")

    def search_keys(self, references: Array) -> Array:
        """Return (r, -|r|^2 / 2), (R, D + 1)."""
        return append(references, -squared_norm(references) / 2)

    def search_queries(self, probes: Array) -> Array:
        """Return (q, 1), (Q, D + 1)."""
        return append(probes, squared_norm(probes) * 0 + 1)

    def _pairwise(self, probes: Array, references: Array) -> Array:
        if _is_extreme(probes, references):
            rows = [self._paired(probe[None], references) for probe in probes]
            return namespace(probes).stack(rows)
        centre = constant(references.mean(0)) if len(references) else 0.0
        p, r = probes - centre, references - centre
        size = squared_norm(p)[:, None] + squared_norm(r)[None, :]
        squared = mend_cancellation(
            size - 2 * (p @ r.T),
            size,
            probes,
            references,
            lambda i, j: squared_norm(probes[i] - references[j]),
        )
        return safe_root(squared)

    def _paired(self, first: Array, second: Array) -> Array:
        return row_length(first - second)


def _is_extreme(*inputs: Array) -> bool:
    """Return whether squares of these numbers leave what their dtype holds."""
    largest = max((float(constant(abs(x)).max()) for x in inputs if 0 not in x.shape), default=0.0)
    low, high = (1e-15, 1e15) if "32" in str(inputs[0].dtype) else (1e-140, 1e140)
    return 0 < largest < low or largest > high
