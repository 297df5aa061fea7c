"""Which triplets count, and what each anchor's triplets contribute.

A triplet is an anchor a, a positive p (another item of its class) and a negative n (an item of
another class). Its gap is d(a,p) - d(a,n). With a margin the triplet is active if its hinge, gap +
margin, is above 0, and contributes the hinge; the soft form counts every triplet with
log(1 + exp(gap)).

Shapes: N items, A anchors, P items of the largest class.
"""

from __future__ import annotations

from math import inf
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import softplus

from ilk.distances.arrays import widest
from ilk.losses.rows import Rows, Terms

__all__ = ["all_triplets", "all_triplets_soft", "hardest_triplets", "semi_hard_triplets"]


def all_triplets(distances: Tensor, rows: Rows, margin: float) -> Terms:
    """Sum the hinge over every active triplet, in O(N log P) per anchor.

    The limits d(a,p) + margin of an anchor are sorted once. A binary search of each negative among
    them says how many of its triplets are active; a running count over the limits says the same of
    each positive. A distance appears once in each of its active triplets, so the counts are the
    slopes, and the value is the counts times the distances. float64 keeps the digits of that
    difference of large sums.
    """
    d = widest(distances)
    position, counts = rows.positives()
    limit = (d.gather(1, position) + margin).masked_fill(~counts, -inf)
    limit, by_limit = limit.sort(1)
    num_limits = limit.shape[1]
    at_or_below = torch.searchsorted(limit, d.masked_fill(rows.own_class(), inf), right=True)
    active_positives = (num_limits - at_or_below).to(d.dtype)  # of each negative, 0 in its class
    anchor = torch.arange(len(d), device=d.device)[:, None]
    bins = (at_or_below + anchor * (num_limits + 1)).flatten()
    histogram = torch.bincount(bins, minlength=len(d) * (num_limits + 1)).view(len(d), -1)
    active_negatives = histogram[:, :-1].cumsum(1).to(d.dtype)  # of each positive
    pushed = limit.masked_fill(active_negatives == 0, 0)
    total = torch.sum(pushed * active_negatives) - torch.sum(d * active_positives)
    slopes = -active_positives
    slopes.scatter_add_(1, position.gather(1, by_limit), active_negatives)
    return Terms(total, active_positives.sum(), slopes)


def all_triplets_soft(distances: Tensor, rows: Rows) -> Terms:
    """Sum log(1 + exp(gap)) over every triplet, in O(N P) per anchor: it has no prefix sums."""
    d = widest(distances)
    position, counts = rows.positives()
    is_negative = ~rows.own_class()
    slopes, total, count = torch.zeros_like(d), d.new_zeros(()), d.new_zeros(())
    for column, counted in zip(position.T[:, :, None], counts.T[:, :, None], strict=True):
        gap = d.gather(1, column) - d
        triplet = is_negative & counted
        total += (_soft(gap) * triplet).sum()
        count += triplet.sum()
        slope = torch.sigmoid(gap) * triplet
        slopes -= slope
        slopes.scatter_add_(1, column, slope.sum(1, keepdim=True))
    return Terms(total, count, slopes)


def semi_hard_triplets(distances: Tensor, rows: Rows, margin: float | None) -> Terms:
    """One triplet per anchor and positive: the closest negative that is farther than the positive.

    Where every negative is at most as far, the farthest of them. `margin` None is the soft form.
    """
    d = widest(distances)
    position, counts = rows.positives()
    negatives, by_distance = d.masked_fill(rows.own_class(), inf).sort(1)
    to_positive = d.gather(1, position)
    at = torch.searchsorted(negatives, to_positive, right=True)
    at = at.minimum((rows.num_items - rows.size - 1)[:, None])
    chosen = _Chosen(position, to_positive, by_distance.gather(1, at), negatives.gather(1, at))
    return _sum_chosen(d, chosen, counts, margin)


def hardest_triplets(distances: Tensor, rows: Rows, margin: float | None) -> Terms:
    """One triplet per anchor: its farthest positive and its closest negative.

    `margin` None is the soft form.
    """
    d = widest(distances)
    position, counts = rows.positives()
    farthest, at = d.gather(1, position).masked_fill(~counts, -inf).max(1, keepdim=True)
    closest, negative = d.masked_fill(rows.own_class(), inf).min(1, keepdim=True)
    has_positive = counts.any(1, keepdim=True)
    to_positive = farthest.masked_fill(~has_positive, 0)
    chosen = _Chosen(position.gather(1, at), to_positive, negative, closest)
    return _sum_chosen(d, chosen, has_positive, margin)


class _Chosen(NamedTuple):
    """Some triplets per anchor, each (A, number of triplets)."""

    positive: Tensor
    to_positive: Tensor
    negative: Tensor
    to_negative: Tensor


def _sum_chosen(d: Tensor, chosen: _Chosen, counts: Tensor, margin: float | None) -> Terms:
    if margin is None:
        gap = chosen.to_positive - chosen.to_negative
        value, slope = _soft(gap), torch.sigmoid(gap)
    else:
        value = chosen.to_positive + margin - chosen.to_negative
        counts = counts & ~(value <= 0)  # NaN stays, to be seen in the loss
        slope = torch.ones_like(value)
    slope = slope * counts
    slopes = torch.zeros_like(d)
    slopes.scatter_add_(1, chosen.positive, slope)
    slopes.scatter_add_(1, chosen.negative, -slope)
    return Terms(value.masked_fill(~counts, 0).sum(), counts.sum(), slopes)


def _soft(gap: Tensor) -> Tensor:
    return softplus(gap, threshold=40.0)  # above it log(1 + exp(gap)) is gap in float64
