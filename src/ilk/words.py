"""Numbers and thresholds in words, for people."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ilk.thresholds import Threshold

__all__ = ["counted", "percent", "told_threshold"]


def counted(count: int, singular: str, plural: str = "") -> str:
    """Return a number with its noun.

    Example:
        >>> counted(1, "class", "classes"), counted(1200, "exemplar")
        ('1 class', '1,200 exemplars')
    """
    return f"{count:,} {singular if count == 1 else plural or singular + 's'}"


def percent(share: float) -> str:
    """Return a share as a percentage with two significant digits, or more where that is whole.

    Example:
        >>> percent(0.01), percent(0.0123), percent(0.34567), percent(1.0), percent(0.0)
        ('1 %', '1.2 %', '35 %', '100 %', '0 %')
    """
    value = 100 * share
    return f"{value:.0f} %" if value >= 10 else f"{value:.2g} %"


def told_threshold(threshold: Threshold) -> str:
    """Return a threshold in words: value, promise, and who stands behind it."""
    name = threshold.distance.get("name", "")
    words = (
        f"{threshold.value:.4g} ({name} distance), so that at most "
        f"{percent(threshold.target_fpir)} of strangers get a name; chosen on "
        f"{counted(threshold.num_trials, 'stranger')}"
    )
    if threshold.num_classes is not None:
        words += f" of {counted(threshold.num_classes, 'class', 'classes')}"
    words += f" ({threshold.basis})"
    if threshold.num_named is not None and threshold.interval is not None:
        low, high = threshold.interval
        words += (
            f", of whom it names {threshold.num_named:,} (95 %: {percent(low)} to {percent(high)})"
        )
    return words
