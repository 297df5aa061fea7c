"""Complete linkage: clusters in which any two members are within a limit of each other.

The two clusters whose farthest members are closest are joined, again and again, as long as these
are within the limit. So a cluster never is a chain of things of which the ends have nothing to do
with each other. Of equal distances, the pair of clusters with the lowest first members is joined
first, so that the same rows give the same clusters.

Shapes: N rows.
"""

from __future__ import annotations

import numpy as np

from ilk.thresholds import within

__all__ = ["complete_linkage"]


def complete_linkage(distances: np.ndarray, limit: float) -> np.ndarray:
    """Return the cluster of each row: the position of the first row of it, (N,) int64.

    Time grows with the square of N, and with its cube at worst.

    Args:
        distances: (N, N), symmetric.
        limit: How far two members may be apart; equal is accepted.

    Example:
        A chain in steps of 1 is cut; the ends are 3 apart:

        >>> line = np.arange(4.0)
        >>> complete_linkage(abs(line[:, None] - line), 1.0).tolist()
        [0, 0, 2, 2]
    """
    apart = np.array(distances, np.float64)
    np.fill_diagonal(apart, np.inf)
    cluster = np.arange(len(apart))
    nearest = apart.argmin(1) if len(apart) else cluster
    closest = apart[cluster, nearest]
    while len(apart):
        first = int(closest.argmin())
        if not within(closest[first], limit) or np.isinf(closest[first]):
            break
        second = int(nearest[first])  # above `first`, or `second` would have come before
        cluster[cluster == second] = first
        joined = np.maximum(apart[first], apart[second])
        apart[first], apart[:, first] = joined, joined
        apart[second], apart[:, second] = np.inf, np.inf
        apart[first, first] = closest[second] = np.inf
        stale = np.flatnonzero((nearest == first) | (nearest == second))
        stale = np.union1d(stale[np.isfinite(closest[stale])], [first])
        nearest[stale] = apart[stale].argmin(1)
        closest[stale] = apart[stale, nearest[stale]]
    return cluster
