"""Any torch module as an encoder: what is passed from Python."""

from __future__ import annotations

from typing import final

import torch
from torch import nn

from ilk.encoders.trainable import TrainableEncoder
from ilk.errors import InvalidInput
from ilk.preprocess import Preprocess

__all__ = ["ModuleEncoder"]


@final
class ModuleEncoder(TrainableEncoder):
    """A torch module of yours, with what turns an item into its input.

    Shapes: N inputs, F feature size, D embedding size.

    Args:
        module: Inputs -> (N, D), or (N, F) if a head follows.
        preprocess: Makes the inputs: normalized (N, C, H, W) pictures, or arrays as they are.
        embedding_size: D, what comes out in the end.
        head: What follows the module: (N, F) -> (N, D). Without it the module is all there is; a
            frozen backbone needs one.
        feature_size: F, what the module gives; only needed with a head.
        weights_licence: The licence of the weights it comes with; empty if it has none.
        pretrained_on: What those were trained on; empty if on nothing.

    Raises:
        InvalidInput: The module does not give what the sizes say.

    Example:
        >>> preprocess = Preprocess(size_pixels=8, channels=1)
        >>> net = nn.Sequential(nn.Flatten(), nn.Linear(64, 4))
        >>> encoder = ModuleEncoder(net, preprocess, 4)
        >>> encoder(torch.zeros(3, 1, 8, 8)).shape
        torch.Size([3, 4])
    """

    def __init__(
        self,
        module: nn.Module,
        preprocess: Preprocess,
        embedding_size: int,
        *,
        head: nn.Module | None = None,
        feature_size: int | None = None,
        weights_licence: str = "",
        pretrained_on: str = "",
    ) -> None:
        super().__init__(
            module,
            head if head is not None else nn.Identity(),
            preprocess=preprocess,
            feature_size=feature_size or embedding_size,
            embedding_size=embedding_size,
            weights_licence=weights_licence,
            pretrained_on=pretrained_on,
        )
        if preprocess.input_shape is not None:
            self._check(preprocess.input_shape)

    def _check(self, shape: tuple[int, ...]) -> None:
        was_training = self.training
        self.eval()
        with torch.no_grad():
            found = tuple(self(torch.zeros(2, *shape)).shape)
        self.train(was_training)
        if found != (2, self.embedding_size):
            raise InvalidInput(
                f"expected the module to give (2, {self.embedding_size}) for inputs "
                f"{(2, *shape)}, got {found}"
            )
