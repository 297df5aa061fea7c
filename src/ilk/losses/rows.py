"""The mean of a term per row of the distance matrix, without ever holding the matrix.

A loss over pairs or triplets is a sum over anchors of a function of the anchor's distances to the
whole batch. Such a function here returns its slopes, the derivatives by those distances, with its
value. So a few rows of the matrix are computed, pulled back to the embeddings and forgotten before
the next: memory is O(N D) beside a fixed number of matrix entries, forward and backward together.

Shapes: N items, D embedding size, A anchors (the rows at hand), P items of the largest class.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple, final

import torch
from torch import Tensor

from ilk.distances import Distance
from ilk.distances.arrays import at_least_float32, widest
from ilk.errors import NoSignal

__all__ = ["Rows", "Terms", "mean_over_rows"]

_CHUNK_ELEMENTS = 1 << 18
"""How many entries of the distance matrix are held at once: about what a cache takes."""

_FEWEST_ROWS = 128
"""But no fewer rows than this: each chunk has a cost of its own."""


class Terms(NamedTuple):
    """What some rows contribute: the loss is the sum of totals over the sum of numbers."""

    total: Tensor
    """The sum of the terms, a scalar."""
    number: Tensor
    """How many terms the mean is over, a scalar."""
    slopes: Tensor
    """The derivative of `total` by each distance, (A, N)."""


@final
@dataclass(frozen=True)
class Rows:
    """Some anchors of a batch that is sorted by class."""

    start: int
    """Position of the first of them in the batch."""
    first: Tensor
    """Position of the first item of each anchor's class, (A,)."""
    size: Tensor
    """How many items each anchor's class has, itself included, (A,)."""
    largest: int
    """P."""
    num_items: int
    """N."""

    def itself(self) -> Tensor:
        """Return the position of each anchor in the batch, (A, 1)."""
        stop = self.start + len(self.first)
        return torch.arange(self.start, stop, device=self.first.device)[:, None]

    def own_class(self) -> Tensor:
        """Return which items are of each anchor's class, itself included, (A, N) bool."""
        item = torch.arange(self.num_items, device=self.first.device)
        first = self.first[:, None]
        return (item >= first) & (item < first + self.size[:, None])

    def positives(self) -> tuple[Tensor, Tensor]:
        """Return the positions of each anchor's positives, (A, P), and which of them count."""
        step = torch.arange(self.largest, device=self.first.device)
        position = self.first[:, None] + step
        counts = (step < self.size[:, None]) & (position != self.itself())
        return position.clamp(max=self.num_items - 1), counts


def mean_over_rows(
    embeddings: Tensor, labels: Tensor, distance: Distance, terms: Callable[[Tensor, Rows], Terms]
) -> Tensor:
    """Return the mean of the terms of all anchors, or 0 if there are none; gradients flow.

    Args:
        embeddings: (N, D).
        labels: (N,) integers.
        distance: Gives the (A, N) rows that `terms` is called with.
        terms: From (A, N) distances of the anchors `Rows` to what they contribute.

    Raises:
        NoSignal: The batch has one class only, or no class has two items.
    """
    _, order = labels.sort(stable=True)
    _, sizes = torch.unique(labels, return_counts=True)
    largest = int(sizes.max())
    if len(sizes) == 1:
        raise NoSignal(
            f"expected items of at least 2 classes, got {len(labels)} of one class; draw batches "
            "of several classes (classes_per_batch >= 2)"
        )
    if largest == 1:
        raise NoSignal(
            f"expected a class with at least 2 items, got {len(labels)} classes with one each, so "
            "nothing is to be pulled together; draw several of a class (items_per_class >= 2)"
        )
    size = sizes.repeat_interleave(sizes)
    first = (sizes.cumsum(0) - sizes).repeat_interleave(sizes)
    whole = Rows(0, first, size, largest, len(labels))
    needs_gradient = torch.is_grad_enabled() and embeddings.requires_grad
    ordered = at_least_float32(embeddings)[order]
    loss: Tensor = _RowMean.apply(ordered, whole, distance, terms, needs_gradient)
    return loss


class _RowMean(torch.autograd.Function):
    """Computes the gradient on the way forward, while the rows it needs are there."""

    @staticmethod
    def forward(
        ctx: Any,
        embeddings: Tensor,
        whole: Rows,
        distance: Distance,
        terms: Callable[[Tensor, Rows], Terms],
        needs_gradient: bool,
    ) -> Tensor:
        leaf = embeddings.detach().requires_grad_(needs_gradient)
        gradient = torch.zeros_like(leaf) if needs_gradient else None
        total = widest(torch.zeros((), device=leaf.device))
        number = torch.zeros_like(total)
        step = max(_FEWEST_ROWS, _CHUNK_ELEMENTS // whole.num_items)
        for start in range(0, whole.num_items, step):
            part = slice(start, start + step)
            rows = Rows(start, whole.first[part], whole.size[part], whole.largest, whole.num_items)
            with torch.set_grad_enabled(needs_gradient):
                distances = distance.pairwise(leaf[part], leaf)
            own = terms(distances.detach(), rows)
            total += own.total
            number += own.number
            if gradient is not None:
                slopes = own.slopes.to(distances.dtype)
                gradient += torch.autograd.grad(distances, leaf, slopes)[0]
        number.clamp_(min=1)
        if gradient is not None:
            ctx.save_for_backward(gradient / number)
        return (total / number).to(leaf.dtype)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, slope: Tensor) -> tuple[Tensor | None, ...]:
        (gradient,) = ctx.saved_tensors
        return slope * gradient, None, None, None, None
