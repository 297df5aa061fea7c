"""The beta distribution and Student's t, as far as exact intervals need them."""

from __future__ import annotations

import math
import sys

__all__ = ["beta_quantile", "beta_share", "t_quantile"]

_TINY = 1e-300


def beta_share(x: float, a: float, b: float) -> float:
    """Return the share of the beta distribution (a, b) up to x: the regularized I_x(a, b).

    Source: Press et al., Numerical Recipes (2007), section 6.4: Lentz's continued fraction.

    Example:
        >>> beta_share(0.25, 1.0, 1.0), round(beta_share(0.5, 2.0, 5.0), 6)
        (0.25, 0.890625)
    """
    if x <= 0 or x >= 1:
        return float(x >= 1)
    if x > (a + 1) / (a + b + 2):
        return 1 - _lower_share(1 - x, b, a)
    return _lower_share(x, a, b)


def beta_quantile(share: float, a: float, b: float) -> float:
    """Return the x up to which the beta distribution (a, b) has `share`, above 0 and below 1.

    Newton's method, within a bracket that is halved wherever a step would leave it.

    Example:
        >>> round(beta_quantile(0.890625, 2.0, 5.0), 9)
        0.5
    """
    low, high = 0.0, 1.0
    x = min(max(a / (a + b), sys.float_info.min), 1 - sys.float_info.epsilon)
    for _ in range(200):
        excess = beta_share(x, a, b) - share
        low, high = (x, high) if excess < 0 else (low, x)
        density = math.exp(_log_density(x, a, b))
        step = excess / density if density > 0 else math.inf
        following = x - step
        if not low < following < high:
            following = (low + high) / 2
        if abs(following - x) <= 4 * sys.float_info.epsilon * x or following in (low, high):
            return following
        x = following
    return x


def t_quantile(confidence: float, degrees: float) -> float:
    """Return the t within which (on both sides of 0) Student's distribution has `confidence`.

    Example:
        >>> round(t_quantile(0.95, 4), 4), round(t_quantile(0.95, 1e9), 4)
        (2.7764, 1.96)
    """
    y = beta_quantile(confidence, 0.5, degrees / 2)
    return math.sqrt(degrees * y / (1 - y))


def _log_density(x: float, a: float, b: float) -> float:
    size = math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b)
    return size + (a - 1) * math.log(x) + (b - 1) * math.log1p(-x)


def _lower_share(x: float, a: float, b: float) -> float:
    """Return I_x(a, b) where x is below the bulk, so that the fraction converges fast."""
    front = math.exp(_log_density(x, a, b)) * x * (1 - x) / a
    c, d = 1.0, 1 / ((1 - (a + b) * x / (a + 1)) or _TINY)
    fraction = d
    for m in range(1, 100_000):
        before = fraction
        for step in (
            m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m)),
            -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1)),
        ):
            d = 1 / ((1 + step * d) or _TINY)
            c = (1 + step / c) or _TINY
            fraction *= c * d
        if abs(fraction - before) <= 1e-15 * abs(fraction):
            break
    return front * fraction
