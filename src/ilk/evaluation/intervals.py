"""Intervals: the bootstrap by class.

Items of a class resemble each other, so ten items of one class carry less than ten items of ten
classes. What is drawn again, with replacement, is therefore whole classes; every figure of an
evaluation uses the same draws, so that figures and evaluations can be compared draw by draw.

Shapes: N items, C classes, B draws of the bootstrap, b draws at once.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import final

import numpy as np

from ilk.evaluation.figures import Figure
from ilk.evaluation.shares import FEW_CLASSES

__all__ = ["FEW_CLASSES", "ClassBootstrap", "without_empty_interval"]

_LEVEL = 0.95
_ROUNDING = 1e-12
"""So much means of zeros and ones may differ from these."""
_DRAWS_AT_ONCE = 100


@final
class ClassBootstrap:
    """Draws C classes with replacement, `num_draws` times, from a seed.

    Args:
        num_classes: C.
        num_draws: B.
        seed: The same seed gives the same draws.

    Example:
        >>> bootstrap = ClassBootstrap(50)
        >>> figure = bootstrap.mean("share", np.arange(100) % 2, np.arange(100) % 50)
        >>> figure.value, 0.3 < figure.low < 0.5 < figure.high < 0.7
        (0.5, True)
    """

    def __init__(self, num_classes: int, *, num_draws: int = 2000, seed: int = 0) -> None:
        self.num_classes = num_classes
        rng = np.random.default_rng([seed, num_classes])
        self._weights = np.empty((num_draws, num_classes), np.uint8)
        for row in self._weights:
            drawn = rng.integers(0, num_classes, num_classes)
            row[:] = np.bincount(drawn, minlength=num_classes).clip(max=255)

    def draws(self, statistic: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
        """Return the (B,) values of `statistic`, which maps (b, C) float64 weights to (b,)."""
        parts = [
            statistic(self._weights[start : start + _DRAWS_AT_ONCE].astype(np.float64))
            for start in range(0, len(self._weights), _DRAWS_AT_ONCE)
        ]
        return np.concatenate(parts)

    def mean_draws(
        self, values: np.ndarray, class_ids: np.ndarray, *, is_macro: bool = False
    ) -> np.ndarray:
        """Return the (B,) means of (N,) values, NaN left out; macro: of the class means."""
        total, number = self._per_class(values, class_ids)
        if is_macro:
            total, number = total / np.maximum(number, 1), (number > 0).astype(np.float64)
        with np.errstate(invalid="ignore"):
            return self.draws(lambda weights: (weights @ total) / (weights @ number))

    def mean(
        self,
        name: str,
        values: np.ndarray,
        class_ids: np.ndarray,
        *,
        is_macro: bool = False,
        note: str = "",
    ) -> Figure:
        """Return the mean of (N,) values as a figure; NaN marks items that do not count.

        Args:
            name: Of the figure.
            values: (N,).
            class_ids: (N,) from 0 to C - 1.
            is_macro: The mean of the class means instead, every class counting the same.
            note: Goes before what this adds.
        """
        total, number = self._per_class(values, class_ids)
        has_values = number > 0
        num_trials = int(number.sum())
        if not num_trials:
            return Figure(name, None, None, None, 0, 0, _joined(note, "nothing to count"))
        if is_macro:
            value = float((total[has_values] / number[has_values]).mean())
        else:
            value = float(total.sum() / num_trials)
        draws = self.mean_draws(values, class_ids, is_macro=is_macro)
        return self.figure(name, value, draws, num_trials, int(has_values.sum()), note=note)

    def figure(
        self,
        name: str,
        value: float,
        draws: np.ndarray,
        num_trials: int,
        num_classes: int,
        *,
        note: str = "",
    ) -> Figure:
        """Return a figure with the percentile interval of its (B,) draws.

        One class gives no interval, and fewer than five give one with a warning.
        """
        draws = draws[~np.isnan(draws)]
        if num_classes < 2 or not len(draws):
            note = _joined(note, "one class allows no interval")
            return Figure(name, value, None, None, num_trials, num_classes, note)
        if num_classes < FEW_CLASSES:
            note = _joined(note, f"interval from only {num_classes} classes: unreliable")
        low, high = np.quantile(draws, [(1 - _LEVEL) / 2, (1 + _LEVEL) / 2])
        return Figure(name, value, float(low), float(high), num_trials, num_classes, note)

    def _per_class(
        self, values: np.ndarray, class_ids: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return sum and number of the values of each class, (C,) float64."""
        counts = ~np.isnan(values)
        ids = class_ids[counts]
        total = np.bincount(ids, values[counts], minlength=self.num_classes)
        return total, np.bincount(ids, minlength=self.num_classes).astype(np.float64)


def _joined(*notes: str) -> str:
    return "; ".join(note for note in notes if note)


def without_empty_interval(figure: Figure) -> Figure:
    """Return a figure without the interval from 0 to 0, or 1 to 1, that is no certainty.

    A bootstrap draws no exception where there was none.

    Example:
        >>> without_empty_interval(Figure("fnir", 0.0, 0.0, 2.2e-16, 61, 9)).note
        'no exception was seen, so a bootstrap gives no interval'
    """
    low, high, value = figure.low, figure.high, figure.value
    if low is None or high is None or value is None or min(value, 1 - value) > _ROUNDING:
        return figure
    if high - low > _ROUNDING:
        return figure
    note = _joined(figure.note, "no exception was seen, so a bootstrap gives no interval")
    return replace(figure, low=None, high=None, note=note)
