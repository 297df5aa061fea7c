"""Health: look over a gallery for what makes it err, before it errs.

Shapes: N exemplars, n of them asked about the other classes, P pairs.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from ilk.errors import InvalidInput, NotCalibrated
from ilk.gallery import commands
from ilk.gallery.access import Access
from ilk.gallery.findings import KINDS, Finding, Health
from ilk.gallery.menagerie import goats, lambs, wolves
from ilk.gallery.names import FEW, Names
from ilk.gallery.neighborhood import Neighborhood, look_around
from ilk.gallery.outliers import Outliers, outliers
from ilk.gallery.state import State
from ilk.store import ClassRow
from ilk.thresholds import within

__all__ = ["examine"]


def examine(access: Access, *, max_exemplars: int = 10_000, max_findings: int = 100) -> Health:
    """Return what stands out in a gallery.

    Nobody else of this process can use the gallery meanwhile. The time grows with the exemplars
    that are asked about the other classes times all exemplars.

    Args:
        access: To the gallery.
        max_exemplars: If there are more, so many are drawn, always the same ones of the same
            gallery, and only they are asked about the other classes; the notes say so.
        max_findings: Of each kind so many are listed; `Health.counts` counts all.

    Raises:
        InvalidInput: A maximum is below 1.
    """
    if max_exemplars < 1 or max_findings < 1:
        raise InvalidInput(
            f"expected maxima of at least 1, got max_exemplars {max_exemplars} and max_findings "
            f"{max_findings}"
        )
    with access.fresh() as state, state.store.reading() as reader:
        classes = reader.classes()
        limit, notes = _limit(state)
        around = look_around(state, reader, limit, max_exemplars)
        names = Names(
            {row.id: row.label for row in classes} | state.labels,
            dict(state.live.sizes),
            str(access.location),
        )
        apart = outliers(around, limit, names)
        found = list(_findings(state, around, limit, names, classes, apart))
        problems = state.store.check()
    notes += apart.notes
    if len(around.asked) < len(around.ids):
        notes.append(
            f"{len(around.asked)} of {len(around.ids)} exemplars, drawn at random with a fixed "
            "seed, were asked about the other classes"
        )
    if around.others.num_cut:
        notes.append(
            f"{around.others.num_cut} exemplars have so many others within the threshold that only "
            "the closest were looked at; more collisions may be hidden behind them"
        )
    counts: dict[str, int] = {kind: sum(f.kind == kind for f in found) for kind in KINDS}
    listed = [f for kind in KINDS for f in [f for f in found if f.kind == kind][:max_findings]]
    return Health(
        num_classes=len(classes),
        num_exemplars=len(around.ids),
        num_examined=len(around.asked),
        threshold=limit,
        almost_zero=around.almost_zero,
        findings=tuple(listed),
        counts=counts,
        problems=tuple(problems),
        notes=tuple(notes),
    )


def _limit(state: State) -> tuple[float | None, list[str]]:
    try:
        return state.threshold.value, []
    except NotCalibrated as error:
        return None, [
            "without a threshold, collisions, wolves, lambs and goats cannot be told, and only "
            f"outliers that are clearly far: {error}"
        ]


def _findings(
    state: State,
    around: Neighborhood,
    limit: float | None,
    names: Names,
    classes: list[ClassRow],
    found_outliers: Outliers,
) -> Iterator[Finding]:
    if limit is not None:
        yield from _collisions(around, limit, names)
        yield from wolves(around, limit, names.labels, names.location)
        yield from lambs(state, around, limit, names.labels, names.location)
        yield from goats(around, limit, names.labels, names.location)
    yield from sorted(
        [*_swapped(around, names), *_copies(around, names)],
        key=lambda f: (-len(f.labels), f.distance, f.exemplars),
    )
    yield from found_outliers.findings
    yield from _few(classes, names)


def _collisions(around: Neighborhood, limit: float, names: Names) -> Iterator[Finding]:
    """Yield pairs of classes within the limit of each other, closest first."""
    others = around.others
    at = np.flatnonzero(within(others.distances, limit))
    own, other = around.class_ids[others.exemplars[at]], others.class_ids[at]
    mine, theirs = around.ids[others.exemplars[at]], others.rows[at]
    low, high = np.minimum(own, other), np.maximum(own, other)
    order = np.lexsort((theirs, mine, others.distances[at]))
    _, first = np.unique(np.stack([low, high])[:, order], axis=1, return_index=True)
    for k in order[np.sort(first)]:
        into, label = (names.labels[c] for c in names.larger(int(own[k]), int(other[k])))
        apart, pair = float(others.distances[at[k]]), (int(mine[k]), int(theirs[k]))
        astray = _astray(around, pair, limit)
        advice = "if they are one class, merge them"
        command = commands.merge(names.location, label, into)
        if astray is not None:
            advice = f"{astray} is far from its own class, so it may be in the wrong one"
            command = commands.remove(names.location, [astray])
        yield Finding(
            kind="collision",
            labels=(into, label),
            exemplars=pair,
            distance=apart,
            reason=f"{into!r} and {label!r} collide: their exemplars {pair[0]} and {pair[1]} are "
            f"at {apart:.4g}, within the threshold {limit:.4g}; {advice}",
            command=command,
        )


def _astray(around: Neighborhood, pair: tuple[int, int], limit: float) -> int | None:
    """Return the one of two exemplars that is not within the limit of anything of its class.

    Of both the farther; None if neither is, or if it is all that its class has.
    """
    alone = around.own.distances[np.searchsorted(around.ids, pair)]
    alone = np.where(np.isfinite(alone) & ~within(alone, limit), alone, -1.0)
    return pair[int(alone.argmax())] if alone.max() >= 0 else None


def _swapped(around: Neighborhood, names: Names) -> Iterator[Finding]:
    """Yield exemplars of different classes that are nearly the same."""
    others, seen = around.others, set()
    for k in np.flatnonzero(within(others.distances, around.almost_zero) & others.is_first):
        at = int(others.exemplars[k])
        pair = tuple(sorted((int(around.ids[at]), int(others.rows[k]))))
        if pair in seen:
            continue
        seen.add(pair)
        alone = np.nan_to_num(
            around.own.distances[np.searchsorted(around.ids, pair)], posinf=np.inf
        )
        wrong = pair[int(alone[1] >= alone[0])]
        label, other = (
            names.labels[int(around.class_ids[at])],
            names.labels[int(others.class_ids[k])],
        )
        apart = float(others.distances[k])
        yield Finding(
            kind="duplicate",
            labels=(label, other),
            exemplars=(int(around.ids[at]), int(others.rows[k])),
            distance=apart,
            reason=f"exemplar {around.ids[at]} of {label!r} and {others.rows[k]} of {other!r} are "
            f"nearly the same, at {apart:.4g}: one of them is in the wrong class",
            command=commands.remove(names.location, [wrong]),
        )


def _copies(around: Neighborhood, names: Names) -> Iterator[Finding]:
    """Yield exemplars that are nearly the same as an earlier one of their class."""
    for at in np.flatnonzero(around.own.copies_of >= 0):
        label, row = names.labels[int(around.class_ids[at])], int(around.ids[at])
        first, apart = int(around.own.copies_of[at]), float(around.own.copy_distances[at])
        yield Finding(
            kind="duplicate",
            labels=(label,),
            exemplars=(row, first),
            distance=apart,
            reason=f"exemplar {row} of {label!r} is nearly the same as {first}, at {apart:.4g}, "
            "and adds nothing to it",
            command=commands.remove(names.location, [row]),
        )


def _few(classes: list[ClassRow], names: Names) -> list[Finding]:
    """Return classes with too few exemplars, the fewest first."""
    return [
        Finding(
            kind="few",
            labels=(row.label,),
            count=row.num_exemplars,
            reason=f"{row.label!r} has {_number(row.num_exemplars)}; with {FEW} or more it is "
            "recognised more surely, and outliers among them show",
            command=commands.enroll_more(names.location, row.label),
        )
        for row in sorted(classes, key=lambda row: (row.num_exemplars, row.label))
        if row.num_exemplars < FEW
    ]


def _number(count: int) -> str:
    return {0: "no exemplar", 1: "one exemplar"}.get(count, f"{count} exemplars")
