"""How embeddings use hyperbolic space: how far from the origin they lie, and whether that counts.

Shapes: N rows, D embedding size.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self, final

import numpy as np

from ilk.distances import Cosine, Distance, Hyperbolic

__all__ = ["Radii"]

_NUM_BINS = 10
_NUM_CLOSEST = 10
_MOST_ROWS = 1000
_RIM = 0.99
_THE_SAME = 0.99


@final
@dataclass(frozen=True)
class Radii:
    """The distances of embeddings from the origin, and what the ranking owes to them."""

    max_radius: float
    """Beyond which embeddings are clipped."""
    shares: tuple[float, ...]
    """Of embeddings in each tenth of the way from the origin to `max_radius`."""
    median: float
    rim: float
    """Share of embeddings in the last hundredth of the way, or clipped."""
    cosine_agreement: float
    """Share of embeddings whose ten closest others the cosine distance puts in the same order."""

    @classmethod
    def of(cls, embeddings: np.ndarray, distance: Distance) -> Self | None:
        """Look at (N, D) embeddings; None under other distances, or for fewer than two rows.

        Example:
            >>> line = np.array([[1.0, 0.0], [0.0, 2.0], [3.0, 0.0]])
            >>> Radii.of(line, Hyperbolic(curvature=1.0, max_radius=4.0)).median
            2.0
        """
        if not isinstance(distance, Hyperbolic) or len(embeddings) < 2:
            return None
        rows = np.linspace(0, len(embeddings) - 1, min(len(embeddings), _MOST_ROWS)).astype(int)
        sample = embeddings[rows].astype(np.float64)
        origin = np.zeros((1, sample.shape[1]))
        radii = distance.pairwise(origin, sample)[0]
        counts, _ = np.histogram(radii, _NUM_BINS, (0, distance.max_radius * (1 + 1e-9)))
        ours, theirs = (_closest(sample, measure) for measure in (distance, Cosine()))
        return cls(
            max_radius=distance.max_radius,
            shares=tuple(float(count) / len(sample) for count in counts),
            median=float(np.median(radii)),
            rim=float(np.mean(radii >= _RIM * distance.max_radius)),
            cosine_agreement=float((ours == theirs).all(1).mean()),
        )

    @property
    def ranks_like_cosine(self) -> bool:
        """Whether the radii make no difference."""
        return self.cosine_agreement >= _THE_SAME

    @property
    def warning(self) -> str:
        """What to do where the radii make no difference; empty elsewhere."""
        if not self.ranks_like_cosine:
            return ""
        return (
            "the hyperbolic distance ranks as the cosine distance does, because all embeddings lie "
            "about as far from the origin: use the cosine distance, or train with another "
            "distance.options.curvature, distance.options.max_radius or loss"
        )

    def line(self) -> str:
        """Return the histogram and what it means in a line."""
        histogram = " ".join(f"{100 * share:.0f}" for share in self.shares)
        return (
            f"{histogram} % of embeddings from the origin to {self.max_radius:g} in tenths, median "
            f"{self.median:.2f}, {100 * self.rim:.0f} % at the rim; the closest of "
            f"{100 * self.cosine_agreement:.0f} % are in the order that cosine gives"
        )

    def to_json(self) -> dict[str, Any]:
        """Return what was found as plain data."""
        return {
            "max_radius": self.max_radius,
            "shares": list(self.shares),
            "median": self.median,
            "rim": self.rim,
            "cosine_agreement": self.cosine_agreement,
            "warning": self.warning,
        }


def _closest(rows: np.ndarray, distance: Distance) -> np.ndarray:
    """Return the positions of the closest others of each row, closest first."""
    found = distance.pairwise(rows, rows)
    np.fill_diagonal(found, np.inf)
    order: np.ndarray = found.argsort(axis=1, kind="stable")[:, : min(_NUM_CLOSEST, len(rows) - 1)]
    return order
