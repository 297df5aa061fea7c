"""What training needs of an encoder: a backbone, a head, and how its inputs are made."""

from __future__ import annotations

from abc import ABC

from torch import Tensor, nn

from ilk.preprocess import Preprocess

__all__ = ["TrainableEncoder"]


class TrainableEncoder(nn.Module, ABC):
    """A torch module that turns normalized inputs into embeddings.

    A subclass calls `super().__init__(...)` and hands over its two parts. They are kept apart
    because training treats them apart: their own learning rates, a frozen backbone whose outputs
    are computed once, a head that can be trained alone.

    Shapes: N inputs, F feature size of the backbone, D embedding size.
    """

    backbone: nn.Module
    """(N, C, H, W) normalized inputs -> (N, F)."""
    head: nn.Module
    """(N, F) -> (N, D)."""

    def __init__(
        self,
        backbone: nn.Module,
        head: nn.Module,
        *,
        preprocess: Preprocess,
        feature_size: int,
        embedding_size: int,
        weights_licence: str = "",
        pretrained_on: str = "",
    ) -> None:
        """Keep the parts.

        Args:
            backbone: (N, C, H, W) normalized inputs -> (N, F).
            head: (N, F) -> (N, D).
            preprocess: What turns the content of an item into an input.
            feature_size: F.
            embedding_size: D.
            weights_licence: The licence of the weights it starts from; empty from scratch.
            pretrained_on: What those weights were trained on; empty from scratch.
        """
        super().__init__()
        self.backbone = backbone
        self.head = head
        self.preprocess = preprocess
        self.feature_size = feature_size
        self.embedding_size = embedding_size
        self.weights_licence = weights_licence
        self.pretrained_on = pretrained_on

    def forward(self, inputs: Tensor) -> Tensor:
        """Return the (N, D) embeddings of (N, C, H, W) normalized inputs."""
        embeddings: Tensor = self.head(self.backbone(inputs))
        return embeddings
