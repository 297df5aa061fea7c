"""Verification: is this probe of that class? At a false match rate of its own, class by class."""

from __future__ import annotations

import numpy as np

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
    class alone, so that a random probe of a random other class is accepted as it with a chance of
    at most `target_fmr`.

    Raises:
        NotCalibrated: There is no basis, or it cannot carry the target.
    """
    label = state.labels[class_id]
    strangers = state.strangers()
    impostors = strangers.impostors(_to_class(state, strangers.embeddings, class_id), class_id)
    try:
        limit = impostors.limit(target_fmr, state.settings.confidence)
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
        num_classes=impostors.num_classes,
        measured_fpir=impostors.fpir(limit),
        level=impostors.level(target_fmr, state.settings.confidence),
        confidence=state.settings.confidence,
    )
    distances = _to_class(state, probes, class_id)
    p_values = impostors.p_value(distances)
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


def _to_class(state: State, probes: np.ndarray, class_id: int) -> np.ndarray:
    """Return the (Q,) distances of probes to one class."""
    live = state.live
    distance = state.binding.distance
    return class_distances(live.searcher, live.members, distance, probes, [class_id])[:, 0]
