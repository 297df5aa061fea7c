"""Product-quantised codes of many rows: a scan of 4 bits for two numbers, to be settled exactly.

The rows are coded as the geometry asks for: unit rows by inner product (cosine), rows by their
squared distance (Euclidean), tangent vectors by their squared distance (hyperbolic; codes for
Lorentz products would find nothing).

Shapes: Q probes, N rows, D embedding size, c candidates.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, final

import numpy as np

from ilk.distances import Cosine, Distance, Euclidean, Hyperbolic
from ilk.searchers.engine import one_thread, use_huge_pages

__all__ = ["Codes", "Coding", "coding_for", "encode"]

_PART_ROWS = 16_384
_TRAINING_ROWS = 4096
"""Rows from which the centres are learned."""

_NUM_CENTRES = 16
"""Of each pair of numbers: what 4 bits can name."""

_NUM_ROUNDS = 12
"""Of k-means; further ones change little."""


@final
@dataclass(frozen=True)
class Coding:
    """How the rows of a distance are turned into what is coded."""

    is_inner_product: bool
    longest: float = float("inf")
    """Longer rows are cut to this length."""
    is_unit: bool = False
    power: int = 0
    """The coded measure is the distance to this power (up to coding errors); 0: unrelated."""

    def coordinates(self, rows: np.ndarray, size: int) -> np.ndarray:
        """Return (N, D) rows as the (N, size) float32 numbers that are coded, filled with zeros."""
        result = np.zeros((len(rows), size), np.float32)
        result[:, : rows.shape[1]] = rows
        if self.is_unit or self.longest < float("inf"):
            lengths = np.linalg.norm(result, axis=1, keepdims=True)
            lengths[lengths == 0] = 1.0
            result *= 1 / lengths if self.is_unit else np.minimum(1, self.longest / lengths)
        return result


def coding_for(distance: Distance) -> Coding | None:
    """Return how rows are coded under a distance, None if it is not known how."""
    match distance:
        case Cosine():
            return Coding(is_inner_product=True, is_unit=True, power=1)
        case Euclidean():
            return Coding(is_inner_product=False, power=2)
        case Hyperbolic():
            return Coding(is_inner_product=False, longest=distance.max_radius)
        case _:
            return None


@final
class Codes:
    """The codes of the first N rows of a matrix as they were once; `encode` makes them."""

    def __init__(
        self,
        faiss: Any,
        index: Any,
        coding: Coding,
        rotation: np.ndarray,
        mean: np.ndarray,
        loss: np.ndarray,
    ) -> None:
        self._faiss, self._index = faiss, index
        self.coding = coding
        self._rotation, self._mean, self._loss = rotation, mean, loss

    def __len__(self) -> int:
        """Return N."""
        return int(self._index.ntotal)

    def search(self, probes: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
        """Return positions (Q, c) and measures (Q, c) of the rows that look closest.

        A measure is smaller if closer: an estimate of the distance to the power `Coding.power`.
        """
        coordinates = self.coding.coordinates(probes, self._index.d) @ self._rotation
        with one_thread(self._faiss):
            values, positions = self._index.search(coordinates, min(count, len(self)))
        return positions, 1 - values if self.coding.is_inner_product else values

    def spread(self, probes: np.ndarray) -> np.ndarray:
        """Return (Q,) the standard error of a measure, as far as the mean loss per axis tells."""
        steps = self.coding.coordinates(probes, self._index.d) @ self._rotation
        if not self.coding.is_inner_product:
            steps = 2 * (steps - self._mean)
        spread: np.ndarray = (steps.astype(np.float64) ** 2 @ self._loss) ** 0.5
        return spread


def encode(
    faiss: Any, coding: Coding, rows: np.ndarray, go_on: Callable[[], bool] = lambda: True
) -> Codes | None:
    """Learn a coding of two numbers in 4 bits from a seeded sample of the rows, and code them all.

    The rows are turned at random first, so that each pair of numbers holds as much as any other:
    where a few axes carry most, as in trained embeddings, the error is a third of what it was.

    Args:
        faiss: The module.
        coding: What is coded.
        rows: (N, D) float32.
        go_on: Asked between parts; when it says no, the answer is None.
    """
    size = rows.shape[1] + rows.shape[1] % 2
    metric = faiss.METRIC_INNER_PRODUCT if coding.is_inner_product else faiss.METRIC_L2
    index = faiss.IndexPQFastScan(size, size // 2, 4, metric)
    rng = np.random.default_rng(0)
    chosen = rng.choice(len(rows), min(_TRAINING_ROWS, len(rows)), replace=False)
    rotation = np.linalg.qr(rng.normal(size=(size, size)))[0].astype(np.float32)
    sample = coding.coordinates(rows[np.sort(chosen)], size) @ rotation
    centres, loss = _learn_centres(sample, rng)
    faiss.copy_array_to_vector(centres.reshape(-1), index.pq.centroids)
    index.is_trained = True
    for start in range(0, len(rows), _PART_ROWS):
        if not go_on():
            return None
        part = coding.coordinates(rows[start : start + _PART_ROWS], size) @ rotation
        with one_thread(faiss):
            index.add(part)
    use_huge_pages(int(index.codes.get()), index.codes.size())
    return Codes(faiss, index, coding, rotation, sample.mean(0), loss)


def _learn_centres(sample: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Return (D / 2, 16, 2) centres of the pairs of numbers in (n, D), and the (D,) mean loss.

    This is k-means, all pairs at once. faiss learns the same; but here a run is the same whatever
    other threads do.
    """
    points = np.ascontiguousarray(sample.reshape(len(sample), -1, 2).swapaxes(0, 1))
    num_pairs = len(points)
    first = rng.choice(len(sample), _NUM_CENTRES, replace=len(sample) < _NUM_CENTRES)
    centres = points[:, first].copy()
    bins = num_pairs * _NUM_CENTRES
    for _ in range(_NUM_ROUNDS):
        member = _members(points, centres)
        count = np.bincount(member, minlength=bins)
        sums = [np.bincount(member, points[..., i].reshape(-1), minlength=bins) for i in range(2)]
        means = np.stack(sums, 1) / np.maximum(count, 1)[:, None]
        filled = (count > 0).reshape(num_pairs, _NUM_CENTRES)
        centres[filled] = means.reshape(num_pairs, _NUM_CENTRES, 2)[filled]
    nearest = centres.reshape(-1, 2)[_members(points, centres)].reshape(points.shape)
    loss = ((points - nearest).astype(np.float64) ** 2).mean(axis=1)
    return centres, loss.reshape(-1)


def _members(points: np.ndarray, centres: np.ndarray) -> np.ndarray:
    """Return for each of (P, n, 2) points its nearest among all (P, 16) centres, flat."""
    closeness = points @ centres.swapaxes(1, 2)
    closeness -= (centres**2).sum(2)[:, None] / 2
    offset = np.arange(len(points))[:, None] * _NUM_CENTRES
    member: np.ndarray = (closeness.argmax(2) + offset).reshape(-1)
    return member
