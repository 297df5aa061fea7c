"""Loss: what every loss promises to training."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar

import torch
from torch import Tensor, nn

from ilk.distances import Distance
from ilk.errors import InvalidInput, NoSignal

__all__ = ["Loss"]


class Loss(nn.Module, ABC):
    """A batch of embeddings and their classes in, one number to make smaller out.

    - The value is computed in float32 or better, whatever automatic mixed precision is set to, and
      parameters keep the dtype they have.
    - Value and gradient do not depend on the order of the batch or on which integers name the
      classes, and are finite for every batch of numbers up to 1e30: duplicates, a collapsed batch,
      all-zero and opposite embeddings.
    - A loss may follow what it sees in buffers, which are part of its state; the same state and
      batch give the same value.
    - A batch from which nothing can be learnt raises `NoSignal`. A loss of 0 is an answer: nothing
      is left to improve.
    """

    needs_classes: ClassVar[bool]
    """Whether it learns a weight per class and is made with `num_classes=`, `embedding_size=`."""

    min_per_class: ClassVar[int]
    """How many items of a class a batch needs, so that the class can be learnt from."""

    weighs_lengths: ClassVar[bool] = False
    """Whether how much an item counts depends on the length of its embedding, which gets no
    gradient from that: then the gradient is the slope of the loss for turns only."""

    def __init__(self, distance: Distance) -> None:
        super().__init__()
        self.distance = distance

    def forward(self, embeddings: Tensor, labels: Tensor) -> Tensor:
        """Return the loss of (N, D) embeddings of the classes `labels`, (N,) integers: a scalar.

        Raises:
            NoSignal: Nothing can be learnt from the batch; the message says why.
            InvalidInput: The shapes or types do not fit.
        """
        if embeddings.ndim != 2 or labels.shape != embeddings.shape[:1]:
            raise InvalidInput(
                f"expected embeddings (N, D) and labels (N,), got {tuple(embeddings.shape)} and "
                f"{tuple(labels.shape)}"
            )
        if not embeddings.is_floating_point() or labels.is_floating_point():
            raise InvalidInput(
                f"expected floating-point embeddings and integer labels, got {embeddings.dtype} "
                f"and {labels.dtype}"
            )
        if not len(embeddings):
            raise NoSignal("a loss needs items to learn from, got an empty batch")
        with torch.autocast(embeddings.device.type, enabled=False):
            return self._loss(embeddings, labels.to(embeddings.device))

    @abstractmethod
    def _loss(self, embeddings: Tensor, labels: Tensor) -> Tensor:
        """Return the loss of a batch whose shapes and types have been checked."""
