"""What becomes of a rate when the gallery grows by classes like those that it has.

If each of f galleries of the same size named a stranger independently and at the same rate, all of
them together would name it at 1 - (1 - rate)^f. Strangers differ, and those that are named by one
are more likely to be named by the next, so less becomes of the rate than this says, as long as the
classes to come are like those of today. It is a plan and no measurement; whatever is computed here
is to be called extrapolated. Source: Daugman, Biometric decision landscapes (2000).
"""

from __future__ import annotations

import math

from ilk.calibration.conformal import StrangerDistances, classes_needed
from ilk.errors import InvalidInput, NotEnoughTrials

__all__ = ["fpir_at_size", "limit_at_size", "target_at_size"]


def fpir_at_size(fpir: float, factor: float) -> float:
    """Extrapolate a rate to `factor` times as many classes, with the threshold held.

    Raises:
        InvalidInput: The rate is no share, or the factor is not above 0 and finite.

    Example:
        One in a hundred becomes almost one in ten:

        >>> round(fpir_at_size(0.01, 10), 4)
        0.0956
    """
    _check(fpir, factor)
    return float(-math.expm1(factor * math.log1p(-fpir))) if fpir < 1 else 1.0


def target_at_size(target_fpir: float, factor: float) -> float:
    """Return the rate to ask for now that becomes `target_fpir` at `factor` times as many classes.

    Example:
        >>> round(target_at_size(0.01, 10), 6)
        0.001005
    """
    _check(factor=factor, fpir=target_fpir)
    return fpir_at_size(target_fpir, 1 / factor)


def limit_at_size(strangers: StrangerDistances, target_fpir: float, factor: float) -> float:
    """Extrapolate the largest distance that keeps `target_fpir` at `factor` times as many classes.

    It is the limit for the smaller rate that may be spent on each part of the gallery to be.

    Args:
        strangers: Their distances to the closest class of today's gallery.
        target_fpir: The accepted rate.
        factor: How many times as many classes.

    Raises:
        NotEnoughTrials: They cannot carry the smaller rate; the message says how many more it
            takes.
        InvalidInput: As in `limit_for_fpir`.

    Example:
        >>> strangers = StrangerDistances(np.arange(1.0, 2000.0))
        >>> strangers.limit(0.01) < 20, limit_at_size(strangers, 0.01, 10) < 2
        (True, True)
        >>> limit_at_size(StrangerDistances(np.arange(1.0, 501.0)), 0.01, 10)
        Traceback (most recent call last):
        ...
        ilk.errors.NotEnoughTrials: keeping a false positive identification rate of 0.01 at 10 times
        the size needs at least 995 classes of strangers, got 500; add 495
    """
    target = target_at_size(target_fpir, factor)
    needed = classes_needed(target, num_first=strangers.num_first)
    if strangers.num_classes < needed:
        raise NotEnoughTrials(
            f"keeping a false positive identification rate of {target_fpir:g} at {factor:g} times "
            f"the size needs at least {needed:,} classes of strangers, got "
            f"{strangers.num_classes:,}; add {needed - strangers.num_classes:,}"
        )
    return strangers.limit(target)


def _check(fpir: float, factor: float) -> None:
    if not 0 <= fpir <= 1:
        raise InvalidInput(f"a rate must be between 0 and 1, got {fpir}")
    if not 0 < factor < math.inf:
        raise InvalidInput(f"factor must be above 0 and finite, got {factor}")
