"""The default: the picture is the probe."""

from __future__ import annotations

from typing import Any, final

import numpy as np

from ilk.detector import Quality, Region
from ilk.images import Box, read_image

__all__ = ["WholeImage"]


@final
class WholeImage:
    """Takes every picture as it is, or the part of it that a table gives a box of.

    Example:
        >>> (region,) = WholeImage().detect(np.zeros((20, 30, 3), np.uint8))
        >>> region.box
        (0.0, 0.0, 30.0, 20.0)
    """

    noun = "picture"
    is_whole = True

    @property
    def settings(self) -> dict[str, Any]:
        """Its name."""
        return {"name": "whole_image"}

    def detect(self, image: np.ndarray, *, box: Box | None = None) -> tuple[Region, ...]:
        """Return the whole picture, or the box, as one region."""
        height, width = image.shape[:2]
        x1, y1, x2, y2 = box if box is not None else (0.0, 0.0, float(width), float(height))
        quality = Quality(size_pixels=min(x2 - x1, y2 - y1))
        return (Region(box=(x1, y1, x2, y2), quality=quality),)

    def crop(self, image: np.ndarray, region: Region) -> np.ndarray:
        """Return the pixels of the box."""
        return read_image(image, box=region.box)
