"""Outliers: exemplars far from everything else of their class.

The threshold for strangers has no say in it: of a sound gallery many exemplars are beyond it. An
exemplar is an outlier if more than 30 % of the other classes, and at least three, are closer to it
than the closest other of its own class: hardly any that belongs to its class is so far down, and
most of what was enrolled under a wrong name, or by mistake, is. Or if it is clearly far: how far
each exemplar is from the closest other of its class, as the logarithm of the ratio to the median of
its class, over all classes of at least five. The logarithm makes the rule the same for cosine and
Euclidean distances and for narrow and wide classes. The spread is 1.4826 times the median absolute
value, pooled over the gallery. Whether an outlier had better go is for `Remedies`.

Shapes: N exemplars, n of them asked about the other classes.
"""

from __future__ import annotations

import numpy as np

from ilk.gallery import commands
from ilk.gallery.findings import Finding
from ilk.gallery.names import FEW, Names
from ilk.gallery.neighborhood import Neighborhood
from ilk.gallery.remedies import Remedies
from ilk.thresholds import within

__all__ = ["farther_than", "outlier_finding", "outliers"]

_CLOSER_SHARE, _CLOSER_LEAST = 0.3, 3
"""An exemplar is an outlier if more than this share of the other classes, and so many, are closer
than its own."""

_MOST_CLASSES, _MOST_ROWS, _SEED = 200, 10, 0
"""So many other classes, drawn at random, and so many exemplars of each are compared with."""

_AT_ONCE, _ROUNDING = 512, 1e-9

_USUAL_FROM = 5
"""Of a class of at least so many exemplars it can be said what is usual in it."""

_FAR, _FAR_RATIO, _POOLED_FROM = 6.0, 2.0, 20
"""An exemplar is clearly far by so many robust standard deviations and by this ratio at least; so
many exemplars must show what is usual."""


def outliers(around: Neighborhood, closer: np.ndarray, names: Names) -> list[tuple[int, str]]:
    """Return positions of outliers, the farthest from its class first, and what makes each one.

    Args:
        around: How exemplars stand to each other.
        closer: Of `farther_than`.
        names: Of the classes.
    """
    nearest = around.own.distances
    size = np.array([names.sizes.get(int(c), 0) for c in around.class_ids], np.int64)
    has_others = (size >= FEW) & np.isfinite(nearest)
    usual, is_far = _clearly_far(around)
    num_others = len(np.unique(around.class_ids)) - 1
    is_astray = (closer > _CLOSER_SHARE) & (closer * num_others >= _CLOSER_LEAST)
    found = []
    for at in np.flatnonzero(has_others & (is_astray | is_far)):
        reasons = []
        if is_astray[at]:
            reasons.append(f"{closer[at]:.0%} of the other classes are closer")
        if is_far[at]:
            reasons.append(f"{nearest[at] / usual[at]:.2g} times as far as is usual in its class")
        found.append((int(at), " and ".join(reasons)))
    return sorted(found, key=lambda pair: (-nearest[pair[0]], pair[0]))


def outlier_finding(
    around: Neighborhood, found: tuple[int, str], remedies: Remedies, names: Names
) -> Finding:
    """Tell of an outlier, with a removal if that is advised."""
    at, why = found
    label, row = names.labels[int(around.class_ids[at])], int(around.ids[at])
    apart = float(around.own.distances[at])
    advice = "look at it, and take it out only if it does not belong there: no answer tells"
    command = commands.show(names.location, label)
    if row in remedies.removed:
        advice = "others are recognised better without it"
        command = commands.remove(names.location, [row])
    return Finding(
        kind="outlier",
        labels=(label,),
        exemplars=(row,),
        distance=apart,
        reason=f"exemplar {row} of {label!r} is an outlier: the closest other of its class is at "
        f"{apart:.4g}, {why}; {advice}",
        command=command,
    )


def farther_than(around: Neighborhood) -> np.ndarray:
    """Return for each exemplar the share of other classes closer to it than its own, (N,).

    0 where nobody looked. Of more than 200 classes it is told from 200, of each from 10 exemplars.
    """
    share = np.zeros(len(around.ids))
    asked = around.asked[np.isfinite(around.own.distances[around.asked])]
    generator = np.random.default_rng(_SEED)
    classes = np.unique(around.class_ids)
    if len(classes) > _MOST_CLASSES:
        classes = np.sort(generator.choice(classes, _MOST_CLASSES, replace=False))
    chosen = np.flatnonzero(np.isin(around.class_ids, classes))
    chosen = chosen[np.argsort(around.class_ids[chosen], kind="stable")]
    group = np.searchsorted(classes, around.class_ids[chosen])
    rank = np.arange(len(chosen)) - np.searchsorted(group, group)
    chosen, group = chosen[rank < _MOST_ROWS], group[rank < _MOST_ROWS]
    starts = np.searchsorted(group, np.arange(len(classes)))
    rows = around.exemplars.embeddings(chosen).astype(np.float64)
    for start in range(0, len(asked), _AT_ONCE):
        some = asked[start : start + _AT_ONCE]
        probes = around.exemplars.embeddings(some).astype(np.float64)
        apart = around.exemplars.distance.pairwise(probes, rows)
        closest = np.minimum.reduceat(apart, starts, axis=1)
        is_other = classes != around.class_ids[some, None]
        own = around.own.distances[some, None] * (1 - _ROUNDING)  # a matrix product rounds
        num_closer = ((closest < own) & is_other).sum(1)
        share[some] = num_closer / np.maximum(is_other.sum(1), 1)
    return share


def _clearly_far(around: Neighborhood) -> tuple[np.ndarray, np.ndarray]:
    """Return the usual distance to the closest other in each exemplar's class, and who is far.

    Both (N,); NaN and False where that cannot be said.
    """
    nearest, class_of = around.own.distances, around.class_ids
    usual = np.full(len(nearest), np.nan)
    told = np.flatnonzero(np.isfinite(nearest) & ~within(nearest, around.almost_zero))
    _, group, count = np.unique(class_of[told], return_inverse=True, return_counts=True)
    order = np.lexsort((nearest[told], group))
    ends = np.cumsum(count)
    for start, end in zip(ends - count, ends, strict=True):
        if end - start >= _USUAL_FROM:
            members = told[order[start:end]]
            usual[members] = np.median(nearest[members])
    known = np.flatnonzero(~np.isnan(usual))
    is_far = np.zeros(len(nearest), bool)
    if len(known) >= _POOLED_FROM:
        excess = np.log(nearest[known] / usual[known])
        spread = 1.4826 * float(np.median(np.abs(excess)))
        is_far[known] = excess > max(_FAR * spread, np.log(_FAR_RATIO))
    return usual, is_far
