"""Outliers: exemplars far from everything else of their class.

Two rules. Beyond the threshold: nothing of its class would recognise it. Where that is so of more
than a fifth of the gallery it is the encoder that is weak or the rate that is tight, and nobody is
an outlier for it alone; a note says so. And clearly far, without a threshold: how far each exemplar
is from the closest other of its class, as the logarithm of the ratio to the median of its class,
over all classes of at least five. The logarithm makes the rule the same for cosine and Euclidean
distances and for narrow and wide classes. The spread is 1.4826 times the median absolute value,
pooled over the gallery.

Shapes: N exemplars.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

import numpy as np

from ilk.gallery import commands
from ilk.gallery.findings import Finding
from ilk.gallery.names import FEW, Names
from ilk.gallery.neighborhood import Neighborhood
from ilk.thresholds import within

__all__ = ["Outliers", "outliers"]

_USUAL_FROM = 5
"""Of a class of at least so many exemplars it can be said what is usual in it."""

_FAR, _FAR_RATIO, _POOLED_FROM = 6.0, 2.0, 20
"""An exemplar is clearly far by so many robust standard deviations and by this ratio at least; so
many exemplars must show what is usual."""

_MOST_BEYOND = 0.2
"""If a larger share is beyond the threshold, being so is nothing special."""


@final
@dataclass(frozen=True)
class Outliers:
    """What was found, the farthest first, and what to say about all of them."""

    findings: list[Finding]
    notes: list[str]


def outliers(around: Neighborhood, limit: float | None, names: Names) -> Outliers:
    """Return exemplars far from all others of their class, the farthest first."""
    nearest = around.own.distances
    size = np.array([names.sizes.get(int(c), 0) for c in around.class_ids], np.int64)
    has_others = (size >= FEW) & np.isfinite(nearest)
    usual, is_far = _clearly_far(around)
    is_beyond = has_others & ~within(nearest, np.inf if limit is None else limit)
    notes, num_beyond, num_told = [], int(is_beyond.sum()), int(has_others.sum())
    if num_told >= _POOLED_FROM and num_beyond > _MOST_BEYOND * num_told:
        notes.append(
            f"{num_beyond} of {num_told} exemplars have nothing of their class within the "
            "threshold, too many to call them outliers: this encoder, at this rate, will not "
            "recognise much of what is enrolled; enroll more examples, allow a higher rate or "
            "train an encoder on things like these"
        )
        is_beyond &= is_far
    found = []
    for at in np.flatnonzero(is_beyond | (has_others & is_far)):
        label, row = names.labels[int(around.class_ids[at])], int(around.ids[at])
        reasons = []
        if is_beyond[at]:
            reasons.append(f"beyond the threshold {limit:.4g}")
        if is_far[at]:
            reasons.append(f"{nearest[at] / usual[at]:.2g} times as far as is usual in its class")
        found.append(
            Finding(
                kind="outlier",
                labels=(label,),
                exemplars=(row,),
                distance=float(nearest[at]),
                reason=f"exemplar {row} of {label!r} is an outlier: the closest other of its class "
                f"is at {nearest[at]:.4g}, {' and '.join(reasons)}",
                command=commands.remove(names.location, [row]),
            )
        )
    found.sort(key=lambda f: (-(f.distance or 0.0), f.exemplars))
    return Outliers(found, notes)


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
