"""Cosine: the angle alone counts."""

from __future__ import annotations

from typing import final

from ilk.distances.arrays import Array, unit
from ilk.distances.distance import Distance

__all__ = ["Cosine"]


@final
class Cosine(Distance):
    """One minus the cosine of the angle between two embeddings, in [0, 2].

    0 is the same direction, 1 is a right angle, 2 is opposite. Length does not count. An
    all-zero embedding is at distance 1 from everything.

    Example:
        >>> east, north = np.array([[2.0, 0.0]]), np.array([[0.0, 0.5]])
        >>> Cosine().pairwise(east, np.concatenate([east, north, -east]))
        array([[0., 1., 2.]])
    """

    name = "cosine"
    upper = 2.0

    def search_keys(self, references: Array) -> Array:
        """Return the references at unit length, (R, D)."""
        return unit(references)

    def search_queries(self, probes: Array) -> Array:
        """Return the probes at unit length, (Q, D)."""
        return unit(probes)

    def _pairwise(self, probes: Array, references: Array) -> Array:
        return (1 - unit(probes) @ unit(references).T).clip(0, 2)

    def _paired(self, first: Array, second: Array) -> Array:
        return (1 - (unit(first) * unit(second)).sum(-1)).clip(0, 2)
