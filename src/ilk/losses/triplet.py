"""Triplet loss: each item closer to its own class than to any other, by a margin."""

from __future__ import annotations

from functools import partial
from math import inf
from typing import Literal, final

from torch import Tensor

from ilk.distances import Cosine, Distance
from ilk.errors import InvalidInput
from ilk.losses.loss import Loss
from ilk.losses.rows import mean_over_rows
from ilk.losses.triplet_terms import (
    all_triplets,
    all_triplets_soft,
    hardest_triplets,
    semi_hard_triplets,
)

__all__ = ["Triplet"]

_COSINE = Cosine()
_CHOICES = ("all", "semi-hard", "hardest")


@final
class Triplet(Loss):
    """max(0, d(a,p) - d(a,n) + margin), the mean over the active triplets of the batch.

    a is an anchor, p another item of its class, n an item of another class. A triplet is active if
    its term is above 0: a mean over all of them would fade as training succeeds. If none is
    active the loss is 0 with gradient 0: the batch satisfies the margin. Which triplets are looked
    at is `triplets`:

    - "all": every one, exactly, in O(N^2 log K) time for N items, K in a class.
    - "semi-hard": for each a and p the closest n that is farther than p, or the farthest n where
      none is (Schroff, Kalenichenko and Philbin 2015; with that fallback as in TensorFlow Addons).
    - "hardest": for each a the farthest p and the closest n (Hermans, Beyer and Leibe 2017).

    Memory beside the gradient is bounded, whatever N; the (N, N) distances are never held.

    Args:
        margin: By how much a negative should be farther than a positive, in units of the distance,
            at least 0. "soft" is log(1 + exp(d(a,p) - d(a,n))) instead, which never quite ends;
            its mean is over all triplets looked at, and with "all" its time is O(N^2 K).
        distance: Any distance.
        triplets: "all", "semi-hard" or "hardest".

    Raises:
        InvalidInput: A setting is not one of these.

    Example:
        Two classes on a line; only the triplets of the two items in the middle are active:

        >>> import torch
        >>> from ilk.distances import Euclidean
        >>> embeddings = torch.tensor([[0.0], [2.0], [3.0], [5.0]])
        >>> labels = torch.tensor([0, 0, 1, 1])
        >>> Triplet(margin=0.5, distance=Euclidean())(embeddings, labels)
        tensor(1.5000)
    """

    needs_classes = False
    min_per_class = 2

    def __init__(
        self,
        *,
        margin: float | Literal["soft"] = 0.05,
        distance: Distance = _COSINE,
        triplets: Literal["all", "semi-hard", "hardest"] = "all",
    ) -> None:
        super().__init__(distance)
        is_soft = margin == "soft"
        if not is_soft and (isinstance(margin, str) or not 0 <= margin < inf):
            raise InvalidInput(f'margin must be at least 0 and finite, or "soft", got {margin!r}')
        if triplets not in _CHOICES:
            raise InvalidInput(f"triplets must be one of {', '.join(_CHOICES)}, got {triplets!r}")
        self.margin = margin
        self.triplets = triplets
        limit = None if isinstance(margin, str) else float(margin)
        if triplets == "semi-hard":
            self._terms = partial(semi_hard_triplets, margin=limit)
        elif triplets == "hardest":
            self._terms = partial(hardest_triplets, margin=limit)
        elif limit is None:
            self._terms = partial(all_triplets_soft)
        else:
            self._terms = partial(all_triplets, margin=limit)

    def extra_repr(self) -> str:
        """Return the settings, for `repr`."""
        return f"margin={self.margin!r}, distance={self.distance!r}, triplets={self.triplets!r}"

    def _loss(self, embeddings: Tensor, labels: Tensor) -> Tensor:
        return mean_over_rows(embeddings, labels, self.distance, self._terms)
