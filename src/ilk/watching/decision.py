"""The one decision about a track.

A stranger who is seen for a hundred frames has a hundred chances of being named if each frame is
asked about, however few are accepted each time. So frames are chosen before the gallery is asked,
by quality alone, and it is asked once per track.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal, final

import numpy as np

from ilk.calibration import combine_p_values
from ilk.gallery.deciding import not_assessable
from ilk.questions import Questions
from ilk.results import Identification
from ilk.thresholds import Threshold, within
from ilk.watching.shots import Shot

__all__ = ["Rule", "TrackDecision", "can_name_sets", "decide"]

Rule = Literal["best", "set"]
"""Ask about the best frame; or about several together, by combined p-values."""


@final
@dataclass(frozen=True, kw_only=True, eq=False)
class TrackDecision:
    """What is said about a track, once and for all."""

    answer: Identification
    rule: Rule
    """That was used."""
    why: str
    """Why this one, in words."""
    num_probes: int
    """How many frames were compared."""
    best: Shot | None
    """The best frame; None if none was good enough."""


def decide(
    questions: Questions,
    shots: Sequence[Shot],
    *,
    rule: Rule = "best",
    name: str = "",
    code: str = "",
    reason: str = "",
) -> TrackDecision:
    """Decide about a track from its best frames.

    With "best" the best frame is the one probe, so a stranger's track gets a name as often as a
    stranger's picture does. With "set" p-values of all frames are combined so that the same holds
    however alike the frames are; that costs a factor e, and where the strangers are too few for it,
    the best frame is asked about instead.

    Args:
        questions: A recognizer.
        shots: The best frames, chosen without asking the gallery.
        rule: Which of the two.
        name: What the answer calls the track.
        code: Why there is no frame that can be compared, if there is none.
        reason: The same in words.

    Raises:
        NotCalibrated: The gallery has no threshold.
    """
    if not shots:
        refused = replace(not_assessable(reason or "no frame is good enough", name), code=code)
        return TrackDecision(answer=refused, rule=rule, why=refused.reason, num_probes=0, best=None)
    best = max(shots, key=lambda shot: shot.goodness)
    used, why = _rule_for(rule, len(shots), questions.gallery.threshold)
    crops = [best.crop] if used == "best" else [shot.crop for shot in shots]
    answer = questions.identify_crop_set(crops, name=name)
    return TrackDecision(
        answer=replace(answer, region=best.region),
        rule=used,
        why=why,
        num_probes=len(crops),
        best=best,
    )


def can_name_sets(threshold: Threshold) -> bool:
    """Return whether combined p-values can reach the target.

    It takes e / target - 1 classes of strangers, and more where the gallery's own stand in.

    Example:
        >>> facts = {"value": 0.3, "distance": {}, "basis": "strangers", "gallery_size": 1}
        >>> facts |= {"target_fpir": 0.01, "num_trials": 900}
        >>> [can_name_sets(Threshold(num_classes=k, **facts)) for k in (270, 271)]
        [False, True]
    """
    first = 2 if threshold.basis == "leave-one-out" else 1
    least = np.full(2, min(1.0, first / ((threshold.num_classes or 0) + 1)))
    level = threshold.target_fpir if threshold.level is None else threshold.level
    return bool(within(combine_p_values(least), level))


def _rule_for(rule: Rule, num_shots: int, threshold: Threshold) -> tuple[Rule, str]:
    if rule == "best":
        return "best", "the best frame stands for the track"
    if num_shots < 2:
        return "best", "the track has only one frame to compare"
    if not can_name_sets(threshold):
        return "best", (
            f"{threshold.num_classes or 0} classes of strangers are too few to name a set at "
            f"{threshold.target_fpir:g}, so the best frame stands for the track"
        )
    return "set", f"p-values of the {num_shots} best frames combined"
