"""Shares of trials that come in classes, and of comparisons of two classes each.

A person appears in many pairs, and pairs that share a person resemble each other. How much less n
such trials carry than independent ones (the design effect) is measured: the variance of the share
from all products of residuals of trials that have a class in common, against that of independent
trials. The interval is Clopper and Pearson's of so many fewer trials. Of trials of one class each
this is `ilk.calibration.clustered_interval`. Sources: Korn and Graubard, Survey Methodology 24
(1998); Aronow, Samii and Assenova, Political Analysis 23 (2015), for trials of two classes.

Shapes: n trials, C classes.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Self, final

import numpy as np

from ilk.calibration import clopper_pearson
from ilk.calibration.beta import t_quantile
from ilk.errors import InvalidInput

__all__ = ["FEW_CLASSES", "Share", "difference_interval", "difference_p_value"]

FEW_CLASSES = 5
"""With fewer classes than this an interval by class says little."""

_LEVEL = 0.95
_LEAST_P = 1e-6
_NUM_HALVINGS = 10
"""So that a p-value is known to 1.4 %."""


@final
@dataclass(frozen=True)
class Share:
    """A share of trials, with what their classes leave of their number.

    Example:
        Ten accepted of 500 comparisons: of 1,000 people, and all ten of one person:

        >>> accepted, first = np.arange(500) < 10, np.arange(500)
        >>> [round(end, 3) for end in Share.of(accepted, first, first + 500).interval()]
        [0.01, 0.036]
        >>> one = np.where(accepted, 0, first)
        >>> [round(end, 3) for end in Share.of(accepted, one, first + 500).interval()]
        [0.001, 0.105]
    """

    value: float
    num_trials: int
    num_classes: int
    effective: float
    """How many independent trials would show the share as well."""
    fewest: float
    """How many if all trials that share a class were alike."""

    @property
    def is_seen(self) -> bool:
        """Whether the classes show how alike their trials are; else `effective` is `fewest`."""
        return self.num_trials > 1 and self.num_classes > 1 and self.value not in (0.0, 1.0)

    @classmethod
    def of(cls, values: np.ndarray, first: np.ndarray, second: np.ndarray | None = None) -> Self:
        """Measure the mean of some trials.

        Args:
            values: Of each trial 0 or 1, or a share between them, (n,).
            first: The class of each, (n,) int64 from 0.
            second: The other class of each comparison, (n,); the same one is no second class.

        Raises:
            InvalidInput: There are no trials, or the shapes differ.
        """
        second = first if second is None else second
        if not len(values) or not values.shape == first.shape == second.shape:
            raise InvalidInput(
                f"expected values and classes of one shape (n,), got {values.shape}, "
                f"{first.shape} and {second.shape}"
            )
        share = float(np.mean(values, dtype=np.float64))
        n, num_classes = len(values), len(np.unique(np.append(first, second)))
        fewest = n * n / _shared(np.ones(n), first, second)
        if n == 1 or num_classes == 1 or share in (0.0, 1.0):
            return cls(share, n, num_classes, fewest, fewest)
        shared = _shared(values - share, first, second)
        between = num_classes / (num_classes - 1) * shared / n**2
        independent = share * (1 - share) / (n - 1)
        return cls(share, n, num_classes, n / max(1.0, between / independent), fewest)

    def as_alike_as(self, other: Share) -> Share:
        """Return the same share with the design effect of another one, if that is larger.

        Few classes show badly how alike their trials are; more classes, of which these are some,
        show it better.
        """
        if not other.is_seen:
            return self
        others = self.num_trials * other.effective / other.num_trials
        least = min(self.fewest, self.effective)
        return replace(self, effective=max(least, min(self.effective, others)))

    def interval(self, confidence: float = _LEVEL) -> tuple[float, float]:
        """Return the interval that holds the true share with `confidence`."""
        effective = self.effective
        if self.is_seen:
            trials, classes = self.num_trials - 1, self.num_classes - 1
            ratio = t_quantile(confidence, trials) / t_quantile(confidence, classes)
            effective *= min(1.0, ratio) ** 2
        return clopper_pearson(self.value * effective, effective, confidence)


def difference_interval(a: Share, b: Share, confidence: float = _LEVEL) -> tuple[float, float]:
    """Return the interval of a - b from the intervals of both, taken as independent.

    Where classes are in both, a difference is known better than this says. Source: Zou and Donner,
    Statistics in Medicine 27 (2008), the method of variance estimates recovery.

    Example:
        >>> few, many = Share(0.1, 50, 50, 50.0, 50.0), Share(0.3, 50, 50, 50.0, 50.0)
        >>> [round(end, 2) for end in difference_interval(few, many)]
        [-0.36, -0.03]
    """
    (a_low, a_high), (b_low, b_high) = a.interval(confidence), b.interval(confidence)
    difference = a.value - b.value
    below = ((a.value - a_low) ** 2 + (b_high - b.value) ** 2) ** 0.5
    above = ((a_high - a.value) ** 2 + (b.value - b_low) ** 2) ** 0.5
    return difference - below, difference + above


def difference_p_value(a: Share, b: Share) -> float:
    """Return the least 1 - confidence at which `difference_interval` leaves 0 out.

    Not below 1e-6. 1 for two equal shares.

    Example:
        >>> few, many = Share(0.1, 50, 50, 50.0, 50.0), Share(0.3, 50, 50, 50.0, 50.0)
        >>> 0.01 < difference_p_value(few, many) < 0.05
        True
    """
    if a.value == b.value:
        return 1.0
    low, high = np.log(_LEAST_P), 0.0
    for _ in range(_NUM_HALVINGS):
        middle = (low + high) / 2
        ends = difference_interval(a, b, 1 - float(np.exp(middle)))
        low, high = (low, middle) if ends[0] > 0 or ends[1] < 0 else (middle, high)
    return float(np.exp(high))


def _shared(values: np.ndarray, first: np.ndarray, second: np.ndarray) -> float:
    """Return the sum of products of the values of all two trials with a class in common."""
    classes = int(max(first.max(), second.max())) + 1
    sums = np.bincount(first, values, minlength=classes)
    is_two = first != second
    sums += np.bincount(second[is_two], values[is_two], minlength=classes)
    ends = np.sort(np.stack([first[is_two], second[is_two]]).astype(np.int64), axis=0)
    _, dyad = np.unique(ends[0] * classes + ends[1], return_inverse=True)
    twice = np.bincount(dyad, values[is_two]) if len(dyad) else np.zeros(0)
    return float(sums @ sums - twice @ twice)
