"""Distortions for photographs: another photograph of the same thing.

Shapes: N frames of H x W pixels with C channels, values 0 to 255.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor
from torch.nn import functional

from ilk.errors import InvalidInput
from ilk.preprocess import Size, sides_of
from ilk.training.frames import between, check_frames

__all__ = ["PhotoAugment"]


@final
@dataclass(frozen=True, kw_only=True)
class PhotoAugment:
    """Another photograph of the same thing: random resized crop, mirror, mild colour.

    Pass frames a little larger than what should come out (`frame_size`); larger ones are sampled
    more densely and averaged, so that nothing aliases.

    Example:
        >>> frames = torch.zeros(2, 73, 73, 3, dtype=torch.uint8)
        >>> augment = PhotoAugment(size_pixels=64)
        >>> augment.frame_size(64), augment(frames, torch.Generator().manual_seed(0)).shape
        (73, torch.Size([2, 64, 64, 3]))
    """

    size_pixels: Size | None = None
    """Size of what comes out; None is the size of what comes in."""
    min_area: float = 0.3
    """Smallest crop, as a share of the frame's area."""
    max_aspect: float = 4 / 3
    """Widest crop, width over height; the tallest is its inverse."""
    flip: float = 0.5
    """How often a frame is mirrored left to right, 0 to 1."""
    brightness: float = 0.2
    """Largest relative change of brightness."""
    contrast: float = 0.2
    """Largest relative change of contrast around the frame's mean."""
    saturation: float = 0.2
    """Largest relative change of the distance from grey."""

    def __post_init__(self) -> None:
        shares = (self.flip, self.brightness, self.contrast, self.saturation)
        if not all(0 <= share <= 1 for share in shares):
            raise InvalidInput(
                f"flip, brightness, contrast and saturation must be between 0 and 1, got {shares}"
            )
        if not (0 < self.min_area <= 1 <= self.max_aspect < math.inf):
            raise InvalidInput(
                "min_area must be above 0 and at most 1, max_aspect at least 1, got "
                f"{self.min_area} and {self.max_aspect}"
            )
        if self.size_pixels is not None:
            sides_of(self.size_pixels)

    def frame_size(self, size_pixels: Size) -> Size:
        """Return 8/7 of `size_pixels`, the usual 256 for 224."""
        high, wide = (math.floor(side * 8 / 7) for side in sides_of(size_pixels))
        return high if isinstance(size_pixels, int) else (high, wide)

    def __call__(self, frames: Tensor, generator: torch.Generator) -> Tensor:
        """Return (N, H, W, C) float32 distorted frames, 0 to 255.

        Raises:
            InvalidInput: The frames are not (N, H, W, C).
        """
        check_frames(frames)
        high, wide = sides_of(self.size_pixels or tuple(frames.shape[1:3]))
        if not len(frames):
            return frames.new_zeros((0, high, wide, frames.shape[3]), dtype=torch.float32)
        density = max(1, round(frames.shape[1] / high))
        matrix = self._crops(len(frames), generator).to(frames.device)
        shape = [len(frames), 1, high * density, wide * density]
        grid = functional.affine_grid(matrix, shape, align_corners=False)
        pixels = frames.permute(0, 3, 1, 2).float()
        pixels = functional.grid_sample(pixels, grid, padding_mode="border", align_corners=False)
        if density > 1:
            pixels = functional.avg_pool2d(pixels, density)
        return self._recolor(pixels, generator).permute(0, 2, 3, 1)

    def _crops(self, num: int, generator: torch.Generator) -> Tensor:
        """Return one affine map from output to input per frame, (N, 2, 3)."""
        area = self.min_area + (1 - self.min_area) * torch.rand(num, generator=generator)
        aspect = torch.exp(between(num, generator) * math.log(self.max_aspect))
        size = (area[:, None] ** 0.5 * torch.stack([aspect**0.5, aspect**-0.5], 1)).clamp(max=1)
        center = between((num, 2), generator) * (1 - size)
        mirror = 1 - 2 * (torch.rand(num, generator=generator) < self.flip).float()
        matrix = torch.zeros(num, 2, 3)
        matrix[:, 0, 0], matrix[:, 1, 1] = size[:, 0] * mirror, size[:, 1]
        matrix[:, :, 2] = center
        return matrix

    def _recolor(self, pixels: Tensor, generator: torch.Generator) -> Tensor:
        """Change brightness, contrast and saturation of (N, C, H, W) pixels, in place."""
        strengths = torch.tensor([self.brightness, self.contrast, self.saturation])
        factors = (1 + between((len(pixels), 3), generator) * strengths).to(pixels.device)
        brightness, contrast, saturation = factors.view(-1, 3, 1, 1, 1).unbind(1)
        grey = pixels.mean(1, keepdim=True) * brightness
        middle = grey.mean((2, 3), keepdim=True)
        # Both changes keep a weighted share of each pixel, so all three are one weighted sum.
        rest = grey * (contrast * (1 - saturation)) + (1 - contrast) * middle
        return pixels.mul_(brightness * contrast * saturation).add_(rest).clamp_(0, 255)
