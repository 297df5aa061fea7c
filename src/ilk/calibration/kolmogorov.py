"""The two-sample test of Kolmogorov and Smirnov: are two samples of one distribution?

Shapes: m and n are the sizes of the samples.
"""

from __future__ import annotations

import math

import numpy as np

from ilk.errors import InvalidInput

__all__ = ["kolmogorov_smirnov", "largest_gaps"]

_EXACT_UP_TO = 10_000
"""Up to this product of the sizes the p-value is exact."""


def largest_gaps(
    first: np.ndarray,
    second: np.ndarray,
    weights: tuple[np.ndarray, np.ndarray] | None = None,
) -> tuple[float, float]:
    """Return how far the share of `first` up to some value is above that of `second`, and below.

    Infinite values are values like others; equal ones are counted together.

    Args:
        first: (m,) without NaN, at least one.
        second: (n,) without NaN, at least one.
        weights: How much each value counts, (m,) and (n,); None counts all the same.

    Raises:
        InvalidInput: A sample is empty or has NaN.

    Example:
        >>> largest_gaps(np.array([1.0, 2.0]), np.array([2.0, 3.0, 4.0]))
        (0.6666666666666667, 0.0)
    """
    a, b = np.asarray(first, np.float64), np.asarray(second, np.float64)
    if not len(a) or not len(b) or np.isnan(a).any() or np.isnan(b).any():
        raise InvalidInput(
            f"expected two samples without NaN, at least one value each, got {len(a)} and {len(b)}"
        )
    values = np.concatenate([a, b])
    of_a, of_b = (np.ones(len(a)), np.ones(len(b))) if weights is None else weights
    gaps = _shares(a, of_a, values) - _shares(b, of_b, values)
    return float(gaps.max(initial=0.0)), 0.0 - float(gaps.min(initial=0.0))


def _shares(sample: np.ndarray, weights: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Return how much of the weight lies up to each value."""
    order = np.argsort(sample, kind="stable")
    weight = np.append(0.0, np.cumsum(weights[order]))
    shares: np.ndarray = weight[np.searchsorted(sample[order], values, "right")] / weight[-1]
    return shares


def kolmogorov_smirnov(gap: float, m: float, n: float) -> float:
    """Return the chance that two samples of one distribution differ by `gap` or more, either way.

    Exact for up to 10,000 pairs: the share of the orders of m and n distinct values in which the
    shares differ by so much, by counting lattice paths (Hodges 1958). Above, Kolmogorov's limit
    with the correction of Stephens (1970). Equal values make it too large, never too small.

    Args:
        gap: The larger of `largest_gaps`, between 0 and 1.
        m: Size of a sample, at least 1; an effective size need not be whole.
        n: Size of the other.

    Raises:
        InvalidInput: The gap is no share, or a size is below 1.

    Example:
        Of the 20 orders of three and three, two keep the samples apart:

        >>> round(kolmogorov_smirnov(1.0, 3, 3), 12)
        0.1
    """
    if not 0 <= gap <= 1 or not m >= 1 or not n >= 1:
        raise InvalidInput(f"expected a gap from 0 to 1 and sizes from 1, got {gap}, {m}, {n}")
    if math.floor(m) * math.floor(n) <= _EXACT_UP_TO:
        return _exact(gap, math.floor(m), math.floor(n))
    root = math.sqrt(m * n / (m + n))
    return _limit((root + 0.12 + 0.11 / root) * gap)


def _exact(gap: float, m: int, n: int) -> float:
    """Return the share of the paths from (0, 0) to (m, n) that leave the band |i/m - j/n| < gap.

    `left[j]` is the share of the paths to (i, j) that have left it on the way. Of these paths a
    share i / (i + j) comes from (i - 1, j), and the others from (i, j - 1).
    """
    reach = gap * m * n - 1e-6  # a gap that comes from whole counts is whole
    left = [0.0] * (n + 1)
    for i in range(m + 1):
        for j in range(n + 1):
            if abs(i * n - j * m) >= reach:
                left[j] = 1.0
            elif i + j:
                left[j] = (i * left[j] + j * left[j - 1]) / (i + j)
    return left[n]


def _limit(x: float) -> float:
    """Return the chance that the supremum of a Brownian bridge is x or more."""
    if x < 0.05:
        return 1.0
    if x < 1.0:  # this series converges faster there
        total = sum(math.exp(-((2 * k - 1) ** 2) * math.pi**2 / (8 * x * x)) for k in range(1, 6))
        return 1.0 - math.sqrt(2 * math.pi) / x * total
    return 2 * sum((-1) ** (k - 1) * math.exp(-2 * k * k * x * x) for k in range(1, 8))
