"""Templates: what a class is matched by.

    every      every exemplar (the default): nothing is lost, and the distance is of the closest
    mean       one per class, the middle of its exemplars under the distance
    medoids:k  the k exemplars with the smallest sum of distances to the others' closest

A template stands under the id of an exemplar: its own for "every" and "medoids", the first of its
class for "mean".

Shapes: M exemplars of one class, T templates, D embedding size.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

import numpy as np

from ilk.distances import Cosine, Distance, Hyperbolic
from ilk.errors import InvalidInput

__all__ = ["Templates"]


@final
@dataclass(frozen=True)
class Templates:
    """How templates are made of exemplars.

    Example:
        >>> Templates.parse("medoids:3")
        Templates(kind='medoids', count=3)
        >>> str(Templates.parse("mean"))
        'mean'
    """

    kind: str = "every"
    """"every", "mean" or "medoids"."""
    count: int = 0
    """k of "medoids"."""

    @staticmethod
    def parse(text: str) -> Templates:
        """Read "every", "mean" or "medoids:k".

        Raises:
            InvalidInput: It is something else.
        """
        kind, _, count = text.partition(":")
        if kind in ("every", "mean") and not count:
            return Templates(kind)
        if kind == "medoids" and count.isascii() and count.isdigit() and int(count) > 0:
            return Templates(kind, int(count))
        raise InvalidInput(f"templates must be 'every', 'mean' or 'medoids:k', got {text!r}")

    def __str__(self) -> str:
        return f"{self.kind}:{self.count}" if self.count else self.kind

    @property
    def is_every(self) -> bool:
        """Whether each exemplar is a template by itself."""
        return self.kind == "every"

    def make(
        self, ids: np.ndarray, embeddings: np.ndarray, distance: Distance
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return ids (T,) and embeddings (T, D) float32 of the templates of one class.

        Args:
            ids: (M,) of its exemplars, ascending.
            embeddings: (M, D).
            distance: What closeness means.

        Example:
            >>> from ilk.distances import Euclidean
            >>> ids, points = np.array([3, 5]), np.array([[0.0], [2.0]], np.float32)
            >>> Templates("mean").make(ids, points, Euclidean())[1].tolist()
            [[1.0]]
        """
        if self.is_every or len(ids) == 0:
            return ids, embeddings
        if self.kind == "mean":
            return ids[:1], _middle(embeddings, distance)[None]
        kept = _medoids(distance.pairwise(*[embeddings.astype(np.float64)] * 2), self.count)
        return ids[kept], embeddings[kept]

    def exemplars_behind(self, template_id: int, of_class: np.ndarray) -> tuple[int, ...]:
        """Return the ids of the exemplars that a template stands for.

        Args:
            template_id: Of the template.
            of_class: Ids of all exemplars of its class.
        """
        return tuple(of_class.tolist()) if self.kind == "mean" else (template_id,)


def _middle(embeddings: np.ndarray, distance: Distance) -> np.ndarray:
    """Return the (D,) mean; of directions under cosine, on the hyperboloid under hyperbolic.

    The hyperbolic mean is the Lorentzian centroid (Law et al. 2019): the sum of the points in
    Lorentz coordinates, scaled back onto the hyperboloid; it minimises the sum of squared Lorentz
    distances.
    """
    rows = embeddings.astype(np.float64)
    if isinstance(distance, Cosine):
        total = distance.search_keys(rows).sum(0, keepdims=True)
        total = total if np.linalg.norm(total) > 1e-6 * len(rows) else rows[:1]  # they cancel
        return distance.search_keys(total)[0].astype(np.float32)
    if isinstance(distance, Hyperbolic):
        space = distance.search_keys(rows)[:, :-1].sum(0)
        time = distance.search_keys(rows)[:, -1].sum()
        scale = distance.curvature**0.5
        size = np.linalg.norm(space)
        radius = np.arctanh(min(size / time, 1 - 1e-15)) / scale
        return (space * (radius / size if size > 0 else 0.0)).astype(np.float32)
    return rows.mean(0).astype(np.float32)


def _medoids(distances: np.ndarray, count: int) -> np.ndarray:
    """Return the positions, ascending, of up to `count` medoids of (M, M) distances.

    Greedy: the best single one first, then each time the one that lowers the sum of distances to
    the closest medoid the most; the first of equals. Of what the best k would gain over the best
    single one, k such medoids gain at least 1 - (1 - 1/k)^(k - 1), by the argument of Nemhauser,
    Wolsey and Fisher (1978).
    """
    chosen: list[int] = []
    closest = np.full(len(distances), np.inf)
    for _ in range(min(count, len(distances))):
        costs = np.minimum(closest[:, None], distances).sum(0)
        costs[chosen] = np.inf
        chosen.append(int(np.argmin(costs)))
        closest = np.minimum(closest, distances[:, chosen[-1]])
    return np.array(sorted(chosen))
