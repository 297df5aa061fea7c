"""The only place where a distance is compared with a limit. Equal is accepted."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

__all__ = ["Threshold", "within"]

Array = Any


def within(distance: Array, limit: Array) -> Array:
    """Return whether `distance` is accepted by `limit`: not above it, and never for NaN.

    Both are compared in float64, whatever they are stored in: a limit that lies between two
    float32 numbers would else be rounded to one of them, and accept what it is to keep out.

    Example:
        >>> within(0.3, 0.3), within(0.31, 0.3), within(float("nan"), 0.3)
        (True, False, False)
    """
    if isinstance(distance, np.ndarray | np.generic):
        limit = np.float64(limit)  # a Python float would be compared in the array's own dtype
    elif hasattr(distance, "double"):
        distance = distance.double()
    return distance <= limit


@dataclass(frozen=True, kw_only=True)
class Threshold:
    """The largest accepted distance, with what it promises and where it comes from."""

    value: float
    """The largest accepted distance; equal is accepted."""
    distance: dict[str, Any]
    """`Distance.settings` of the distance it limits."""
    target_fpir: float
    """The false positive identification rate that it was chosen for."""
    num_trials: int
    """How many non-mated probes stand behind it."""
    basis: str
    """Whose distances it was chosen on, in words."""
    gallery_size: int
    """How many classes were enrolled when it was chosen."""
    fingerprint: str = ""
    """Of the encoder whose embeddings it is for."""
    num_named: int | None = None
    """How many of those trials it names; None where that was not kept."""
    num_classes: int | None = None
    """How many classes the non-mated probes are of: what the promise counts; None where that was
    not kept."""
    measured_fpir: float | None = None
    """The share of those trials that it names, every class counted the same."""
    interval: tuple[float, float] | None = None
    """Of that share: at 95 %, exact, clustered by class."""
    level: float | None = None
    """The largest p-value that gets a name: `target_fpir`, or less where a confidence was asked
    for; None where that was not kept."""
    confidence: float | None = None
    """The probability, over the draw of the classes, that the rate is kept; None: it is kept on
    average over such draws."""

    def __post_init__(self) -> None:
        """Take the interval as JSON gives it back, too."""
        if self.interval is not None:
            low, high = self.interval
            object.__setattr__(self, "interval", (float(low), float(high)))
