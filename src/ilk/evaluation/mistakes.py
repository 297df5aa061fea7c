"""The queries that went most wrong, with what was found instead."""

from __future__ import annotations

import numpy as np

from ilk.distances import Distance
from ilk.evaluation.figures import Mistake
from ilk.scan import Scan

__all__ = ["find_mistakes"]


def find_mistakes(
    embeddings: np.ndarray,
    reciprocal_rank: np.ndarray,
    distance: Distance,
    *,
    num_mistakes: int,
    num_neighbors: int,
    memory_bytes: int = 1 << 30,
) -> tuple[Mistake, ...]:
    """Return the queries whose closest class mate is farthest down, worst first.

    Args:
        embeddings: (N, D).
        reciprocal_rank: "mrr" of each item as `retrieval` gives it, (N,); NaN is not a mistake.
        distance: What closeness means.
        num_mistakes: At most so many.
        num_neighbors: How many neighbours of each.
        memory_bytes: What may be taken beyond the embeddings.

    Example:
        >>> from ilk.distances import Euclidean
        >>> points = np.array([[0.0], [1.0], [5.0]])
        >>> find_mistakes(
        ...     points, np.array([0.5, np.nan, 1.0]), Euclidean(), num_mistakes=9, num_neighbors=1
        ... )
        (Mistake(query=0, neighbors=(1,), distances=(1.0,)),)
    """
    order = np.argsort(reciprocal_rank, kind="stable")
    worst = order[: int((reciprocal_rank < 1).sum())][:num_mistakes]
    wanted = min(num_neighbors, len(embeddings) - 1)
    scan = Scan(embeddings[worst], embeddings, distance, memory_bytes=memory_bytes)
    mistakes = []
    for block in scan.blocks():
        for at, values in enumerate(block.values):
            row = block.start + at
            values[worst[row]] = -np.inf
            last = np.partition(values, len(values) - wanted)[len(values) - wanted]
            near = np.flatnonzero(values >= last - values.dtype.type(block.band[at]))
            exact = scan.exact(np.full(len(near), row), near)
            chosen = np.lexsort((near, exact))[:wanted]
            mistakes.append(
                Mistake(
                    int(worst[row]), tuple(near[chosen].tolist()), tuple(exact[chosen].tolist())
                )
            )
    return tuple(mistakes)
