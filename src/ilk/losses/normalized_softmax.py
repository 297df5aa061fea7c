"""Normalised softmax: classify the training classes by distance to a learnt point per class."""

from __future__ import annotations

from math import inf
from typing import final

from torch import Tensor
from torch.nn.functional import cross_entropy

from ilk.distances import Cosine, Distance
from ilk.errors import InvalidInput
from ilk.losses.class_weights import class_distances, draw_class_weights
from ilk.losses.loss import Loss

__all__ = ["NormalizedSoftmax"]

_COSINE = Cosine()


@final
class NormalizedSoftmax(Loss):
    """Cross entropy of the training classes with logits -d(embedding, class weight) / temperature.

    `class_weights` (C, D) is a point per class in the space of the embeddings, learnt with them
    and thrown away after training; it wants a learning rate 10 to 100 times the backbone's. With
    cosine this is normalised softmax (Wang et al. 2017; Zhai and Wu 2019), the logits being
    cosines over temperature up to a constant that cancels.

    Args:
        num_classes: C, at least 2. Labels are 0 to C - 1.
        embedding_size: D.
        temperature: Of the logits, above 0, in units of the distance.
        distance: Any distance.

    Raises:
        InvalidInput: A setting is out of its range; in a call: a label is not from 0 to C - 1, or
            the embeddings are not of size D.

    Example:
        >>> import torch
        >>> loss = NormalizedSoftmax(num_classes=3, embedding_size=2, temperature=1.0)
        >>> with torch.no_grad():
        ...     _ = loss.class_weights.fill_(1.0)  # every class at the same point
        >>> value = loss(torch.tensor([[1.0, 0.0], [2.0, 5.0]]), torch.tensor([0, 2]))
        >>> bool(value.isclose(torch.tensor(3.0).log()))
        True
    """

    needs_classes = True
    min_per_class = 1

    def __init__(
        self,
        *,
        num_classes: int,
        embedding_size: int,
        temperature: float = 0.07,
        distance: Distance = _COSINE,
    ) -> None:
        super().__init__(distance)
        if not 0 < temperature < inf:
            raise InvalidInput(f"temperature must be above 0 and finite, got {temperature}")
        self.temperature = float(temperature)
        self.class_weights = draw_class_weights(num_classes, embedding_size)
        """A point per class, (C, D), drawn with torch's global generator at unit length."""

    def extra_repr(self) -> str:
        """Return the settings, for `repr`."""
        num_classes, embedding_size = self.class_weights.shape
        return (
            f"num_classes={num_classes}, embedding_size={embedding_size}, "
            f"temperature={self.temperature}, distance={self.distance!r}"
        )

    def _loss(self, embeddings: Tensor, labels: Tensor) -> Tensor:
        distances = class_distances(self.distance, embeddings, labels, self.class_weights)
        return cross_entropy(distances / -self.temperature, labels.long())
