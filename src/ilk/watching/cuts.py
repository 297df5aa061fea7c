"""Cuts: where a video goes on elsewhere, so that no track can."""

from __future__ import annotations

from typing import final

import numpy as np
from PIL import Image

__all__ = ["Cuts"]

_ROWS, _COLUMNS = 12, 16
_LEAST_CHANGE = 15.0
"""Mean difference of luminance; what changes less is the same scene, such as a dark one."""
_LEAST_LIKENESS = 0.4
"""Correlation with the frame before; a flash changes the light and not the pattern."""


@final
class Cuts:
    """Compares each frame with the one before, in a few blocks.

    Example:
        >>> cuts, random = Cuts(), np.random.default_rng(0)
        >>> street, office = random.integers(0, 255, (2, 48, 64, 3), np.uint8)
        >>> [cuts.is_cut(image) for image in (street, street // 2, office)]
        [False, False, True]
    """

    def __init__(self) -> None:
        self._before: np.ndarray | None = None
        self._shape: tuple[int, ...] = ()

    def is_cut(self, image: np.ndarray) -> bool:
        """Return whether an (H, W, 3) uint8 frame shows another scene than the last one."""
        now, before = _blocks(image), self._before
        is_other_size = before is not None and image.shape != self._shape
        self._before, self._shape = now, image.shape
        if before is None or is_other_size:
            return is_other_size
        if np.abs(now - before).mean() < _LEAST_CHANGE:
            return False
        a, b = now - now.mean(), before - before.mean()
        size = float(np.sqrt((a * a).sum() * (b * b).sum()))
        return size <= 0 or float((a * b).sum()) < _LEAST_LIKENESS * size


def _blocks(image: np.ndarray) -> np.ndarray:
    """Return the mean luminance of blocks, (rows, columns), from every few pixels."""
    step = max(1, min(image.shape[0] // (4 * _ROWS), image.shape[1] // (4 * _COLUMNS)))
    small = Image.fromarray(np.ascontiguousarray(image[::step, ::step])).convert("L")
    return np.asarray(small.resize((_COLUMNS, _ROWS), Image.Resampling.BOX), np.float64)
