"""How many strangers may be named so that a rate is kept not on average but almost surely.

A threshold that keeps 1 % on average over draws of the strangers keeps less in some draws and more
in others. Here the rate is kept with a probability over the draw that the user chooses. The classes
must be independent and alike. With one probe per class the number of those that are named is
binomial and the bound is exact (Vovk, Conditional validity of inductive conformal predictors,
2012: the rate of a threshold below the k-th of K distances has the beta distribution
(k, K + 1 - k)). With more, the shares of the classes lie in [0, 1], and the smaller of two bounds
holds: Hoeffding's (1963, in the form of Chernoff) and Bentkus's (2004), as Bates et al. join them
in Distribution-free, risk-controlling prediction sets (2021).
"""

from __future__ import annotations

import math

from ilk.calibration.beta import beta_share
from ilk.errors import InvalidInput

__all__ = ["allowed_at_confidence", "classes_for_confidence"]


def classes_for_confidence(target_fpir: float, confidence: float) -> int:
    """Return the fewest classes with which none named shows a rate of at most `target_fpir`.

    Raises:
        InvalidInput: The confidence is not above 0 and below 1.

    Example:
        >>> classes_for_confidence(0.01, 0.95), classes_for_confidence(0.05, 0.9)
        (299, 45)
    """
    if not 0 < confidence < 1:
        raise InvalidInput(f"confidence must be above 0 and below 1, got {confidence}")
    return math.ceil(round(math.log1p(-confidence) / math.log1p(-target_fpir), 9))


def allowed_at_confidence(
    num_classes: int, target_fpir: float, confidence: float, *, has_singles: bool
) -> float:
    """Return how many of K classes, in parts, may lie up to the limit; below 0 if K are too few.

    Args:
        num_classes: K, independent.
        target_fpir: The rate to keep.
        confidence: The probability to keep it with.
        has_singles: Whether every class has one probe.

    Example:
        >>> allowed_at_confidence(299, 0.01, 0.95, has_singles=True)
        0
        >>> allowed_at_confidence(1000, 0.05, 0.95, has_singles=True)
        38
        >>> 34 < allowed_at_confidence(1000, 0.05, 0.95, has_singles=False) < 38
        True
    """
    doubt = 1 - confidence
    if num_classes < classes_for_confidence(target_fpir, confidence):
        return -1
    if has_singles:
        return _most(num_classes, target_fpir, doubt)
    return max(
        _most(num_classes, target_fpir, doubt / math.e), _hoeffding(num_classes, target_fpir, doubt)
    )


def _most(num_classes: int, rate: float, doubt: float) -> int:
    """Return the largest j of which P(binomial(K, rate) <= j) is at most `doubt`, or -1."""
    low, high = -1, num_classes
    while high - low > 1:
        j = (low + high) // 2
        is_rare = beta_share(1 - rate, num_classes - j, j + 1) <= doubt * (1 + 1e-9)
        low, high = (j, high) if is_rare else (low, j)
    return low


def _hoeffding(num_classes: int, rate: float, doubt: float) -> float:
    """Return the largest sum s of K shares with exp(-K kl(s / K, rate)) at most `doubt`."""
    low, high = 0.0, rate
    for _ in range(100):
        share = (low + high) / 2
        is_rare = num_classes * _divergence(share, rate) >= -math.log(doubt)
        low, high = (share, high) if is_rare else (low, share)
    return low * num_classes


def _divergence(share: float, rate: float) -> float:
    """Return the Kullback-Leibler divergence of two coins, in nats; 0 < share < 1."""
    return share * math.log(share / rate) + (1 - share) * math.log((1 - share) / (1 - rate))
