"""A last layer that keeps embeddings within the radius of a hyperbolic space.

Shapes: N inputs, D embedding size.
"""

from __future__ import annotations

import copy
from typing import final

import numpy as np
import torch
from torch import Tensor, nn

from ilk.distances import Hyperbolic
from ilk.encoders.trainable import TrainableEncoder
from ilk.training.loading import Contents
from ilk.training.module import TrainingModule

__all__ = ["Bound", "bound_head", "set_scale"]

_NUM_LOOKED_AT = 64


@final
class Bound(nn.Module):
    """v R s / (R + s |v|): the direction of v, and a length below R that grows with that of v.

    Where the distance clips at R instead (Guo et al. 2022), an embedding beyond it has no slope
    that leads back: under the common losses all of them end there, at one radius, where the
    hyperbolic ranking is that of the cosine. Here the slope is never 0, and the scale s, a buffer
    that is set by what the head gives at first, puts the median at R / 2.

    Example:
        >>> Bound(4.0)(torch.tensor([[4.0, 0.0], [0.0, 12.0], [0.0, 0.0]]))
        tensor([[2., 0.],
                [0., 3.],
                [0., 0.]])
    """

    scale: Tensor

    def __init__(self, limit: float) -> None:
        super().__init__()
        self.limit = limit
        self.register_buffer("scale", torch.ones(()))

    def forward(self, embeddings: Tensor) -> Tensor:
        """Return (N, D) float32 embeddings shorter than the limit."""
        scaled = embeddings.float() * self.scale
        lengths = (scaled * scaled).sum(-1, keepdim=True).clamp(min=1e-24).sqrt()
        return scaled * (self.limit / (self.limit + lengths))


def bound_head(encoder: TrainableEncoder, distance: Hyperbolic) -> None:
    """Put a bound at the end of an encoder's head, in the place of one that it has from before."""
    head = encoder.head
    if isinstance(head, nn.Sequential) and len(head) and isinstance(head[-1], Bound):
        head = head[0]
    encoder.head = nn.Sequential(head, Bound(distance.max_radius))


def set_scale(module: TrainingModule, training: Contents) -> None:
    """Set the scale of a module's bound, if it has one, by some of the training items."""
    head = module.network["head"]
    if not (isinstance(head, nn.Sequential) and isinstance(head[-1], Bound)):
        return
    positions = np.unique(np.linspace(0, len(training.items) - 1, _NUM_LOOKED_AT).astype(int))
    backbone, unbounded = copy.deepcopy((module.train().network["backbone"], head[0]))
    with torch.no_grad():  # by copies, because batch norm follows what it sees
        lengths = [
            torch.linalg.vector_norm(unbounded(backbone(inputs)).float(), dim=1)
            for inputs in module.prepared(training.batches([positions.tolist()]))
        ]
    median = float(torch.cat(lengths).median())
    if median > 0:
        head[-1].scale.fill_(head[-1].limit / median)
