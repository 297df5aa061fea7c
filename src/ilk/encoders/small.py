"""A small residual convolutional net for small drawings, trained from scratch on a processor.

Shapes: N inputs, C channels, H and W height and width, F feature size, D embedding size.
"""

from __future__ import annotations

import math
from typing import final

from torch import Tensor, nn

from ilk.encoders.head import make_head
from ilk.encoders.pooling import Pooling
from ilk.encoders.trainable import TrainableEncoder
from ilk.errors import InvalidInput
from ilk.preprocess import Preprocess, Size, sides_of

__all__ = ["SmallEncoder"]


@final
class SmallEncoder(TrainableEncoder):
    """Three residual stages at a half, a quarter and an eighth of the size.

    The stem folds each 2 x 2 pixels into channels, so no convolution runs at full size: of a
    48-pixel drawing nothing is lost, and a step takes half the time. The widths of the stages are
    `width`, twice and four times it; at 48 pixels a width of 64 makes 1.5 million parameters, 32
    under half a million. The weights are drawn from torch's generator: seed it for the same net.

    Args:
        embedding_size: D.
        size_pixels: Of the input, even and at least 8: the side of a square, or (height, width).
        channels: C: 1 is grey, 3 is colour.
        width: Channels of the first stage; multiples of 32 are fast.
        pooling: How the last map becomes one row. "grid" averages cells of 16 x 16 pixels and
            keeps them all, so that it counts where in a drawing something is; "avg", "max",
            "avg+max" and "gem" pool over the whole drawing.
        trim: Whether the plain border around a drawing is cut away first, so that its size and
            place on the paper do not count.
        dropout: Share of the pooled features that training leaves out at random.

    Raises:
        InvalidInput: A size is out of its range.
        ConfigError: There is no pooling of that name.

    Example:
        >>> import torch
        >>> encoder = SmallEncoder(embedding_size=16, width=8)
        >>> encoder(torch.zeros(2, 1, 48, 48)).shape
        torch.Size([2, 16])
    """

    def __init__(
        self,
        *,
        embedding_size: int = 128,
        size_pixels: Size = 48,
        channels: int = 1,
        width: int = 64,
        pooling: str = "grid",
        trim: bool = True,
        dropout: float = 0.0,
    ) -> None:
        sides = sides_of(size_pixels)
        if min(sides) < 8 or any(side % 2 for side in sides):
            raise InvalidInput(f"size_pixels must be even and at least 8, got {size_pixels}")
        if width < 1 or not 0 <= dropout < 1:
            raise InvalidInput(
                "width must be at least 1, dropout at least 0 and below 1, got "
                f"{width} and {dropout}"
            )
        pool, num_cells = _pooling(pooling, sides)
        backbone = nn.Sequential(
            nn.PixelUnshuffle(2),
            _convolution(4 * channels, width, size=3),
            nn.ReLU(),
            _Residual(width, width, stride=1),
            _Residual(width, 2 * width, stride=2),
            _Residual(2 * width, 4 * width, stride=2),
            pool,
            nn.Dropout(dropout),
        )
        feature_size = 4 * width * num_cells
        super().__init__(
            backbone,
            make_head("linear", feature_size=feature_size, embedding_size=embedding_size),
            # Ink covers about a tenth of a drawing on white.
            preprocess=Preprocess(
                size_pixels=size_pixels,
                channels=channels,
                resize="pad",
                mean=(0.9,),
                std=(0.25,),
                trim=trim,
            ),
            feature_size=feature_size,
            embedding_size=embedding_size,
        )


@final
class _Residual(nn.Module):
    """Two convolutions beside a short cut; at first the short cut alone."""

    def __init__(self, num_in: int, num_out: int, *, stride: int) -> None:
        super().__init__()
        second = _convolution(num_out, num_out, size=3)
        nn.init.zeros_(second.get_parameter("1.weight"))
        self.body = nn.Sequential(
            _convolution(num_in, num_out, size=3, stride=stride), nn.ReLU(), second
        )
        self.shortcut = nn.Sequential()
        if stride > 1:
            self.shortcut.append(nn.AvgPool2d(stride, ceil_mode=True))
        if num_in != num_out:
            self.shortcut.append(_convolution(num_in, num_out, size=1))
        self.relu = nn.ReLU()

    def forward(self, inputs: Tensor) -> Tensor:
        outputs: Tensor = self.relu(self.body(inputs) + self.shortcut(inputs))
        return outputs


def _pooling(name: str, sides: tuple[int, int]) -> tuple[nn.Module, int]:
    """Return what makes a row of the last map, and in how many cells."""
    if name != "grid":
        return Pooling(name), 1
    num_cells = math.prod(math.ceil(side / 16) for side in sides)
    return nn.Sequential(nn.AvgPool2d(2, ceil_mode=True), nn.Flatten()), num_cells


def _convolution(num_in: int, num_out: int, *, size: int, stride: int = 1) -> nn.Sequential:
    """Return a convolution with batch norm, (N, num_in, H, W) -> (N, num_out, H / stride, ...)."""
    layer = nn.Conv2d(num_in, num_out, size, stride, padding=size // 2, bias=False)
    nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")
    return nn.Sequential(layer, nn.BatchNorm2d(num_out))
