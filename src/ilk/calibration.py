"""From the distances of strangers and a target rate to a threshold, or to a refusal.

Split conformal prediction: if the next stranger is exchangeable with the calibration strangers,
the chance that it gets a name is at most the target. Source: Vovk, Gammerman and Shafer,
Algorithmic Learning in a Random World (2005), chapter 2.
"""

from __future__ import annotations

import math

import numpy as np

from ilk.errors import InvalidInput, NotEnoughTrials

__all__ = ["limit_for_fpir", "trials_needed"]


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
