"""Random distortions of whole batches, seeded, in a few milliseconds.

They run between `Preprocess.frame` and normalization, on batches of frames. Everything random is
drawn from the generator that is passed, so the same generator state gives the same batch.

Shapes: N frames of H x W pixels with C channels, values 0 to 255.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from difflib import get_close_matches
from typing import Any, Protocol, final

import torch
from torch import Tensor

from ilk.errors import ConfigError
from ilk.preprocess import Size
from ilk.training.drawings import DrawingAugment, random_turns, rotate_classes
from ilk.training.frames import check_frames
from ilk.training.photographs import PhotoAugment

__all__ = [
    "Augment",
    "DrawingAugment",
    "NoAugment",
    "PhotoAugment",
    "make_augment",
    "random_turns",
    "rotate_classes",
]


class Augment(Protocol):
    """Distorts a batch of frames at random."""

    def frame_size(self, size_pixels: Size) -> Size:
        """Return the size of the frames to pass in, to get frames of `size_pixels` back."""

    def __call__(self, frames: Tensor, generator: torch.Generator) -> Tensor:
        """Return (N, H, W, C) float32 frames, 0 to 255, from (N, H', W', C) uint8 or float ones."""


@final
@dataclass(frozen=True)
class NoAugment:
    """Leaves frames as they are."""

    def frame_size(self, size_pixels: Size) -> Size:
        """Return `size_pixels`."""
        return size_pixels

    def __call__(self, frames: Tensor, generator: torch.Generator) -> Tensor:
        """Return the frames as float32."""
        return check_frames(frames).float()


def make_augment(name: str, **options: Any) -> Augment:
    """Return the augmentation called `name`: "drawing", "photo" or "none".

    Raises:
        ConfigError: There is none of that name, or it has no such option.
        InvalidInput: An option is out of its range.

    Example:
        >>> make_augment("drawing", shear=0.1).shear
        0.1
        >>> make_augment("photograph")
        Traceback (most recent call last):
        ...
        ilk.errors.ConfigError: augment must be one of drawing, photo, none, got 'photograph'; \
did you mean 'photo'?
    """
    kinds = {"drawing": DrawingAugment, "photo": PhotoAugment, "none": NoAugment}
    if name not in kinds:
        near = get_close_matches(name, kinds, n=1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise ConfigError(f"augment must be one of {', '.join(kinds)}, got {name!r}{hint}")
    known = [field.name for field in fields(kinds[name])]
    unknown = sorted(set(options) - set(known))
    if unknown:
        raise ConfigError(
            f"augment {name!r} has no option {unknown[0]!r}; it has {', '.join(known) or 'none'}"
        )
    augment: Augment = kinds[name](**options)
    return augment
