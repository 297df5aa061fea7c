"""The difference between two ways of training, each run with several seeds.

Two things vary by chance: which classes the test set happens to hold, and what the seed made of
each training. The first is the variance of the bootstrap by class of the difference of the mean
runs, the second that of the runs' means, estimated for each side from few runs. The interval
reaches as far as the square root of the sum of the three variances, each times the square of
Student's t for its own degrees of freedom: under normal errors it holds the truth at least as often
as it says, however the three are mixed. Source: Banerjee, Approximate confidence interval for
linear functions of means of k populations when the population variances are not equal, Sankhya 22
(1960). Runs with one seed on both sides are not taken as pairs: a seed makes two ways of training
alike in nothing that lasts.

Shapes: R runs of one side, B draws of the bootstrap, C classes.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Self, final

import numpy as np

from ilk.calibration.beta import t_quantile

__all__ = ["Spread"]

_NUM_HALVINGS = 40


@final
@dataclass(frozen=True)
class Spread:
    """How far the difference of two sides of several runs can be off.

    Example:
        Two runs per side that differ by 0.02, and classes that do not vary; t is 12.7:

        >>> runs = np.array([0.50, 0.52])
        >>> spread = Spread.of(np.zeros(2000), 50, runs, runs + 0.5)
        >>> round(spread.reach(0.95), 3), spread.seed_share, round(spread.p_value(0.5), 3)
        (0.18, 1.0, 0.018)
    """

    parts: tuple[tuple[float, int], ...]
    """Variance and degrees of freedom: of the classes, of the seeds of either side."""

    @classmethod
    def of(cls, draws: np.ndarray, num_classes: int, *runs: np.ndarray) -> Self:
        """Measure it.

        Args:
            draws: The difference in each draw of the bootstrap by class, (B,).
            num_classes: C, at least 2.
            runs: For each side the mean of each of its runs, (R,), at least 2.
        """
        by_class = float(draws.var()) * num_classes / (num_classes - 1)
        by_seed = ((float(means.var(ddof=1)) / len(means), len(means) - 1) for means in runs)
        return cls(((by_class, num_classes - 1), *by_seed))

    @property
    def seed_share(self) -> float:
        """The share of the variance that is the seeds'; 0 where nothing varies."""
        variance = sum(part for part, _ in self.parts)
        return 1 - self.parts[0][0] / variance if variance > 0 else 0.0

    def reach(self, confidence: float) -> float:
        """Return how far an interval of that confidence reaches to both sides."""
        return math.sqrt(
            sum(part * t_quantile(confidence, degrees) ** 2 for part, degrees in self.parts)
        )

    def p_value(self, difference: float) -> float:
        """Return the two-sided p-value of no difference: what leaves 0 just inside."""
        if difference == 0:
            return 1.0
        low, high = 0.0, 1.0
        for _ in range(_NUM_HALVINGS):
            middle = (low + high) / 2
            is_inside = self.reach(1 - middle) >= abs(difference) if middle > 1e-12 else True
            low, high = (middle, high) if is_inside else (low, middle)
        return high
