"""Supervised contrastive loss: pick out the own class among the whole batch."""

from __future__ import annotations

from math import inf
from typing import final

import torch
from torch import Tensor

from ilk.distances import Cosine, Distance
from ilk.distances.arrays import widest
from ilk.errors import InvalidInput
from ilk.losses.loss import Loss
from ilk.losses.rows import Rows, Terms, mean_over_rows

__all__ = ["Contrastive"]

_COSINE = Cosine()


@final
class Contrastive(Loss):
    """-log softmax of each positive among all other items, logits -d / temperature.

    Each anchor's term is the mean over its positives of -log(exp(-d(a,p) / T) / sum over every
    other item x of exp(-d(a,x) / T)); the loss is the mean over the anchors that have a positive.
    This is L_out of Khosla et al. 2020; with two items per class it is InfoNCE (NT-Xent). Memory
    beside the gradient is bounded, whatever N.

    Args:
        temperature: Of the logits, above 0, in units of the distance.
        distance: Any distance. With cosine the logits are cosines over temperature, up to a
            constant that cancels.

    Raises:
        InvalidInput: The temperature is not above 0.

    Example:
        The positive and the one negative are equally far from each anchor that has a positive:

        >>> corner = torch.tensor([[1.0, 0.0], [-0.5, 0.75**0.5], [-0.5, -(0.75**0.5)]])
        >>> loss = Contrastive()(corner, torch.tensor([0, 0, 1]))
        >>> bool(loss.isclose(torch.tensor(2.0).log()))
        True
    """

    needs_classes = False
    min_per_class = 2

    def __init__(self, *, temperature: float = 0.1, distance: Distance = _COSINE) -> None:
        super().__init__(distance)
        if not 0 < temperature < inf:
            raise InvalidInput(f"temperature must be above 0 and finite, got {temperature}")
        self.temperature = float(temperature)

    def extra_repr(self) -> str:
        """Return the settings, for `repr`."""
        return f"temperature={self.temperature}, distance={self.distance!r}"

    def _loss(self, embeddings: Tensor, labels: Tensor) -> Tensor:
        return mean_over_rows(embeddings, labels, self.distance, self._terms)

    def _terms(self, distances: Tensor, rows: Rows) -> Terms:
        itself = rows.itself()
        logits = (distances / -self.temperature).scatter(1, itself, -inf)
        share = rows.own_class().to(logits.dtype).scatter_(1, itself, 0)
        share /= (rows.size - 1).clamp(min=1)[:, None]
        has_positive = (rows.size > 1).to(logits.dtype)
        log_sum = logits.logsumexp(1)
        to_positives = (logits.scatter(1, itself, 0) * share).sum(1)
        total = widest((log_sum - to_positives) * has_positive).sum()
        slopes = (torch.exp(logits - log_sum[:, None]) - share) * has_positive[:, None]
        return Terms(total, has_positive.sum(), slopes / -self.temperature)
