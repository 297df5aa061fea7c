"""Health: look over a gallery for what makes it err, before it errs.

Shapes: N exemplars, n of them asked about the other classes, P pairs.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing

import numpy as np

from ilk.errors import InvalidInput, NotCalibrated
from ilk.gallery import commands
from ilk.gallery.access import Access, open_store
from ilk.gallery.contradictions import contradictions
from ilk.gallery.findings import KINDS, Finding, Health
from ilk.gallery.menagerie import NamedStrangers, goats, lambs, named_strangers, wolves
from ilk.gallery.names import FEW, Names
from ilk.gallery.neighborhood import Neighborhood, exemplars_of, look_around
from ilk.gallery.outliers import farther_than, outlier_finding, outliers
from ilk.gallery.reembedding import Progress
from ilk.gallery.remedies import Remedies
from ilk.gallery.state import State
from ilk.store import ClassRow
from ilk.thresholds import within

__all__ = ["examine"]

_MOST_JUDGED = 1000
"""Of so many pairs of classes, the closest, it is judged whether they are one."""


def examine(
    access: Access,
    *,
    max_exemplars: int = 10_000,
    max_findings: int = 100,
    progress: Progress | None = None,
) -> Health:
    """Return what stands out in a gallery.

    It looks at a copy of the rows, so that others use and change the gallery meanwhile. The time
    grows with the exemplars that are asked about the other classes times all exemplars.

    Args:
        access: To the gallery.
        max_exemplars: If there are more, so many are drawn, always the same ones of the same
            gallery, and only they are asked about the other classes; the notes say so.
        max_findings: Of each kind so many are listed; `Health.counts` counts all.
        progress: Called with (exemplars asked about, all that are asked). What it raises ends the
            work, and so does an interruption; nothing was changed.

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
        strangers = named_strangers(state, limit)
        exemplars = exemplars_of(state, reader)
        names = Names(
            {row.id: row.label for row in classes} | state.labels,
            dict(state.live.sizes),
            str(access.location),
        )
        found = contradictions(state, reader, names)
        generation = access.generation
    around = look_around(exemplars, limit, max_exemplars, progress)
    found += _findings(around, limit, names, classes, strangers)
    with closing(open_store(generation)) as store:
        problems = store.check()
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
            f"without a threshold, collisions, wolves, lambs and goats cannot be told: {error}"
        ]


def _findings(
    around: Neighborhood,
    limit: float | None,
    names: Names,
    classes: list[ClassRow],
    strangers: NamedStrangers,
) -> Iterator[Finding]:
    closer = farther_than(around)
    apart = outliers(around, closer, names)
    remedies = Remedies(around, limit, np.array([at for at, _ in apart], np.int64))
    for at, _ in apart:
        remedies.remove(int(around.ids[at]))
    copies = [*_swapped(around, remedies, names), *_copies(around, remedies, names)]
    if limit is not None:
        yield from _collisions(around, limit, remedies, names)
        yield from wolves(around, limit, remedies, names)
        yield from lambs(around, limit, strangers, remedies, names)
        yield from goats(around, limit, names)
    yield from sorted(copies, key=lambda f: (-len(f.labels), f.distance, f.exemplars))
    yield from (outlier_finding(around, one, remedies, names) for one in apart)
    yield from _few(classes, names)


def _collisions(
    around: Neighborhood, limit: float, remedies: Remedies, names: Names
) -> Iterator[Finding]:
    """Yield pairs of classes within the limit of each other, closest first."""
    others = around.others
    at = np.flatnonzero(within(others.distances, limit))
    own, other = around.class_ids[others.exemplars[at]], others.class_ids[at]
    mine, theirs = around.ids[others.exemplars[at]], others.rows[at]
    low, high = np.minimum(own, other), np.maximum(own, other)
    order = np.lexsort((theirs, mine, others.distances[at]))
    _, first = np.unique(np.stack([low, high])[:, order], axis=1, return_index=True)
    chosen = order[np.sort(first)]
    pairs = list(zip(low[chosen].tolist(), high[chosen].tolist(), strict=True))
    one = remedies.are_one(pairs[:_MOST_JUDGED])
    for k, both in zip(chosen.tolist(), pairs, strict=True):
        into, label = (names.labels[c] for c in names.larger(int(own[k]), int(other[k])))
        apart, pair = float(others.distances[at[k]]), (int(mine[k]), int(theirs[k]))
        astray = [row for row in pair if row in remedies.removed]
        advice = "by their exemplars they can be told apart, or are too few to say; look at both"
        command = commands.show(names.location, label)
        if astray:
            advice = f"{astray[0]} is far from its own class, so it may be in the wrong one"
            command = commands.remove(names.location, astray[:1])
        elif both in one:
            advice = "their exemplars are mixed as those of one class would be; merge them if so"
            command = commands.merge(names.location, label, into)
        yield Finding(
            kind="collision",
            labels=(into, label),
            exemplars=pair,
            distance=apart,
            reason=f"{into!r} and {label!r} collide: their exemplars {pair[0]} and {pair[1]} are "
            f"at {apart:.4g}, within the threshold {limit:.4g}; {advice}",
            command=command,
        )


def _swapped(around: Neighborhood, remedies: Remedies, names: Names) -> Iterator[Finding]:
    """Yield exemplars of different classes that are nearly the same."""
    others, seen = around.others, set()
    for k in np.flatnonzero(within(others.distances, around.almost_zero) & others.is_first):
        at = int(others.exemplars[k])
        pair = tuple(sorted((int(around.ids[at]), int(others.rows[k]))))
        if pair in seen:
            continue
        seen.add(pair)
        twin = int(np.searchsorted(around.ids, others.rows[k]))
        ends = ((at, twin), (twin, at))
        wrong = [
            int(around.ids[one])
            for one, other in ends
            if remedies.is_closer_elsewhere(one, int(around.class_ids[other]), other)
        ]
        label, other = (
            names.labels[int(around.class_ids[at])],
            names.labels[int(others.class_ids[k])],
        )
        apart = float(others.distances[k])
        advice, command = "look at both", commands.show(names.location, label)
        if len(wrong) == 1 and (wrong[0] in remedies.removed or remedies.remove(wrong[0])):
            advice = f"{wrong[0]} is closer to the rest of the other class than to that of its own"
            command = commands.remove(names.location, wrong)
        yield Finding(
            kind="duplicate",
            labels=(label, other),
            exemplars=(int(around.ids[at]), int(others.rows[k])),
            distance=apart,
            reason=f"exemplar {around.ids[at]} of {label!r} and {others.rows[k]} of {other!r} are "
            f"nearly the same, at {apart:.4g}: one of them may be in the wrong class; {advice}",
            command=command,
        )


def _copies(around: Neighborhood, remedies: Remedies, names: Names) -> Iterator[Finding]:
    """Yield exemplars that are nearly the same as an earlier one of their class."""
    for at in np.flatnonzero(around.own.copies_of >= 0):
        label, row = names.labels[int(around.class_ids[at])], int(around.ids[at])
        first, apart = int(around.own.copies_of[at]), float(around.own.copy_distances[at])
        advice, command = "look at both", commands.show(names.location, label)
        if row in remedies.removed or remedies.remove_copy(row, first):
            advice = "no other exemplar needs it"
            command = commands.remove(names.location, [row])
        yield Finding(
            kind="duplicate",
            labels=(label,),
            exemplars=(row, first),
            distance=apart,
            reason=f"exemplar {row} of {label!r} is nearly the same as {first}, at {apart:.4g}; "
            f"{advice}",
            command=command,
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
