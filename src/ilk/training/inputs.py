"""From decoded items to the inputs of a network, on the device: distort, then normalize.

Shapes: N items, H and W height and width of a frame, C channels.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import final

import torch
from torch import Tensor

from ilk.preprocess import Preprocess
from ilk.training.augment import Augment, random_turns, rotate_classes

__all__ = ["PlainInputs", "Prepare", "TrainingInputs", "normalize_frames"]

Prepare = Callable[[Tensor, Tensor, torch.Generator], tuple[Tensor, Tensor]]
"""(contents, class ids, random numbers) -> (inputs, class ids)."""


def normalize_frames(frames: Tensor, preprocess: Preprocess) -> Tensor:
    """Return what `Preprocess.normalize` returns for the same frames, to the last bit.

    Args:
        frames: (N, H, W, C), uint8 or floats from 0 to 255.
        preprocess: Has the mean, the standard deviation and the order of the channels.

    Returns:
        (N, C, H, W) float32.
    """
    if preprocess.channel_order == "bgr":
        frames = frames.flip(-1)
    mean = torch.tensor(preprocess.mean, dtype=torch.float64)
    std = torch.tensor(preprocess.std, dtype=torch.float64)
    scale = (1 / (255 * std)).float().to(frames.device)[:, None, None]
    shift = (mean / std).float().to(frames.device)[:, None, None]
    return frames.permute(0, 3, 1, 2).float() * scale - shift


@final
class PlainInputs:
    """Prepares inputs as evaluation and serving do."""

    def __init__(self, preprocess: Preprocess) -> None:
        self._preprocess = preprocess

    def __call__(
        self, contents: Tensor, class_ids: Tensor, generator: torch.Generator
    ) -> tuple[Tensor, Tensor]:
        """Return the normalized inputs; nothing is drawn."""
        with torch.autocast(contents.device.type, enabled=False):
            if self._preprocess.modality == "array":
                return contents.float(), class_ids
            return normalize_frames(contents, self._preprocess), class_ids


@final
class TrainingInputs:
    """Distorts, perhaps rotates, and normalizes.

    Mixed precision is off inside: sampling positions in bfloat16 would move pixels about.

    Args:
        preprocess: Has the mean and the standard deviation.
        augment: Distorts.
        rotations_as_classes: Whether classes are rotated by quarter turns into other classes.
        turned_alike: A number per class, (C,): in a batch, classes of the same number get the
            same turn. None draws each class's turn by itself.
    """

    def __init__(
        self,
        preprocess: Preprocess,
        augment: Augment,
        *,
        rotations_as_classes: bool = False,
        turned_alike: Tensor | None = None,
    ) -> None:
        self._preprocess = preprocess
        self._augment = augment
        self._rotates = rotations_as_classes
        self._turned_alike = turned_alike

    def __call__(
        self, contents: Tensor, class_ids: Tensor, generator: torch.Generator
    ) -> tuple[Tensor, Tensor]:
        """Return distorted, normalized inputs and their classes."""
        with torch.autocast(contents.device.type, enabled=False):
            if self._rotates:
                turns = random_turns(self._turned_together(class_ids), generator)
                contents, class_ids = rotate_classes(contents, class_ids, turns)
            frames = self._augment(contents, generator)
            return normalize_frames(frames, self._preprocess), class_ids

    def _turned_together(self, class_ids: Tensor) -> Tensor:
        if self._turned_alike is None:
            return class_ids
        return self._turned_alike[class_ids.cpu()].to(class_ids.device)
