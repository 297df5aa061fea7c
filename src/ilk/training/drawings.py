"""Distortions for drawings: another hand draws the same character.

Shapes: N frames of H x W pixels with C channels, values 0 to 255; P classes of K items in a batch.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from functools import cache
from typing import final

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from ilk.errors import InvalidInput
from ilk.preprocess import Size
from ilk.training.frames import between, check_frames

__all__ = ["DrawingAugment", "random_turns", "rotate_classes"]


@final
@dataclass(frozen=True, kw_only=True)
class DrawingAugment:
    """Another hand draws the same character: affine, elastic and pen thickness.

    Rotation, shear, scale, shift and an elastic field are one displacement of pixels, so a frame
    is resampled once. What comes in from outside is background: the median of the frame's border.

    Example:
        >>> frames = torch.zeros(2, 48, 48, 1, dtype=torch.uint8)
        >>> DrawingAugment()(frames, torch.Generator().manual_seed(0)).shape
        torch.Size([2, 48, 48, 1])
    """

    rotation_degrees: float = 15.0
    """Largest rotation, either way."""
    shear: float = 0.2
    """Largest shear of each axis along the other."""
    scale: float = 0.2
    """Largest change of size per axis: sizes are between 1 / (1 + scale) and 1 + scale."""
    shift: float = 0.08
    """Largest shift per axis, as a share of the frame."""
    elastic: float = 0.03
    """Standard deviation of the elastic displacement, as a share of the frame."""
    elastic_points: int = 6
    """Control points per axis of the elastic field."""
    thickness_pixels: float = 0.5
    """How far strokes grow or shrink at most on each side, up to 1; 0 leaves them."""

    def __post_init__(self) -> None:
        for field in fields(self):
            if not 0 <= getattr(self, field.name) < math.inf:
                raise InvalidInput(
                    f"{field.name} must be 0 or more, got {getattr(self, field.name)}"
                )
        if self.elastic_points < 2 or self.thickness_pixels > 1:
            raise InvalidInput(
                "elastic_points must be at least 2 and thickness_pixels at most 1, got "
                f"{self.elastic_points} and {self.thickness_pixels}"
            )

    def frame_size(self, size_pixels: Size) -> Size:
        """Return `size_pixels`: drawings are distorted at their own size."""
        return size_pixels

    def __call__(self, frames: Tensor, generator: torch.Generator) -> Tensor:
        """Return (N, H, W, C) float32 distorted frames, 0 to 255.

        Raises:
            InvalidInput: The frames are not (N, H, W, C).
        """
        if not len(check_frames(frames)):
            return frames.float()
        frames = frames.float()
        background = _background(frames)
        ink = (frames - background).permute(0, 3, 1, 2)
        grid = self._grid(len(frames), frames.shape[1], frames.shape[2], generator).to(
            frames.device
        )
        ink = functional.grid_sample(ink, grid, padding_mode="zeros", align_corners=False)
        if self.thickness_pixels:
            ink = _thicken(ink, self.thickness_pixels, generator)
        return (ink.permute(0, 2, 3, 1) + background).clamp(0, 255)

    def _grid(self, num: int, high: int, wide: int, generator: torch.Generator) -> Tensor:
        """Return where each output pixel is read from, (N, H, W, 2) as x, y in -1..1."""
        angle = between(num, generator) * math.radians(self.rotation_degrees)
        shear = between((num, 2), generator) * self.shear
        scale = torch.exp(between((num, 2), generator) * math.log1p(self.scale))
        shift = between((num, 2, 1), generator) * 2 * self.shift
        cos, sin = angle.cos(), angle.sin()
        rotation = torch.stack([cos, -sin, sin, cos], 1).view(num, 2, 2)
        one = torch.ones(num)
        slant = torch.stack([one, shear[:, 0], shear[:, 1], one], 1).view(num, 2, 2)
        # Shearing both axes also shrinks the area; its root puts the size back.
        slant = slant / (1 - shear.prod(1)).abs().clamp(min=0.1).sqrt()[:, None, None]
        turned = rotation @ slant * scale[:, None, :]
        turned[:, 0, 1] *= high / wide  # from -1 to 1 is another length along either axis
        turned[:, 1, 0] *= wide / high
        matrix = torch.cat([turned, shift], 2)
        grid = functional.affine_grid(matrix, [num, 1, high, wide], align_corners=False)
        if self.elastic:
            points = self.elastic_points
            bumps = torch.randn((num, 2, points, points), generator=generator)
            field = _spline(points, high) @ (bumps * 2 * self.elastic) @ _spline(points, wide).T
            grid = grid + field.permute(0, 2, 3, 1)
        return grid


def random_turns(class_ids: Tensor, generator: torch.Generator) -> Tensor:
    """Draw how many quarter turns each class of a batch is rotated by, (N,) int64 in 0..3.

    Items of one class get the same turn, so a batch keeps its P classes of K items, and no
    character meets its own rotation, which may look the same. Numbers of groups of classes in
    place of class ids turn each group as one.
    """
    classes, position = np.unique(class_ids.cpu().numpy(), return_inverse=True)
    turns = torch.randint(4, (len(classes),), generator=generator)
    return turns[torch.from_numpy(position)].to(class_ids.device)


def rotate_classes(frames: Tensor, class_ids: Tensor, turns: Tensor) -> tuple[Tensor, Tensor]:
    """Rotate drawings by quarter turns and count each rotation as a class of its own.

    A character on its side is another character, so C classes become 4 C. Fit for drawings whose
    way up matters, before any other augmentation.

    Args:
        frames: (N, H, W, C).
        class_ids: (N,) int64, below C.
        turns: (N,) int64, quarter turns counterclockwise, 0 to 3 (`random_turns`).

    Returns:
        The rotated frames and the class ids `4 * class_ids + turns`, below 4 C.

    Raises:
        InvalidInput: The frames are not (N, H, W, C) of equal sides, or the lengths differ.

    Example:
        >>> frames = torch.tensor([[1, 2], [3, 4]]).view(1, 2, 2, 1)
        >>> frames, class_ids = rotate_classes(frames, torch.tensor([5]), torch.tensor([1]))
        >>> frames.view(2, 2).tolist(), class_ids.tolist()
        ([[2, 4], [1, 3]], [21])
    """
    if not len(check_frames(frames)) == len(class_ids) == len(turns):
        raise InvalidInput(
            "frames, class_ids and turns must have one row per item, got "
            f"{len(frames)}, {len(class_ids)} and {len(turns)}"
        )
    if frames.shape[1] != frames.shape[2]:
        raise InvalidInput(f"only square frames can be turned, got {tuple(frames.shape)}")
    rotated = frames.clone()
    for turn in (1, 2, 3):
        chosen = turns == turn
        rotated[chosen] = torch.rot90(frames[chosen], turn, (1, 2))
    return rotated, 4 * class_ids + turns


def _background(frames: Tensor) -> Tensor:
    """Return the median of each frame's border per channel, (N, 1, 1, C)."""
    sides = [frames[:, 0], frames[:, -1], frames[:, 1:-1, 0], frames[:, 1:-1, -1]]
    return torch.cat(sides, 1).median(1).values[:, None, None]


def _thicken(ink: Tensor, pixels: float, generator: torch.Generator) -> Tensor:
    """Grow or shrink the strokes of (N, C, H, W) ink by up to `pixels` on each side."""
    amount = (between(len(ink), generator) * pixels).to(ink.device)[:, None, None, None]
    # Ink is positive on a dark ground and negative on a light one; its sign says which is it.
    sign = torch.sign(ink.sum((1, 2, 3), keepdim=True))
    strength = ink * sign
    grown, shrunk = _largest_around(strength), -_largest_around(-strength)
    strength = torch.where(amount > 0, strength.lerp(grown, amount), strength.lerp(shrunk, -amount))
    return strength * sign


def _largest_around(pixels: Tensor) -> Tensor:
    """Return the 3 x 3 maximum around each pixel; by shifts, four times faster than max_pool2d."""
    for axis in (-1, -2):
        size = pixels.shape[axis] - 1
        ahead, behind = pixels.narrow(axis, 1, size), pixels.narrow(axis, 0, size)
        wider = pixels.clone()
        torch.maximum(wider.narrow(axis, 0, size), ahead, out=wider.narrow(axis, 0, size))
        torch.maximum(wider.narrow(axis, 1, size), behind, out=wider.narrow(axis, 1, size))
        pixels = wider
    return pixels


@cache
def _spline(points: int, size: int) -> Tensor:
    """Return the (S, points) matrix that interpolates control points bicubically."""
    impulses = torch.eye(points).view(points, 1, 1, points)
    rows = functional.interpolate(
        impulses.expand(points, 1, points, points),
        (points, size),
        mode="bicubic",
        align_corners=True,
    )
    return rows[:, 0, 0].T.contiguous()
