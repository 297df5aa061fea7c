"""Some classes are enrolled, others are not; then they are met again and answers are counted."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import final

import numpy as np

from ilk.calibration import clustered_interval
from ilk.evaluation.contact_sheet import Decision
from ilk.evaluation.report.pictures import pixels
from ilk.items import Item, Items
from ilk.recognizer import Recognizer
from ilk.results import Identification
from ilk.thresholds import Threshold

__all__ = ["Meeting", "Roles", "draw_roles", "meet"]


@final
@dataclass(frozen=True, eq=False)
class Roles:
    """Who is enrolled, who calibrates, who is met. No class is in two of the last three."""

    exemplars: Items
    mated: Items
    """Other items of the enrolled classes."""
    calibration: Items
    """Items of classes that are not enrolled, to calibrate with."""
    strangers: Items
    """Items of further classes that are not enrolled."""


@final
@dataclass(frozen=True, eq=False)
class Meeting:
    """What a gallery said about probes whose classes are known."""

    threshold: Threshold
    num_enrolled: int
    mated: tuple[tuple[Item, Identification], ...]
    strangers: tuple[tuple[Item, Identification], ...]
    pictures: dict[int, Item]
    """By exemplar id."""

    def shares(self) -> dict[str, float]:
        """Return which share of the mated probes was named rightly, wrongly, and so on."""
        kinds = [
            "right"
            if answer.label == item.label
            else "wrong"
            if answer.label is not None
            else answer.decision
            for item, answer in self.mated
        ]
        names = ("right", "wrong", "ambiguous", "unknown")
        return {name: kinds.count(name) / len(kinds) for name in names}

    def named_strangers(self) -> tuple[float, tuple[float, float]]:
        """Return which share of strangers was given a name, and its interval at 95 %."""
        is_named = np.array([answer.label is not None for _, answer in self.strangers])
        labels = [item.label for item, _ in self.strangers]
        return float(is_named.mean()), clustered_interval(
            is_named, np.unique(labels, return_inverse=True)[1]
        )

    def decisions(self, *, num_mated: int, num_strangers: int, seed: int) -> list[Decision]:
        """Return randomly drawn answers, each about another class, right and wrong as they come."""
        rng = np.random.default_rng(seed)
        chosen: list[Decision] = []
        for pairs, wanted in ((self.mated, num_mated), (self.strangers, num_strangers)):
            group: dict[str, Decision] = {}
            for at in rng.permutation(len(pairs)):
                item, answer = pairs[at]
                decision = self._decision(item, answer, is_mated=pairs is self.mated)
                if decision is not None and len(group) < wanted:
                    group.setdefault(item.label, decision)
            chosen += group.values()
        return chosen

    def _decision(self, item: Item, answer: Identification, *, is_mated: bool) -> Decision | None:
        if not answer.candidates or answer.threshold is None:
            return None
        closest = answer.candidates[0]
        probe, exemplar = pixels(item), pixels(self.pictures[closest.exemplars[0]])
        if probe is None or exemplar is None:
            return None
        return Decision(
            probe=probe,
            exemplar=exemplar,
            true_label=item.label,
            is_mated=is_mated,
            closest_label=closest.label,
            distance=closest.distance,
            limit=answer.threshold.value,
            is_ambiguous=answer.decision == "ambiguous",
        )


def draw_roles(items: Items, *, num_exemplars: int, seed: int) -> Roles:
    """Enroll half of the classes; of the others, one half calibrates and the other is met.

    Example:
        >>> items = Items.from_arrays([np.zeros((8, 8), np.uint8)] * 24, list("abcdefgh") * 3)
        >>> roles = draw_roles(items, num_exemplars=2, seed=0)
        >>> len(roles.exemplars), len(roles.mated), len(roles.calibration), len(roles.strangers)
        (8, 4, 6, 6)
    """
    rng = np.random.default_rng(seed)
    classes = rng.permutation(len(items.classes))
    half, more = len(classes) // 2, len(classes) * 3 // 4
    order = rng.permutation(len(items))
    exemplars, mated = [], []
    for class_id in classes[:half]:
        members = order[items.class_ids[order] == class_id]
        exemplars += members[:num_exemplars].tolist()
        mated += members[num_exemplars:].tolist()

    def of(class_ids: np.ndarray) -> Items:
        return items.of_classes(items.classes[i] for i in class_ids)

    return Roles(
        items.take(exemplars), items.take(mated), of(classes[half:more]), of(classes[more:])
    )


def meet(
    recognizer: Recognizer, roles: Roles, *, target_fpir: float, tell: Callable[[str], None]
) -> Meeting:
    """Enroll, calibrate, and ask about everybody else.

    Raises:
        NotCalibrated: The calibration strangers cannot carry the rate.
    """
    num_enrolled = len(roles.exemplars.classes)
    tell(f"enrolling {len(roles.exemplars):,} pictures of {num_enrolled} of these characters")
    enrolled = recognizer.enroll(roles.exemplars)
    tell(
        f"calibrating on {len(roles.calibration):,} pictures of {len(roles.calibration.classes)} "
        "others, which are never enrolled"
    )
    threshold = recognizer.calibrate(target_fpir, strangers=roles.calibration)
    tell(
        f"identifying {len(roles.mated):,} more pictures of the enrolled, and "
        f"{len(roles.strangers):,} of {len(roles.strangers.classes)} further strangers"
    )
    pictures = {
        answer.exemplar_id: item
        for item, answer in zip(roles.exemplars.items, enrolled, strict=True)
        if answer.exemplar_id is not None
    }
    mated, strangers = (
        tuple(zip(items.items, recognizer.identify(items.items), strict=True))
        for items in (roles.mated, roles.strangers)
    )
    return Meeting(threshold, num_enrolled, mated, strangers, pictures)
