"""The open-set protocol: who is enrolled, who is asked about, who is a stranger; from a seed.

Classes, not items, are divided, so that no stranger has a sibling in the gallery. The strangers
are divided once more, by class, into two halves: the threshold that one half is judged by is
chosen on the other, and the roles are swapped, so that every stranger is used and none is judged
by a threshold that it had a part in.

Who is a stranger is one of two choices. By default a share of the classes is enrolled at random and
all others are strangers, those with many items like those with one: mated probes and strangers are
alike. With `max_stranger_items` all classes that are large enough are enrolled, and the strangers
are those of at most so many items, as in LFW the people of whom there is one picture; classes in
between are in neither. Then nothing but the exemplars and the halves is drawn.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import final

import numpy as np

from ilk.errors import InvalidInput

__all__ = ["Draw", "draw_protocol"]


@final
@dataclass(frozen=True, eq=False)
class Draw:
    """One division of the items; positions of items, each used at most once."""

    exemplars: np.ndarray
    """The gallery, (G,): the exemplars of a class next to each other."""
    mated: np.ndarray
    """Probes of enrolled classes, (M,)."""
    strangers: np.ndarray
    """Probes of classes that are not enrolled, (S,)."""
    half: np.ndarray
    """0 or 1 for each stranger, (S,): its half, the same for a whole class."""
    num_enrolled: int
    """How many classes the gallery holds."""
    num_same_group: int
    """Probes left out because they share a group with an exemplar of their class."""


def draw_protocol(
    class_ids: np.ndarray,
    *,
    num_exemplars: int = 5,
    enrolled_share: float = 0.5,
    max_stranger_items: int | None = None,
    seed: int | Sequence[int] = 0,
    groups: Sequence[str | None] | None = None,
) -> Draw:
    """Divide the items into a gallery, mated probes and two halves of strangers.

    A class can be enrolled if it has more than `num_exemplars` items, so that a probe is left;
    the others are strangers. Where most classes are too small, fewer than asked are enrolled.

    Args:
        class_ids: (N,) from 0 to C - 1.
        num_exemplars: Exemplars of each enrolled class, at least 1.
        enrolled_share: The share of all classes to enroll, above 0 and below 1.
        max_stranger_items: Enroll all classes that can be instead, and let strangers be those of
            at most so many items, from 1 to `num_exemplars`.
        seed: Decides everything that is drawn.
        groups: Of each item. Given, a mated probe that shares a group with an exemplar of its
            class is left out: pictures of one burst would answer for each other.

    Raises:
        InvalidInput: A setting is out of range, or the classes are too few or too small to have
            an enrolled class and a stranger in each half.

    Example:
        >>> draw = draw_protocol(np.repeat(np.arange(6), 4), num_exemplars=3)
        >>> draw.num_enrolled, len(draw.exemplars), len(draw.mated), len(draw.strangers)
        (3, 9, 3, 12)
    """
    if num_exemplars < 1 or not 0 < enrolled_share < 1:
        raise InvalidInput(
            "expected at least 1 exemplar and an enrolled_share between 0 and 1, got "
            f"{num_exemplars} and {enrolled_share}"
        )
    if max_stranger_items is not None and not 1 <= max_stranger_items <= num_exemplars:
        raise InvalidInput(
            f"expected strangers of at most 1 to {num_exemplars} items, as a class of more is "
            f"enrolled, got {max_stranger_items}"
        )
    rng = np.random.default_rng(seed)
    sizes = np.bincount(class_ids) if len(class_ids) else np.zeros(0, np.int64)
    shuffled = rng.permutation(np.flatnonzero(sizes))
    can_enroll = shuffled[sizes[shuffled] > num_exemplars]
    wanted = min(round(enrolled_share * len(shuffled)), len(can_enroll), len(shuffled) - 2)
    others = shuffled[~np.isin(shuffled, can_enroll[:wanted])]
    if max_stranger_items is not None:
        wanted, others = len(can_enroll), shuffled[sizes[shuffled] <= max_stranger_items]
    small = "" if max_stranger_items is None else f" of at most {max_stranger_items} items"
    if wanted < 1 or len(others) < 2:
        raise InvalidInput(
            f"the open-set protocol needs a class of more than {num_exemplars} items and two "
            f"further classes{small}, got {len(shuffled)} classes, {len(can_enroll)} of them with "
            f"more than {num_exemplars} items; lower --exemplars or add items"
        )
    enrolled = np.sort(can_enroll[:wanted])
    order = rng.permutation(len(class_ids))
    by_class = order[np.argsort(class_ids[order], kind="stable")]
    starts = np.cumsum(sizes) - sizes
    exemplars = by_class[(starts[enrolled][:, None] + np.arange(num_exemplars)).reshape(-1)]
    is_enrolled = np.isin(class_ids, enrolled)
    is_probe = np.ones(len(class_ids), bool)
    is_probe[exemplars] = False
    same_group = _same_group(class_ids, exemplars, groups) & is_probe & is_enrolled
    mated = np.flatnonzero(is_enrolled & is_probe & ~same_group)
    strangers = np.flatnonzero(np.isin(class_ids, others))
    if not len(mated):
        raise InvalidInput(
            "every mated probe shares a group with an exemplar; leave out --other-groups"
        )
    half_of = np.zeros(len(sizes), np.int64)
    half_of[others] = np.arange(len(others)) % 2
    half = half_of[class_ids[strangers]]
    return Draw(exemplars, mated, strangers, half, len(enrolled), int(same_group.sum()))


def _same_group(
    class_ids: np.ndarray, exemplars: np.ndarray, groups: Sequence[str | None] | None
) -> np.ndarray:
    """Return whether each item shares a group with an exemplar of its class, (N,) bool."""
    if groups is None:
        return np.zeros(len(class_ids), bool)
    enrolled = {(class_ids[i], groups[i]) for i in exemplars if groups[i] is not None}
    keys = zip(class_ids, groups, strict=True)
    return np.array([(label, group) in enrolled for label, group in keys], bool)
