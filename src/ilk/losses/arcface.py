"""ArcFace: classify the training classes with an angle added between an item and its own class."""

from __future__ import annotations

from math import cos, inf, radians, sin
from typing import final

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from ilk.distances import Cosine, Distance
from ilk.errors import InvalidInput
from ilk.losses.angles import own_distances, require_cosine, turned_cosines, with_own_cosines
from ilk.losses.class_weights import class_distances, draw_class_weights
from ilk.losses.loss import Loss

__all__ = ["ArcFace"]

_COSINE = Cosine()


@final
class ArcFace(Loss):
    """Cross entropy of the training classes with logits scale * cos(t), and cos(t + margin).

    t is the angle between an embedding and a learnt point per class; to its own class the margin
    is added, so that an item must be closer to its class than to all others by that angle (Deng,
    Guo, Xue and Zafeiriou 2019). Beyond 180 degrees minus the margin, where cos(t + margin) would
    rise again, the logit is scale * (cos(t) - margin sin(margin)), the margin in radians, as in
    the authors' code: it falls with t all the way. Without margin this is `NormalizedSoftmax` of
    temperature 1 / scale.

    Args:
        num_classes: C, at least 2. Labels are 0 to C - 1.
        embedding_size: D.
        margin_degrees: From 0 to 90; the authors' is half a radian.
        scale: Of the logits, above 0: the inverse of a temperature.
        distance: Cosine.

    Raises:
        InvalidInput: A setting is out of its range, or the distance is not cosine; in a call: a
            label is not from 0 to C - 1, or the embeddings are not of size D.

    Example:
        Two classes at a right angle, and an item 30 degrees from its own and 60 from the other:
        with a margin of 30 degrees both are as far.

        >>> loss = ArcFace(num_classes=2, embedding_size=2, margin_degrees=30.0)
        >>> with torch.no_grad():
        ...     _ = loss.class_weights.copy_(torch.eye(2))
        >>> value = loss(torch.tensor([[3**0.5, 1.0]]), torch.tensor([0]))
        >>> bool(value.isclose(torch.tensor(2.0).log()))
        True
    """

    needs_classes = True
    min_per_class = 1

    def __init__(
        self,
        *,
        num_classes: int,
        embedding_size: int,
        margin_degrees: float = 28.65,
        scale: float = 64.0,
        distance: Distance = _COSINE,
    ) -> None:
        super().__init__(distance)
        require_cosine(distance, "ArcFace")
        if not 0 <= margin_degrees <= 90:
            raise InvalidInput(f"margin_degrees must be from 0 to 90, got {margin_degrees}")
        if not 0 < scale < inf:
            raise InvalidInput(f"scale must be above 0 and finite, got {scale}")
        self.margin_degrees = float(margin_degrees)
        self.scale = float(scale)
        self.class_weights = draw_class_weights(num_classes, embedding_size)
        """A point per class, (C, D), drawn with torch's global generator at unit length."""

    def extra_repr(self) -> str:
        """Return the settings, for `repr`."""
        num_classes, embedding_size = self.class_weights.shape
        return (
            f"num_classes={num_classes}, embedding_size={embedding_size}, "
            f"margin_degrees={self.margin_degrees}, scale={self.scale}"
        )

    def _loss(self, embeddings: Tensor, labels: Tensor) -> Tensor:
        labels = labels.long()
        distances = class_distances(self.distance, embeddings, labels, self.class_weights)
        own = self._own_cosines(own_distances(distances, labels))
        return cross_entropy(self.scale * with_own_cosines(distances, labels, own), labels)

    def _own_cosines(self, own: Tensor) -> Tensor:
        margin = radians(self.margin_degrees)
        turned = turned_cosines(own, own.new_tensor(margin))
        cosines = 1 - own
        return torch.where(cosines < -cos(margin), cosines - margin * sin(margin), turned)
