"""Euclidean: the straight line."""

from __future__ import annotations

from typing import final

from ilk.distances.arrays import Array, append, constant, mend_cancellation, safe_root, squared_norm
from ilk.distances.distance import Distance

__all__ = ["Euclidean"]


@final
class Euclidean(Distance):
    """The straight-line distance |p - r|, in [0, inf).

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
        centre = constant(references.mean(0)) if len(references) else 0.0
        p, r = probes - centre, references - centre
        size = squared_norm(p)[:, None] + squared_norm(r)[None, :]
        squared = mend_cancellation(
            size - 2 * (p @ r.T), size, p, r, lambda i, j: squared_norm(p[i] - r[j])
        )
        return safe_root(squared)

    def _paired(self, first: Array, second: Array) -> Array:
        return safe_root(squared_norm(first - second))
