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

_QUANTILE = 0.95
_PROBES_OF_A_CLASS, _CLASSES = 20, 500
"""So many of each class, and so many classes, show how far apart probes of a class are."""

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
    """As how many classes of equal weight these count."""
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
    of Kolmogorov and Smirnov, at a level of 1 %. It counts classes, like the promise: every class
    has the same weight, spread over its probes, and the p-value is that of so many single probes,
    which errs towards "no sign". Who of the unknown probes is the same stranger is not known: those
    that a chain joins, of steps no longer than 19 of 20 distances within a class, are one. Such
    distances are those of the calibration's classes of several probes, or else of the enrolled;
    without either, clusters are those of `proposals`. Probes that were named or discarded meanwhile
    are missing; ask before you tidy up.

    Args:
        access: To the gallery.
        last: How many of the kept probes are looked at, the latest; at most 4,000.

    Raises:
        NotCalibrated: There is no threshold.
    """
    with access.fresh() as state, state.store.reading() as reader:
        limit, calibrator = state.threshold.value, state.strangers()
        recent, cluster = _recent(state, reader.unknowns()[-min(max(last, 1), 4000) :], limit)
        closest, groups = (
            values[calibrator.is_kept] for values in (calibrator.closest, calibrator.groups)
        )
    _, class_of, sizes = np.unique(groups, return_inverse=True, return_counts=True)
    is_beyond = ~within(closest, limit)
    shares = np.bincount(class_of, is_beyond, minlength=len(sizes)) / np.maximum(sizes, 1)
    effective = float(shares.sum() ** 2 / (shares @ shares)) if shares.any() else 0.0
    weights = (1 / sizes[class_of])[is_beyond] if len(sizes) else np.zeros(0)
    return _judge(recent, cluster, closest[is_beyond], weights, effective, str(access.location))


def _recent(state: State, rows: list[UnknownRow], limit: float) -> tuple[np.ndarray, np.ndarray]:
    """Return the distances of the probes beyond the threshold, and which stranger each is of."""
    if not rows:
        return np.zeros(0), np.zeros(0, np.int64)
    embeddings = np.stack([row.embedding for row in rows])
    live = state.live
    closest = closest_classes(live.searcher, live.members, embeddings).distances[:, 0]
    is_beyond = ~within(closest, limit)
    if not is_beyond.any():
        return np.zeros(0), np.zeros(0, np.int64)
    distances, cluster = clusters(state, embeddings[is_beyond])
    step = _step_within_a_class(state)
    if step is not None:
        cluster = _chains(distances, step)
    return closest[is_beyond], np.unique(cluster, return_inverse=True)[1]


def _step_within_a_class(state: State) -> float | None:
    """Return what 19 of 20 distances within a class are at most, each class the same; or None."""
    calibrator = state.strangers()
    for embeddings, groups in (
        (calibrator.embeddings[calibrator.is_kept], calibrator.groups[calibrator.is_kept]),
        _enrolled(state),
    ):
        order = np.argsort(groups, kind="stable")
        starts = np.flatnonzero(np.diff(groups[order], prepend=-1))
        parts = [part[:_PROBES_OF_A_CLASS] for part in np.split(order, starts[1:]) if len(part) > 1]
        longest = []
        for part in parts[:_CLASSES]:
            rows = embeddings[part].astype(np.float64)
            pairs = state.binding.distance.pairwise(rows, rows)[np.triu_indices(len(part), 1)]
            longest.append(np.quantile(pairs, _QUANTILE, method="higher"))
        if longest:
            return float(np.quantile(longest, _QUANTILE, method="higher"))
    return None


def _enrolled(state: State) -> tuple[np.ndarray, np.ndarray]:
    ids, embeddings = state.live.searcher.rows()
    groups = state.live.members.class_of(ids)
    order = np.argsort(ids)
    return embeddings[order], groups[order]


def _chains(distances: np.ndarray, step: float) -> np.ndarray:
    """Return for each of N rows the first that steps of at most `step` lead to, (N,) int64."""
    chain = np.full(len(distances), -1, np.int64)
    for first in range(len(distances)):
        front = np.array([first] if chain[first] < 0 else [], np.int64)
        chain[front] = first
        while len(front):
            is_near = within(distances[front], step).any(0) & (chain < 0)
            front = np.flatnonzero(is_near)
            chain[front] = first
    return chain


def _judge(
    recent: np.ndarray,
    cluster: np.ndarray,
    closest: np.ndarray,
    weights: np.ndarray,
    effective: float,
    location: str,
) -> Drift:
    verdict: Verdict = "too few"
    gap = p = None
    sizes = np.bincount(cluster)
    told = (
        f"{len(sizes)} strangers and {int(effective)} classes of calibration probes are too few to "
        f"say; it takes {_LEAST} of each"
    )
    if len(sizes) >= _LEAST and effective >= _LEAST:
        above, below = largest_gaps(recent, closest, (1 / sizes[cluster], weights))
        gap = above if above >= below else -below
        p = kolmogorov_smirnov(min(abs(gap), 1.0), len(sizes), effective)
        verdict = "no sign" if p > _LEVEL else "closer" if gap > 0 else "farther"
        told = (
            f"p = {p:.2g} over {len(sizes)} strangers and {int(effective)} classes of calibration"
        )
    command = commands.calibrate(location) if verdict in ("closer", "farther") else ""
    return Drift(
        verdict=verdict,
        reason=_REASONS[verdict].format(told=told, command=command),
        command=command,
        num_strangers=len(sizes),
        num_trials=len(closest),
        effective_trials=effective,
        gap=gap,
        p_value=p,
    )
