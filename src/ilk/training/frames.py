"""What every augmentation needs: frames that are checked, and uniform draws."""

from __future__ import annotations

import torch
from torch import Tensor

from ilk.errors import InvalidInput

__all__ = ["between", "check_frames"]


def check_frames(frames: Tensor) -> Tensor:
    """Return the frames if they are (N, H, W, C).

    Raises:
        InvalidInput: They are not.
    """
    if frames.ndim != 4:
        raise InvalidInput(f"frames must be (N, H, W, C), got {tuple(frames.shape)}")
    return frames


def between(shape: int | tuple[int, ...], generator: torch.Generator) -> Tensor:
    """Draw uniformly from -1 to 1."""
    return 2 * torch.rand(shape, generator=generator) - 1
