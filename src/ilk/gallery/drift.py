"""Drift: do the strangers that come now look like those that the gallery was calibrated on?

Shapes: N kept unknown probes, n calibration probes.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal, final

import numpy as np

from ilk.calibration.kolmogorov import kolmogorov_smirnov, largest_gaps
from ilk.closest import closest_classes
from ilk.gallery import commands
from ilk.gallery.access import Access
from ilk.gallery.inbox import clusters
from ilk.gallery.state import State
from ilk.store import UnknownRow
from ilk.thresholds import within

__all__ = ["Drift", "Verdict", "drift"]

Verdict = Literal["too few", "no sign", "closer", "farther"]
"""What can be said about the strangers of now, beside those of the calibration."""

_LEVEL = 0.01
"""A difference that chance would make less often than this is a sign."""

_LEAST = 20
"""With fewer strangers on a side nothing is said."""

_REASONS: dict[Verdict, str] = {
    "too few": "{told}",
    "no sign": "no sign of a drift: {told}",
    "closer": "strangers come closer than those it was calibrated on ({told}), so more of them may "
    "be given a name than promised: recalibrate on strangers of now with `{command}`",
    "farther": "strangers stay farther away than those it was calibrated on ({told}); the promise "
    "holds, and the threshold may be stricter than it need be: recalibrate on strangers of now "
    "with `{command}`",
}


@final
@dataclass(frozen=True, kw_only=True)
class Drift:
    """What the distances of recent strangers say about the calibration."""

    verdict: Verdict
    reason: str
    """The verdict in words."""
    command: str
    """What to do about it; empty for nothing."""
    num_strangers: int
    """How many recent strangers were compared: one per cluster of kept unknown probes."""
    num_trials: int
    """How many calibration probes beyond the threshold they were compared with."""
    effective_trials: float
    """As how many independent ones these count: probes of one class resemble each other."""
    gap: float | None
    """By how much the share of strangers up to some distance differs from that of the calibration,
    at most; positive if strangers are closer. None if there are too few."""
    p_value: float | None
    """The chance of so large a gap without any drift."""

    def to_json(self) -> dict[str, Any]:
        """Return all of it as JSON values."""
        return asdict(self)


def drift(access: Access, *, last: int = 1000) -> Drift:
    """Compare the kept unknown probes with the calibration probes, both as the gallery is now.

    Only probes beyond the threshold are ever kept, so the calibration probes beyond it are what
    they are compared with. Their distances to the closest class are compared by the two-sample test
    of Kolmogorov and Smirnov, at a level of 1 %. Of each cluster of unknown probes only the first
    counts, so that one stranger who comes often is one stranger; a calibration class of several
    probes counts as one trial in the p-value, which errs towards "no sign". Probes that were named
    or discarded meanwhile are missing; ask before you tidy up.

    Args:
        access: To the gallery.
        last: How many of the kept probes are looked at, the latest; at most 4,000.

    Raises:
        NotCalibrated: There is no threshold.
    """
    with access.fresh() as state, state.store.reading() as reader:
        limit = state.threshold.value
        recent = _recent(state, reader.unknowns()[-min(max(last, 1), 4000) :])
        recent = recent[~within(recent, limit)]
        calibrator = state.calibrator
        kept = calibrator.is_kept if calibrator is not None else np.zeros(0, bool)
        closest = calibrator.closest[kept] if calibrator is not None else np.zeros(0)
        groups = calibrator.groups[kept] if calibrator is not None else np.zeros(0, np.int64)
    is_beyond = ~within(closest, limit)
    _, sizes = np.unique(groups[is_beyond], return_counts=True)
    effective = float(sizes.sum() ** 2 / (sizes @ sizes)) if len(sizes) else 0.0
    return _judge(recent, closest[is_beyond], effective, str(access.location))


def _recent(state: State, rows: list[UnknownRow]) -> np.ndarray:
    """Return the distance to its closest class of the first probe of each cluster."""
    if not rows:
        return np.zeros(0)
    embeddings = np.stack([row.embedding for row in rows])
    first = np.unique(clusters(state, embeddings)[1])
    live = state.live
    return closest_classes(live.searcher, live.members, embeddings[first]).distances[:, 0]


def _judge(recent: np.ndarray, closest: np.ndarray, effective: float, location: str) -> Drift:
    verdict: Verdict = "too few"
    gap = p = None
    told = (
        f"{len(recent)} strangers and {int(effective)} independent calibration probes are too "
        f"few to say; it takes {_LEAST} of each"
    )
    if len(recent) >= _LEAST and effective >= _LEAST:
        above, below = largest_gaps(recent, closest)
        gap = above if above >= below else -below
        p = kolmogorov_smirnov(abs(gap), len(recent), effective)
        verdict = "no sign" if p > _LEVEL else "closer" if gap > 0 else "farther"
        told = f"p = {p:.2g} over {len(recent)} strangers and {len(closest)} calibration probes"
    command = commands.calibrate(location) if verdict in ("closer", "farther") else ""
    return Drift(
        verdict=verdict,
        reason=_REASONS[verdict].format(told=told, command=command),
        command=command,
        num_strangers=len(recent),
        num_trials=len(closest),
        effective_trials=effective,
        gap=gap,
        p_value=p,
    )
