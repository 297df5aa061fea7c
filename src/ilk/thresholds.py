"""The only place where a distance is compared with a limit. Equal is accepted."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

__all__ = ["Threshold", "within"]

Array = Any


def within(distance: Array, limit: Array) -> Array:
    """Return whether `distance` is accepted by `limit`: not above it, and never for NaN.

    Example:
        >>> within(0.3, 0.3), within(0.31, 0.3), within(float("nan"), 0.3)
        (True, False, False)
    """
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
