"""From the distances of strangers and a target rate to a limit, or to a refusal; p-values.

The unit is the class. A stranger is a new class, and pictures of one class resemble each other, so
ten pictures of one stranger say less about the next stranger than one picture each of ten. Of K
classes of strangers each has the mass 1 / (K + 1), spread evenly over its probes; the class that is
yet to come has the same mass and is counted first, below all distances.

Promised is the rate for a random probe of a random new class, on average over draws of the K
classes: if the new class is exchangeable with those of the calibration (how many probes it has is
part of what is drawn), it is at most the target, however the probes of a class depend on each other
and however unequal the classes are. With one probe per class it is split conformal prediction.
Sources: Lee, Barber and Willett, Distribution-free inference with hierarchical data (2023); Vovk,
Gammerman and Shafer, Algorithmic Learning in a Random World (2005), chapter 2.

Shapes: n calibration distances, of K classes; m p-values.
"""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Any, final

import numpy as np

from ilk.calibration.confidence import allowed_at_confidence, classes_for_confidence
from ilk.errors import InvalidInput, NotEnoughTrials

__all__ = [
    "StrangerDistances",
    "classes_needed",
    "combine_p_values",
    "least_rate",
    "limit_for_fpir",
    "require_classes",
]


_UNITS = 10**9
"""Parts of a class: counted in whole numbers, so that a p-value meets its target exactly."""

_ROUNDING = 1e-3
"""So much of a unit is taken for rounding: a sum of thirds that ought to be 1."""


def classes_needed(
    target_fpir: float, *, num_first: int = 1, confidence: float | None = None
) -> int:
    """Return the fewest classes of strangers that can carry `target_fpir`.

    Args:
        target_fpir: The accepted rate: 1 / target - 1 classes carry it on average.
        num_first: As in `StrangerDistances`.
        confidence: As in `StrangerDistances.limit`.

    Raises:
        InvalidInput: The target or the confidence is not between 0 and 1.

    Example:
        >>> classes_needed(0.01), classes_needed(0.001), classes_needed(0.01, confidence=0.95)
        (99, 999, 299)
    """
    if not 0 < target_fpir < 1:
        raise InvalidInput(f"target_fpir must be above 0 and below 1, got {target_fpir}")
    on_average = math.ceil(round(num_first / target_fpir - 1, 9))
    if confidence is None:
        return on_average
    return max(on_average, classes_for_confidence(target_fpir, confidence))


def least_rate(num_classes: int, *, num_first: int = 1) -> float:
    """Return the smallest rate that so many classes can carry on average, rounded up to two digits.

    Example:
        >>> least_rate(5), least_rate(99), least_rate(0)
        (0.17, 0.01, 1.0)
    """
    scale = 1
    while 10 * (num_classes + 1) > scale * num_first:
        scale *= 10
    return min(1.0, -(-scale * num_first // (num_classes + 1)) / scale)


def require_classes(
    num_classes: int,
    num_trials: int,
    target_fpir: float,
    *,
    num_first: int = 1,
    confidence: float | None = None,
) -> None:
    """Refuse classes that are too few for a rate.

    Args:
        num_classes: How many there are.
        num_trials: How many probes of them.
        target_fpir: The accepted rate.
        num_first: As in `StrangerDistances`.
        confidence: As in `StrangerDistances.limit`.

    Raises:
        NotEnoughTrials: They are; the message says how many are missing and which rate they carry.
        InvalidInput: The target or the confidence is not between 0 and 1.
    """
    needed = classes_needed(target_fpir, num_first=num_first, confidence=confidence)
    if num_classes >= needed:
        return
    sure = "" if confidence is None else f" with a confidence of {confidence:g}"
    least = least_rate(num_classes, num_first=num_first)
    instead = f", or ask for {least:g} or above" if confidence is None and least < 1 else ""
    raise NotEnoughTrials(
        f"a false positive identification rate of {target_fpir:g}{sure} needs at least {needed:,} "
        f"classes of strangers, got {num_classes:,} ({num_trials:,} probes); add "
        f"{needed - num_classes:,}{instead}"
    )


@final
class StrangerDistances:
    """Distances of calibration strangers, rising, with how many classes lie up to each.

    Args:
        closest: Distance from each non-mated probe to its closest enrolled class, (n,).
        groups: The class of each probe, (n,) int64; None takes each for a class of its own.
        num_first: How many classes are counted below all distances: the one that is yet to come,
            and where enrolled classes stand in for strangers one more (see `Calibrator`).

    Raises:
        InvalidInput: The shapes differ, or a distance is NaN.

    Example:
        Four probes of two classes: half a class each time.

        >>> strangers = StrangerDistances(np.array([3.0, 1.0, 2.0, 4.0]), np.array([7, 7, 8, 8]))
        >>> strangers.rising.tolist(), strangers.num_below.tolist(), strangers.num_classes
        ([1.0, 2.0, 3.0, 4.0], [0.5, 1.0, 1.5, 2.0], 2)
    """

    def __init__(
        self, closest: np.ndarray, groups: np.ndarray | None = None, *, num_first: int = 1
    ) -> None:
        wide = np.asarray(closest, np.float64)
        if wide.ndim != 1 or (groups is not None and groups.shape != wide.shape):
            of_groups = "none" if groups is None else groups.shape
            raise InvalidInput(
                f"expected distances and groups of one shape (n,), got {wide.shape} and {of_groups}"
            )
        if np.isnan(wide).any():
            raise InvalidInput("a distance of a non-mated probe is NaN; remove that probe")
        share = np.ones(len(wide))
        self.num_classes = len(wide)
        """K."""
        if groups is not None:
            _, class_of, sizes = np.unique(groups, return_inverse=True, return_counts=True)
            share, self.num_classes = 1 / sizes[class_of], len(sizes)
        order = np.lexsort((share, wide))  # ties by share: the sum does not depend on the order
        self.rising = wide[order]
        """(n,) distances, rising."""
        self._units = np.floor(np.cumsum(share[order]) * _UNITS + _ROUNDING).astype(np.int64)
        self.num_first = num_first
        self.has_singles = self.num_classes == len(wide)
        """Whether every class has one probe."""

    def __len__(self) -> int:
        """Return n."""
        return len(self.rising)

    @property
    def num_below(self) -> np.ndarray:
        """(n,) how many classes, in parts, lie up to each distance."""
        return self._units / _UNITS

    def allowed(self, target_fpir: float, confidence: float | None = None) -> float:
        """Return how many classes, in parts, may lie up to the limit for a rate.

        Raises:
            NotEnoughTrials: The classes cannot carry the rate; the message says how many are
                missing and which rate they can carry.
            InvalidInput: The target or the confidence is not between 0 and 1.
        """
        num_classes, first = self.num_classes, self.num_first
        require_classes(num_classes, len(self), target_fpir, num_first=first, confidence=confidence)
        units = Fraction(str(target_fpir)) * (num_classes + 1) * _UNITS + Fraction(_ROUNDING)
        on_average = max(0, math.floor(units) - first * _UNITS) / _UNITS
        if confidence is None:
            return on_average
        sure_of = allowed_at_confidence(
            num_classes, target_fpir, confidence, has_singles=self.has_singles
        )
        return min(on_average, sure_of)

    def level(self, target_fpir: float, confidence: float | None = None) -> float:
        """Return the largest p-value that gets a name: the target, or less for a confidence.

        Raises:
            NotEnoughTrials: As in `allowed`.
            InvalidInput: As in `allowed`.
        """
        allowed = self.allowed(target_fpir, confidence)
        if confidence is None:
            return target_fpir
        return (self.num_first + allowed) / (self.num_classes + 1)

    def limit(self, target_fpir: float, confidence: float | None = None) -> float:
        """Return the largest distance that names at most a share `target_fpir` of strangers.

        It lies just below the smallest distance up to which, ties included, more classes lie than
        are `allowed`.

        Args:
            target_fpir: The accepted rate, above 0 and below 1.
            confidence: None promises the rate on average over draws of the strangers. Otherwise
                the probability, over the draw of independent classes, that the rate is kept.

        Raises:
            NotEnoughTrials: As in `allowed`.
            InvalidInput: As in `allowed`.
        """
        is_beyond = self._units > math.floor(self.allowed(target_fpir, confidence) * _UNITS + 0.5)
        boundary = self.rising[is_beyond.argmax()] if is_beyond.any() else np.inf
        return float(np.nextafter(boundary, -np.inf))

    def fpir(self, limit: Any) -> Any:
        """Return the share of these strangers within a limit, every class counted the same.

        Args:
            limit: A number or an array.

        Returns:
            What came for `limit`: a float for a number, float64 of the same shape for an array.

        Raises:
            InvalidInput: There are no strangers: a rate of nothing is not 0.
        """
        if not len(self):
            raise InvalidInput("expected at least one stranger, got none")
        share = self._units_up_to(limit) / (self.num_classes * _UNITS)
        return share if isinstance(limit, np.ndarray) else float(share)

    def p_value(self, distance: Any) -> Any:
        """Return the conformal p-value of "this is a stranger": small speaks against it.

        p = (1 + number of classes, in parts, at most as far) / (K + 1). Of a random probe of a
        class that is exchangeable with these, it is at most t with a chance of at most t. It is at
        most the target exactly when the distance is within `limit` for that target.

        Args:
            distance: Of the closest class of what is asked about; a number or an array.

        Returns:
            What came for `distance`: a float for a number, float64 of the same shape for an array.
            1 for NaN and where nothing was found.

        Example:
            >>> strangers = StrangerDistances(np.arange(1.0, 20.0))
            >>> strangers.p_value(1.5), strangers.p_value(np.array([0.5, 19.0])).tolist()
            (0.1, [0.05, 1.0])
        """
        units = self.num_first * _UNITS + self._units_up_to(distance)
        p = np.minimum(units / ((self.num_classes + 1) * _UNITS), 1.0)
        return p if isinstance(distance, np.ndarray) else float(p)

    def _units_up_to(self, distance: Any) -> np.ndarray:
        at = np.searchsorted(self.rising, np.asarray(distance, np.float64), "right")
        units: np.ndarray = np.append(0, self._units)[at]
        return units


def limit_for_fpir(
    closest: np.ndarray, target_fpir: float, groups: np.ndarray | None = None
) -> float:
    """Return the largest distance that names at most a share `target_fpir` of strangers.

    See `StrangerDistances.limit`.

    Args:
        closest: Distance from each non-mated probe to its closest enrolled class, (n,).
        target_fpir: The accepted rate, above 0 and below 1.
        groups: The class of each probe, (n,); None takes each for a class of its own.

    Raises:
        NotEnoughTrials: The classes are fewer than 1 / target - 1.
        InvalidInput: A distance is NaN, or the target is not between 0 and 1.

    Example:
        Nineteen strangers; at 10 % the second closest must stay unnamed:

        >>> limit = limit_for_fpir(np.arange(1.0, 20.0), target_fpir=0.1)
        >>> limit < 2.0, limit > 1.999
        (True, True)

        Nineteen classes of two: half of one class may be named, besides the one to come.

        >>> limit = limit_for_fpir(np.arange(1.0, 39.0), 0.075, groups=np.arange(38) // 2)
        >>> limit < 2.0, limit > 1.999
        (True, True)
    """
    return StrangerDistances(closest, groups).limit(target_fpir)


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
