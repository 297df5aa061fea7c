"""Verification: is this probe of that class? At a false match rate of its own, class by class."""

from __future__ import annotations

import numpy as np

from ilk.calibration import limit_for_fpir, p_value
from ilk.closest import class_distances
from ilk.errors import NotCalibrated, NotEnoughTrials
from ilk.gallery.state import State
from ilk.results import Verification
from ilk.thresholds import Threshold, within

__all__ = ["verify"]


def verify(
    state: State,
    class_id: int,
    probes: np.ndarray,
    reasons: list[str],
    names: list[str],
    target_fmr: float,
) -> list[Verification]:
    """Answer about each of the (Q, D) admitted probes.

    The threshold is the class's own: chosen on the distances of the calibration strangers to this
    class alone, so that at most a share `target_fmr` of them is accepted as it.

    Raises:
        NotCalibrated: There is no basis, or it cannot carry the target.
    """
    label = state.labels[class_id]
    impostors = _impostors(state, class_id)
    try:
        limit = limit_for_fpir(impostors, target_fmr)
    except NotEnoughTrials as error:
        raise NotCalibrated(f"the basis cannot carry the target: {error}") from error
    threshold = Threshold(
        value=limit,
        distance=state.binding.distance.settings,
        target_fpir=target_fmr,
        num_trials=len(impostors),
        basis=f"{state.settings.basis}, compared with {label!r} alone",
        gallery_size=1,
        fingerprint=state.binding.fingerprint,
    )
    distances = _to_class(state, probes, class_id)
    p_values = p_value(np.sort(impostors), distances)
    rows = tuple(state.live.members.rows_of(class_id).tolist())
    answers = []
    for i, (name, reason) in enumerate(zip(names, reasons, strict=True)):
        if reason:
            answers.append(Verification(label=label, is_accepted=False, reason=reason, name=name))
            continue
        is_accepted = bool(within(distances[i], limit))
        side = "within" if is_accepted else "beyond"
        answers.append(
            Verification(
                label=label,
                is_accepted=is_accepted,
                reason=f"{label!r} is at {distances[i]:.4g}, {side} its threshold {limit:.4g}",
                distance=float(distances[i]),
                exemplars=rows,
                threshold=threshold,
                p_value=float(p_values[i]),
                name=name,
            )
        )
    return answers


def _impostors(state: State, class_id: int) -> np.ndarray:
    """Return the distances to one class of the calibration strangers that are not of it."""
    probes = state.calibration_probes()
    others = state.counts & (probes.own_class != class_id)
    return _to_class(state, probes.embeddings[others], class_id)


def _to_class(state: State, probes: np.ndarray, class_id: int) -> np.ndarray:
    """Return the (Q,) distances of probes to one class."""
    live = state.live
    distance = state.binding.distance
    return class_distances(live.searcher, live.members, distance, probes, [class_id])[:, 0]
