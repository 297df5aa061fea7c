"""Axes of a chart: values to positions, and the ticks a person expects there."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from statistics import NormalDist
from typing import final

__all__ = ["Axis", "deviate_axis", "linear_axis", "log_axis", "share_axis"]

_DEVIATE_TICKS = (0.0001, 0.001, 0.005, 0.02, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 0.95, 0.99)


@final
@dataclass(frozen=True)
class Axis:
    """A stretch of values, how they are spread along it, and where it is marked."""

    label: str
    low: float
    high: float
    ticks: tuple[tuple[float, str], ...]
    """Where, and what is written there."""
    spread: Callable[[float], float] = float
    """Increasing; equal steps of it are equal lengths on the page."""

    def place(self, value: float) -> float:
        """Return where `value` lies, 0 at the low end, 1 at the high end; beyond is clipped.

        Example:
            >>> round(log_axis("rate", 0.001, 1.0).place(0.1), 3), share_axis("share").place(7.0)
            (0.667, 1.0)
        """
        clipped = min(max(value, self.low), self.high)
        start, end = self.spread(self.low), self.spread(self.high)
        return (self.spread(clipped) - start) / (end - start)


def share_axis(label: str) -> Axis:
    """Return an axis from 0 to 100 %."""
    return Axis(label, 0.0, 1.0, tuple((i / 5, f"{20 * i} %") for i in range(6)))


def linear_axis(label: str, values: Iterable[float]) -> Axis:
    """Return an axis that holds all finite values, with round ticks from 4 to 8 in number.

    Example:
        >>> axis = linear_axis("distance", [0.03, 0.97])
        >>> axis.low, axis.high, [text for _, text in axis.ticks]
        (0.0, 1.0, ['0.0', '0.2', '0.4', '0.6', '0.8', '1.0'])
    """
    finite = [value for value in values if math.isfinite(value)] or [0.0, 1.0]
    low, high = min(finite), max(finite)
    if high - low <= 1e-9 * max(1.0, abs(high)):
        low, high = low - 0.5, high + 0.5
    step = _round_step((high - low) / 5)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    digits = max(0, -math.floor(math.log10(step) + 1e-9))
    ticks = tuple((i * step, f"{i * step:.{digits}f}") for i in range(first, last + 1))
    return Axis(label, first * step, last * step, ticks)


def log_axis(label: str, low: float, high: float) -> Axis:
    """Return an axis of rates whose powers of ten are equally far apart; 0 < low < high."""
    first, last = math.floor(math.log10(low) + 1e-9), math.ceil(math.log10(high) - 1e-9)
    last = max(last, first + 1)
    ticks = tuple((10.0**i, f"{100 * 10.0**i:.6g} %") for i in range(first, last + 1))
    return Axis(label, 10.0**first, 10.0**last, ticks, math.log10)


def deviate_axis(label: str, low: float, high: float) -> Axis:
    """Return an axis of rates on the normal-deviate scale of DET curves; 0 < low < high < 1.

    On it the curve of two normal distributions of equal width is a straight line.
    Source: Martin et al., The DET curve in assessment of detection task performance (1997).
    """
    ticks = tuple((t, f"{100 * t:g} %") for t in _DEVIATE_TICKS if low <= t <= high)
    return Axis(label, low, high, ticks, NormalDist().inv_cdf)


def _round_step(step: float) -> float:
    power = 10.0 ** math.floor(math.log10(step))
    return next(m * power for m in (1.0, 2.0, 5.0, 10.0) if step <= m * power * (1 + 1e-9))
