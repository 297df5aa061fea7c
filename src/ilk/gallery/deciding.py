"""From the closest classes of a probe to a decision, with its reason in words.

Shapes: Q probes, C classes, D embedding size.
"""

from __future__ import annotations

from typing import final

import numpy as np

from ilk.calibration import combine_p_values
from ilk.closest import ClosestClasses, barred_classes, class_distances, closest_classes
from ilk.gallery.state import State
from ilk.results import Candidate, Decision, Identification
from ilk.thresholds import Threshold, within

__all__ = ["Deciding", "not_assessable"]

_NOTHING_ENROLLED = "nothing is enrolled, so nothing can be recognised"


@final
class Deciding:
    """Answers about probes, from the state of a gallery as it is now."""

    def __init__(self, state: State) -> None:
        self._state = state

    def identify(
        self, probes: np.ndarray, reasons: list[str], names: list[str], num_candidates: int
    ) -> list[Identification]:
        """Answer about each of the (Q, D) admitted probes; a reason given is "not assessable"."""
        threshold = self._state.threshold
        fit = np.array([not reason for reason in reasons], bool)
        found = closest_classes(
            self._state.live.searcher,
            self._state.live.members,
            probes[fit],
            max(2, num_candidates),
        )
        p_values = self._state.strangers().distances.p_value(found.distances[:, 0])
        barred = self._barred(probes[fit], found.distances[:, 0], threshold)
        answers, at = [], 0
        for name, reason in zip(names, reasons, strict=True):
            if reason:
                answers.append(not_assessable(reason, name))
                continue
            candidates = self._candidates(found, at)
            decision, why = self._decide(candidates, threshold)
            why += barred[at]
            answers.append(
                Identification(
                    decision=decision,
                    label=candidates[0].label if decision == "identified" else None,
                    reason=why,
                    candidates=candidates[:num_candidates],
                    threshold=threshold,
                    p_value=float(p_values[at]),
                    name=name,
                )
            )
            at += 1
        return answers

    def identify_set(
        self, probes: np.ndarray, reasons: list[str], name: str, num_candidates: int
    ) -> Identification:
        """Give one answer about (Q, D) admitted probes of one thing.

        Per class, the p-values of the probes are combined so that the promise holds for the whole
        set, however much its pictures resemble each other; the closest class has the smallest mean
        distance.
        """
        state, threshold = self._state, self._state.threshold
        probes = probes[[not reason for reason in reasons]]
        if not len(probes):
            why = reasons[0] if reasons else "the set has no probes"
            return not_assessable(why, name)
        found = closest_classes(state.live.searcher, state.live.members, probes, 5)
        class_ids = [int(c) for c in np.unique(found.class_ids) if c >= 0]
        distances = class_distances(
            state.live.searcher, state.live.members, state.binding.distance, probes, class_ids
        )
        means = distances.mean(0)
        order = np.argsort(means, kind="stable")[: max(2, num_candidates)]
        candidates = tuple(
            Candidate(state.labels[class_ids[c]], float(means[c]), self._rows(found, class_ids[c]))
            for c in order
            if np.isfinite(means[c])
        )
        strangers = state.strangers().distances
        combined = [
            combine_p_values(strangers.p_value(distances[:, c]))
            for c in order
            if np.isfinite(means[c])
        ]
        decision, why = self._decide_set(candidates, combined, threshold, len(probes))
        closest = np.full(len(probes), candidates[0].distance if candidates else np.inf)
        why += next(filter(None, self._barred(probes, closest, threshold)), "")
        return Identification(
            decision=decision,
            label=candidates[0].label if decision == "identified" else None,
            reason=why,
            candidates=candidates[:num_candidates],
            threshold=threshold,
            p_value=combined[0] if combined else 1.0,
            name=name,
        )

    def _candidates(self, found: ClosestClasses, at: int) -> tuple[Candidate, ...]:
        columns = found.class_ids[at], found.distances[at], found.rows[at]
        return tuple(
            Candidate(self._state.labels[class_id], distance, self._behind(row, class_id))
            for class_id, distance, row in zip(*(c.tolist() for c in columns), strict=True)
            if class_id >= 0
        )

    def _behind(self, row: int, class_id: int) -> tuple[int, ...]:
        live = self._state.live
        if live.templates.kind != "mean":
            return (row,)
        return tuple(live.members.rows_of(class_id).tolist())

    def _rows(self, found: ClosestClasses, class_id: int) -> tuple[int, ...]:
        """Return the exemplars of a class that any probe of the set was closest to."""
        rows = np.unique(found.rows[found.class_ids == class_id]).tolist()
        return tuple(sorted({i for row in rows for i in self._behind(row, class_id)}))

    def _decide(
        self, candidates: tuple[Candidate, ...], threshold: Threshold
    ) -> tuple[Decision, str]:
        if not candidates:
            if self._state.live.num_classes:
                return "unknown", "every class is ruled out"
            return "unknown", _NOTHING_ENROLLED
        first = candidates[0]
        limit = f"threshold {threshold.value:.4g}"
        if not within(first.distance, threshold.value):
            return "unknown", f"the closest class is at {first.distance:.4g}, beyond the {limit}"
        margin = self._state.settings.margin * threshold.value
        for second in candidates[1:2]:
            gap = second.distance - first.distance
            if within(second.distance, threshold.value) and within(gap, margin):
                return "ambiguous", (
                    f"{first.label!r} at {first.distance:.4g} and {second.label!r} at "
                    f"{second.distance:.4g} are both within the {limit}, too close to each other"
                )
        return "identified", f"{first.label!r} at {first.distance:.4g} is within the {limit}"

    def _barred(self, probes: np.ndarray, closest: np.ndarray, threshold: Threshold) -> list[str]:
        """Return in words which example ruled out a class closer than the (Q,) closest that count.

        It is "" where none did, or where that class is not within the threshold either.
        """
        live, labels = self._state.live, self._state.labels
        limits = np.where(np.isfinite(closest), np.minimum(closest, threshold.value), np.inf)
        told = []
        for found in barred_classes(live.searcher, live.members, probes, limits):
            if found is None:
                told.append("")
                continue
            is_ignored = found.class_id < 0
            which = "a class" if is_ignored else repr(labels[found.class_id])
            what = "what is to be ignored" if is_ignored else "what it is not"
            told.append(
                f"; {which} at {found.distance:.4g} is ruled out by exemplar {found.row} at "
                f"{found.row_distance:.4g}, an example of {what}"
            )
        return told

    def _decide_set(
        self,
        candidates: tuple[Candidate, ...],
        combined: list[float],
        threshold: Threshold,
        num_probes: int,
    ) -> tuple[Decision, str]:
        if not candidates:
            return self._decide(candidates, threshold)
        first, p = candidates[0], combined[0]
        level = threshold.target_fpir if threshold.level is None else threshold.level
        told = f"p = {p:.3g} over {num_probes} probes, target {level:.3g}"
        if not within(p, level):
            return "unknown", f"{first.label!r} is the closest class, but not close enough: {told}"
        margin = self._state.settings.margin * threshold.value
        for second, q in zip(candidates[1:2], combined[1:2], strict=True):
            gap = second.distance - first.distance
            if within(q, level) and within(gap, margin):
                return "ambiguous", f"{first.label!r} and {second.label!r} are both close: {told}"
        return "identified", f"{first.label!r} at a mean distance of {first.distance:.4g}: {told}"


def not_assessable(reason: str, name: str) -> Identification:
    """Return the answer about a probe that cannot be compared with anything."""
    return Identification(decision="not_assessable", label=None, reason=reason, name=name)
