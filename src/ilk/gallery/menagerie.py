"""Wolves, lambs and goats: the few classes that make most of the errors.

The names are of Doddington, Liggett, Martin, Przybocki and Reynolds, Sheep, goats, lambs and wolves
(ICSLP 1998); what they mean here is in `Health`.

Shapes: C classes, E events, P pairs.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

import numpy as np

from ilk.calibration.beta import beta_share
from ilk.gallery import commands
from ilk.gallery.findings import Finding
from ilk.gallery.names import Names
from ilk.gallery.neighborhood import Neighborhood
from ilk.gallery.remedies import Remedies
from ilk.gallery.state import State
from ilk.thresholds import within
from ilk.words import counted

__all__ = ["NamedStrangers", "goats", "lambs", "named_strangers", "stand_out", "wolves"]

_CHANCE = 0.05
"""A class stands out by chance in so many of all galleries."""

_LEAST = 3
"""Fewer than so many others are not many."""

_LOST_LEAST, _LOST_SHARE = 2, 0.5


@final
@dataclass(frozen=True, eq=False)
class NamedStrangers:
    """Calibration strangers that are given a name, (m,) each."""

    groups: np.ndarray
    """int64: the class of strangers that each is of."""
    class_ids: np.ndarray
    """int64: whose name it is."""
    rows: np.ndarray
    """int64: id of the row that decided."""
    num_groups: int
    """Of how many classes all strangers are, the others too."""


def stand_out(classes: np.ndarray, num_classes: int) -> list[tuple[int, int]]:
    """Return the classes that events fall on too often, with how often, the most often first.

    If each of the E events fell on any class alike, a class would have as many as it has with a
    chance of at most 0.05 / C.

    Args:
        classes: (E,) the class that each fell on.
        num_classes: C.

    Example:
        >>> stand_out(np.array([7, 7, 7, 7, 1, 2]), 100)
        [(7, 4)]
    """
    found, counts = np.unique(classes, return_counts=True)
    total, share = len(classes), 1 / max(num_classes, 1)
    chosen = [
        (int(c), int(n))
        for c, n in zip(found, counts, strict=True)
        if n >= _LEAST and beta_share(share, n, total - n + 1) * num_classes <= _CHANCE
    ]
    return sorted(chosen, key=lambda pair: (-pair[1], pair[0]))


def wolves(around: Neighborhood, limit: float, remedies: Remedies, names: Names) -> list[Finding]:
    """Return the classes whose exemplars would be given the names of many other classes."""
    at, own, other = _named(around, limit)
    pairs = np.unique(np.stack([own, other]), axis=1)
    num_classes = len(np.unique(around.class_ids))
    found = []
    for class_id, count in stand_out(pairs[0], num_classes):
        label = names.labels[class_id]
        mine = at[own == class_id]
        worst = int(mine[np.argmin(around.others.distances[mine])])
        row = int(around.ids[around.others.exemplars[worst]])
        found.append(
            Finding(
                kind="wolf",
                labels=(label,),
                exemplars=(row,),
                distance=float(around.others.distances[worst]),
                count=count,
                num_trials=num_classes - 1,
                reason=f"if {label!r} were not enrolled, its exemplars would be given the names of "
                f'{counted(count, "other class", "other classes")} (a "wolf"); exemplar {row} '
                "comes closest to one",
                command=_mend(row, label, remedies, names),
            )
        )
    return found


def lambs(
    around: Neighborhood,
    limit: float,
    strangers: NamedStrangers,
    remedies: Remedies,
    names: Names,
) -> list[Finding]:
    """Return the classes whose name many others, or strangers, would be given."""
    at, own, other = _named(around, limit)
    rows = around.others.rows[at]
    groups, named, decisive = strangers.groups, strangers.class_ids, strangers.rows
    sources = np.stack([np.concatenate([own, -1 - groups]), np.concatenate([other, named])])
    pairs, first = np.unique(sources, axis=1, return_index=True)
    num_classes = len(np.unique(around.class_ids))
    everyone = np.concatenate([rows, decisive])[first]
    found = []
    for class_id, count in stand_out(pairs[1], num_classes):
        label = names.labels[class_id]
        deciding, often = np.unique(everyone[pairs[1] == class_id], return_counts=True)
        row = int(deciding[np.argmax(often)])
        num_strangers = int((pairs[0][pairs[1] == class_id] < 0).sum())
        found.append(
            Finding(
                kind="lamb",
                labels=(label,),
                exemplars=(row,),
                count=count,
                num_trials=num_classes - 1 + strangers.num_groups,
                reason=f"the name of {label!r} would be given to {counted(count, 'other')}, of "
                f"which {counted(num_strangers, 'is a stranger', 'are strangers')} of the "
                f'calibration (a "lamb"), most often because of exemplar {row}',
                command=_mend(row, label, remedies, names),
            )
        )
    return found


def goats(around: Neighborhood, limit: float, names: Names) -> list[Finding]:
    """Return the classes that would lose many of their own exemplars, the greatest share first."""
    others, nearest = around.others, around.own.distances
    closest_other = np.full(len(around.ids), np.inf)
    closest_other[others.exemplars[others.is_first]] = others.distances[others.is_first]
    asked = around.asked[np.isfinite(nearest[around.asked])]
    is_lost = ~within(nearest[asked], limit) | (closest_other[asked] < nearest[asked])
    classes, group = np.unique(around.class_ids[asked], return_inverse=True)
    lost, size = np.bincount(group, is_lost), np.bincount(group)
    chosen = np.flatnonzero((lost >= _LOST_LEAST) & (lost >= _LOST_SHARE * size))
    found = []
    for k in sorted(chosen.tolist(), key=lambda k: (-lost[k] / size[k], -lost[k], k)):
        label = names.labels[int(classes[k])]
        rows = around.ids[asked[(group == k) & is_lost]]
        found.append(
            Finding(
                kind="goat",
                labels=(label,),
                exemplars=tuple(rows.tolist()),
                count=int(lost[k]),
                num_trials=int(size[k]),
                reason=f"of the {size[k]} exemplars of {label!r}, {int(lost[k])} would not be "
                'recognised by the others (a "goat"); enroll more that are like what you ask about',
                command=commands.enroll_more(names.location, label),
            )
        )
    return found


def _named(around: Neighborhood, limit: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the pairs in which an exemplar would be given another class's name, both classes."""
    others = around.others
    at = np.flatnonzero(others.is_first & within(others.distances, limit))
    return at, around.class_ids[others.exemplars[at]], others.class_ids[at]


def _mend(row: int, label: str, remedies: Remedies, names: Names) -> str:
    if row in remedies.removed:
        return commands.remove(names.location, [row])
    return commands.show(names.location, label)


def named_strangers(state: State, limit: float | None) -> NamedStrangers:
    """Return the calibration strangers that are given a name, none if exemplars stand in for them.

    Args:
        state: Fresh.
        limit: The threshold; None for none.
    """
    calibrator = state.calibrator
    if calibrator is None or limit is None or state.settings.basis == "leave-one-out":
        nobody = np.zeros(0, np.int64)
        return NamedStrangers(nobody, nobody, nobody, 0)
    at = np.flatnonzero(calibrator.is_kept & within(calibrator.closest, limit))
    at = at[calibrator.closest_rows[at] >= 0]
    rows, groups = calibrator.closest_rows[at], calibrator.groups
    num_groups = len(np.unique(groups[calibrator.is_kept]))
    return NamedStrangers(groups[at], state.live.members.class_of(rows), rows, num_groups)
