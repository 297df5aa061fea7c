"""What a threshold keeps and costs: now, and when the gallery has grown.

Two things are measured: the FPIR of the calibration strangers themselves, and the FNIR of enrolled
exemplars, each asked about with itself left out. What is said of a larger gallery is extrapolated
from those, as if it grew by classes like the ones that it has.

Shapes: n strangers, M exemplars that are asked about.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, final

import numpy as np

from ilk.calibration import StrangerDistances, clustered_interval, fpir_at_size, limit_at_size
from ilk.closest import Members
from ilk.errors import NotEnoughTrials
from ilk.gallery.calibrator import Calibrator
from ilk.gallery.leave_one_out import LeftOut, leave_one_out
from ilk.searcher import Searcher
from ilk.thresholds import Threshold, within

__all__ = ["CalibrationReport", "Rate", "calibration_report"]

_MEASURED_FPIR = "measured on the strangers that the threshold was chosen on"
_MEASURED_FNIR = "measured on exemplars, each left out of its class while asked about"
_HELD = "extrapolated, if today's threshold were held"
_FOLLOWING = "extrapolated, with the threshold that would keep the target"
_NO_PAIRS = "not known: no class has two exemplars"
_NOT_EVERY = "not known: classes are matched by other templates than their exemplars"


@final
@dataclass(frozen=True, kw_only=True)
class Rate:
    """A share of probes, and what stands behind it."""

    value: float | None
    """None where there is nothing to tell it from; the note says why."""
    low: float | None = None
    high: float | None = None
    """The interval at 95 %, clustered by class; of an extrapolated FPIR, that of the measured rate
    carried over; None where it is not known."""
    num_trials: int = 0
    num_classes: int = 0
    is_extrapolated: bool
    """Whether it is a plan instead of a measurement."""
    note: str
    """Where it comes from, in words."""


@final
@dataclass(frozen=True, kw_only=True)
class CalibrationReport:
    """FPIR and FNIR of a gallery as it is, and at `factor` times as many classes."""

    threshold: Threshold
    factor: float
    fpir: Rate
    fnir: Rate
    fpir_held: Rate
    """At `factor` times the size, if today's threshold were held."""
    fnir_held: Rate
    """At `factor` times the size, if today's threshold were held."""
    limit_following: float | None
    """The threshold that would keep the target at `factor` times the size; None if the strangers
    are too few to tell."""
    fpir_following: Rate
    """At `factor` times the size and that threshold."""
    fnir_following: Rate
    """At `factor` times the size and that threshold."""

    def as_dict(self) -> dict[str, Any]:
        """Return all of it, fit for JSON."""
        return asdict(self)


def calibration_report(
    threshold: Threshold,
    calibrator: Calibrator,
    searcher: Searcher,
    members: Members,
    *,
    factor: float = 10.0,
    is_every: bool = True,
    seed: int = 0,
) -> CalibrationReport:
    """Return what a threshold keeps and costs.

    Args:
        threshold: Of the calibrator.
        calibrator: Up to date with searcher and members.
        searcher: The rows of the gallery.
        members: What they are.
        factor: How many times as many classes to look ahead to.
        is_every: Whether every exemplar is a template. If not, the rows do not show what a class
            would be without one of its exemplars, and no FNIR is told.
        seed: Of the sample of exemplars, at most 2,000.
    """
    strangers = calibrator.distances
    left_out = leave_one_out(searcher, members, seed=seed) if is_every else None
    stays = None
    if left_out is not None:
        stays = _stays_closest(strangers, left_out.distance, factor)
    try:
        following, note = limit_at_size(strangers, threshold.target_fpir, factor), _FOLLOWING
    except NotEnoughTrials as error:
        following, note = None, f"not known: {error}"
    return CalibrationReport(
        threshold=threshold,
        factor=factor,
        fpir=_fpir(threshold),
        fnir=_fnir(left_out, threshold.value, _MEASURED_FNIR),
        fpir_held=_fpir_held(threshold, factor),
        fnir_held=_fnir(left_out, threshold.value, _HELD, stays),
        limit_following=following,
        fpir_following=_fpir_following(threshold, strangers, following, factor, note),
        fnir_following=_fnir(left_out, following, note, stays),
    )


def _stays_closest(strangers: StrangerDistances, distance: np.ndarray, factor: float) -> np.ndarray:
    """Extrapolate the chance that a class at `distance` is still the closest, (M,).

    A class that is added is closer with the chance that those of today have among strangers.
    """
    stays: np.ndarray = (1 - strangers.fpir(distance)) ** (factor - 1)
    return stays


def _fpir(threshold: Threshold) -> Rate:
    low, high = threshold.interval or (None, None)
    return Rate(
        value=threshold.measured_fpir,
        low=low,
        high=high,
        num_trials=threshold.num_trials,
        num_classes=threshold.num_classes or 0,
        is_extrapolated=False,
        note=_MEASURED_FPIR,
    )


def _fpir_held(threshold: Threshold, factor: float) -> Rate:
    now = _fpir(threshold)
    value, low, high = (
        None if share is None else fpir_at_size(share, factor)
        for share in (now.value, now.low, now.high)
    )
    return Rate(
        value=value,
        low=low,
        high=high,
        num_trials=now.num_trials,
        num_classes=now.num_classes,
        is_extrapolated=True,
        note=_HELD,
    )


def _fpir_following(
    threshold: Threshold,
    strangers: StrangerDistances,
    following: float | None,
    factor: float,
    note: str,
) -> Rate:
    value = None
    if following is not None:
        value = fpir_at_size(strangers.fpir(following), factor)
    return Rate(
        value=value,
        num_trials=threshold.num_trials,
        num_classes=threshold.num_classes or 0,
        is_extrapolated=True,
        note=note,
    )


def _fnir(
    left_out: LeftOut | None,
    limit: float | None,
    note: str,
    stays: np.ndarray | None = None,
) -> Rate:
    """Return the share of exemplars that miss their name; extrapolated if `stays` is given."""
    is_extrapolated = stays is not None
    if left_out is None or not len(left_out) or limit is None:
        why = note if limit is None else (_NOT_EVERY if left_out is None else _NO_PAIRS)
        return Rate(value=None, is_extrapolated=is_extrapolated, note=why)
    is_hit = left_out.is_own & within(left_out.distance, limit)
    low = high = None
    if stays is None:
        low, high = clustered_interval(~is_hit, left_out.class_ids)
    return Rate(
        value=float(1 - np.mean(is_hit if stays is None else is_hit * stays)),
        low=low,
        high=high,
        num_trials=len(left_out),
        num_classes=len(np.unique(left_out.class_ids)),
        is_extrapolated=is_extrapolated,
        note=note,
    )
