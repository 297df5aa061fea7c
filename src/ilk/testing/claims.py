"""What every kit says: a claim that must hold, numbers that must agree, fixed random rows."""

from __future__ import annotations

from typing import Any

import numpy as np

__all__ = ["D", "claim", "close", "normal"]

D = 6
"""The embedding size of the kits."""


def normal(num_rows: int, *, seed: int) -> np.ndarray:
    """Return (num_rows, D) normal float64, the same for the same seed."""
    return np.random.default_rng(seed).normal(size=(num_rows, D))


def claim(is_true: bool, otherwise: str) -> None:
    """Raise an `AssertionError` unless it is true."""
    if not is_true:
        raise AssertionError(otherwise)


def close(what: str, got: Any, expected: Any, slack: float) -> None:
    """Raise an `AssertionError` if numbers differ by more than `slack`, or are not numbers."""
    gap = float(np.max(np.abs(np.asarray(got) - np.asarray(expected)), initial=0.0))
    if not gap <= slack:
        raise AssertionError(f"{what} must agree to {slack:g}, they differ by {gap:g}")
