"""From the distances of strangers and a target rate to a limit, or to a refusal; p-values.

Split conformal prediction: if the next stranger is exchangeable with the calibration strangers,
the chance that it gets a name is at most the target. Source: Vovk, Gammerman and Shafer,
Algorithmic Learning in a Random World (2005), chapter 2.

Shapes: n calibration distances, m p-values.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ilk.errors import InvalidInput, NotEnoughTrials

__all__ = ["combine_p_values", "least_rate", "limit_for_fpir", "p_value", "trials_needed"]


def trials_needed(target_fpir: float) -> int:
    """Return the fewest non-mated probes that can carry `target_fpir`: 1 / target - 1.

    Raises:
        InvalidInput: The target is not between 0 and 1.

    Example:
        >>> trials_needed(0.01), trials_needed(0.001)
        (99, 999)
    """
    if not 0 < target_fpir < 1:
        raise InvalidInput(f"target_fpir must be above 0 and below 1, got {target_fpir}")
    return math.ceil(round(1 / target_fpir - 1, 9))


def least_rate(num_trials: int) -> float:
    """Return the smallest rate that so many strangers can carry, rounded up to two digits.

    Example:
        >>> least_rate(5), least_rate(99), least_rate(0)
        (0.17, 0.01, 1.0)
    """
    scale = 1
    while 10 * (num_trials + 1) > scale:
        scale *= 10
    return -(-scale // (num_trials + 1)) / scale


def limit_for_fpir(closest: np.ndarray, target_fpir: float) -> float:
    """Return the largest distance that names at most a share `target_fpir` of strangers.

    With n calibration distances the limit lies just below the k-th smallest of them,
    k = floor(target (n + 1)). So at most k - 1 of the n are named, ties with the k-th included,
    and an exchangeable stranger is named with probability at most k / (n + 1) <= target.

    Args:
        closest: Distance from each non-mated probe to its closest enrolled class, shape (n,).
        target_fpir: The accepted rate, above 0 and below 1.

    Raises:
        NotEnoughTrials: n is below 1 / target - 1; the message says how many more are needed.
        InvalidInput: A distance is NaN, or the target is not between 0 and 1.

    Example:
        Nineteen strangers; at 10 % the second closest must stay unnamed:

        >>> limit = limit_for_fpir(np.arange(1.0, 20.0), target_fpir=0.1)
        >>> limit < 2.0, limit > 1.999
        (True, True)
    """
    needed = trials_needed(target_fpir)
    if np.isnan(closest).any():
        raise InvalidInput("a distance of a non-mated probe is NaN; remove that probe")
    if len(closest) < needed:
        raise NotEnoughTrials(
            f"a false positive identification rate of {target_fpir:g} needs at least {needed} "
            f"non-mated probes, got {len(closest)}; add {needed - len(closest)} or ask for a "
            "higher rate"
        )
    k = math.floor(round(target_fpir * (len(closest) + 1), 9))
    boundary = float(np.partition(np.asarray(closest, np.float64), k - 1)[k - 1])
    return float(np.nextafter(boundary, -np.inf))


def p_value(closest_sorted: np.ndarray, distance: Any) -> Any:
    """Return the conformal p-value of "this is a stranger": small speaks against it.

    p = (1 + number of calibration distances at most as large) / (n + 1). Of a stranger that is
    exchangeable with the calibration strangers, it is at most t with a chance of at most t. It is
    at most the target exactly when the distance is within `limit_for_fpir` for that target.

    Args:
        closest_sorted: Distance from each non-mated probe to its closest class, rising, (n,).
        distance: Of the closest class of what is asked about; a number or an array.

    Returns:
        What came for `distance`: a float for a number, float64 of the same shape for an array.
        1 for NaN and where nothing was found.

    Example:
        >>> p_value(np.arange(1.0, 20.0), 1.5)
        0.1
        >>> p_value(np.arange(1.0, 20.0), np.array([0.5, 19.0]))
        array([0.05, 1.  ])
    """
    at_most = np.searchsorted(closest_sorted, np.asarray(distance, np.float64), "right")
    p = (1 + at_most) / (len(closest_sorted) + 1)
    return p if isinstance(distance, np.ndarray) else float(p)


def combine_p_values(p_values: np.ndarray) -> Any:
    """Return one p-value for several probes of one thing, however they depend on each other.

    The geometric mean times e, at most 1; one p-value is itself. If every p-value of a stranger is
    valid, so is this, and so is any that is larger: the distances may be those to one class, chosen
    after looking. Source: Vovk and Wang, Combining p-values via averaging, Biometrika 107 (2020).

    Args:
        p_values: (m,), or (..., m) for many things at once.

    Returns:
        A float for (m,), else an array of the leading shape.

    Raises:
        InvalidInput: There are none, or one is not between 0 and 1.

    Example:
        >>> round(combine_p_values(np.array([0.01, 0.001])), 4)
        0.0086
    """
    p = np.asarray(p_values, np.float64)
    if not p.ndim or not p.shape[-1] or not ((p >= 0) & (p <= 1)).all():
        raise InvalidInput(f"expected p-values between 0 and 1, at least one, got {p_values}")
    if p.shape[-1] == 1:
        combined = p[..., 0]
    else:
        with np.errstate(divide="ignore"):
            combined = np.exp(1 + np.log(p).mean(-1)).clip(max=1)
    return combined if combined.ndim else float(combined)
