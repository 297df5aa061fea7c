"""AdaFace: the margin follows how good a picture is, as the length of its embedding tells."""

from __future__ import annotations

from math import inf
from typing import final

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from ilk.distances import Cosine, Distance
from ilk.distances.arrays import widest
from ilk.errors import InvalidInput
from ilk.losses.angles import own_distances, require_cosine, turned_cosines, with_own_cosines
from ilk.losses.class_weights import class_distances, draw_class_weights
from ilk.losses.loss import Loss

__all__ = ["AdaFace"]

_COSINE = Cosine()

_LEAST_SPREAD = 1e-3
"""Added to the standard deviation of the lengths, as the authors do."""

_LONGEST = 1e30
"""Longer embeddings count as this long: float32 must hold the mean."""


@final
class AdaFace(Loss):
    """Cross entropy of the training classes, with a margin by the length of each embedding.

    Encoders make short embeddings of pictures they can tell little from. The quality q of an item
    is how far the length of its embedding is from the mean, in standard deviations, times
    `concentration`, cut to -1 to 1. The logit of its own class is
    scale * (cos(t - margin q) - margin (1 + q)), t being the angle to the learnt point of the
    class and t - margin q kept from 0 to 180 degrees; other logits are scale * cos(t). So good
    pictures get a margin that stresses the difficult ones among them, and poor ones, which may
    not be recognizable at all, one that stresses the easy ones (Kim, Jain and Liu 2022).

    Mean and standard deviation follow the batches of training: the mean over the first
    1 / momentum batches, then a moving one. They are buffers and part of the state. The length
    itself gets no gradient from the margin.

    Args:
        num_classes: C, at least 2. Labels are 0 to C - 1.
        embedding_size: D.
        margin: From 0 to 1, an angle in radians and a cosine at once.
        concentration: At least 0; at 0 all items have the same quality, and 1/3 puts most lengths
            between the ends. The authors call it h.
        scale: Of the logits, above 0: the inverse of a temperature.
        momentum: The weight of a batch in mean and standard deviation, above 0 and at most 1.
        distance: Cosine.

    Raises:
        InvalidInput: A setting is out of its range, or the distance is not cosine; in a call: a
            label is not from 0 to C - 1, or the embeddings are not of size D.

    Example:
        >>> loss = AdaFace(num_classes=2, embedding_size=2)
        >>> _ = loss(torch.tensor([[3.0, 4.0], [0.0, 1.0]]), torch.tensor([0, 1]))
        >>> loss.length_mean, loss.state_dict().keys() >= {"length_mean", "length_std"}
        (tensor(3.), True)
    """

    needs_classes = True
    min_per_class = 1
    weighs_lengths = True

    length_mean: Tensor
    """The mean length of embeddings, a scalar."""
    length_std: Tensor
    """The standard deviation of the lengths, a scalar."""
    num_batches: Tensor
    """How many batches the two are of, an integer."""

    def __init__(
        self,
        *,
        num_classes: int,
        embedding_size: int,
        margin: float = 0.4,
        concentration: float = 0.333,
        scale: float = 64.0,
        momentum: float = 0.01,
        distance: Distance = _COSINE,
    ) -> None:
        super().__init__(distance)
        require_cosine(distance, "AdaFace")
        if not 0 <= margin <= 1:
            raise InvalidInput(f"margin must be from 0 to 1, got {margin}")
        if not 0 <= concentration < inf:
            raise InvalidInput(f"concentration must be at least 0 and finite, got {concentration}")
        if not 0 < scale < inf:
            raise InvalidInput(f"scale must be above 0 and finite, got {scale}")
        if not 0 < momentum <= 1:
            raise InvalidInput(f"momentum must be above 0 and at most 1, got {momentum}")
        self.margin, self.concentration = float(margin), float(concentration)
        self.scale, self.momentum = float(scale), float(momentum)
        self.class_weights = draw_class_weights(num_classes, embedding_size)
        """A point per class, (C, D), drawn with torch's global generator at unit length."""
        self.register_buffer("length_mean", torch.zeros(()))
        self.register_buffer("length_std", torch.zeros(()))
        self.register_buffer("num_batches", torch.zeros((), dtype=torch.int64))

    def extra_repr(self) -> str:
        """Return the settings, for `repr`."""
        num_classes, embedding_size = self.class_weights.shape
        return (
            f"num_classes={num_classes}, embedding_size={embedding_size}, margin={self.margin}, "
            f"concentration={self.concentration}, scale={self.scale}, momentum={self.momentum}"
        )

    def _loss(self, embeddings: Tensor, labels: Tensor) -> Tensor:
        labels = labels.long()
        distances = class_distances(self.distance, embeddings, labels, self.class_weights)
        quality = self._quality(embeddings.detach()).to(distances.dtype)
        own = self._own_cosines(own_distances(distances, labels), -self.margin * quality)
        own = own - self.margin * (1 + quality)
        return cross_entropy(self.scale * with_own_cosines(distances, labels, own), labels)

    def _own_cosines(self, own: Tensor, angles: Tensor) -> Tensor:
        """Return cos(t + angle), t + angle being kept from 0 to 180 degrees."""
        turned, cosines, ends = turned_cosines(own, angles), 1 - own, angles.cos()
        turned = torch.where((angles < 0) & (cosines > ends), torch.ones_like(turned), turned)
        return torch.where((angles > 0) & (cosines < -ends), -torch.ones_like(turned), turned)

    def _quality(self, embeddings: Tensor) -> Tensor:
        """Return the quality of each item, (N,) from -1 to 1; follow the lengths in training."""
        lengths = torch.linalg.vector_norm(widest(embeddings), dim=1).clamp(max=_LONGEST)
        mean, std = lengths.mean(), lengths.std(correction=min(1, len(lengths) - 1))
        num_batches = int(self.num_batches)
        if num_batches:
            weight = max(self.momentum, 1 / (num_batches + 1)) if self.training else 0.0
            mean = torch.lerp(self.length_mean.to(mean), mean, weight)
            std = torch.lerp(self.length_std.to(std), std, weight)
        if self.training and bool(mean.isfinite()):
            self.length_mean.copy_(mean)
            self.length_std.copy_(std)
            self.num_batches += 1
        return ((lengths - mean) / (std + _LEAST_SPREAD) * self.concentration).clamp(-1, 1)
