"""Regions that a table gives: the columns x1, y1, x2, y2."""

from __future__ import annotations

from typing import Any, final

import numpy as np

from ilk.detector import Quality, Region
from ilk.errors import InvalidInput
from ilk.images import Box, read_image

__all__ = ["Boxes"]


@final
class Boxes:
    """Takes the box that a table gives for each picture, and refuses pictures without one.

    Args:
        min_size_pixels: Boxes with a shorter side below this are "too_small".

    Raises:
        InvalidInput: `min_size_pixels` is below 1.

    Example:
        >>> picture = np.zeros((20, 30, 3), np.uint8)
        >>> boxes = Boxes(min_size_pixels=8)
        >>> [region.code for region in boxes.detect(picture, box=(0, 0, 5, 20))]
        ['too_small']
        >>> boxes.detect(picture)
        ()
    """

    noun = "box"
    is_whole = False

    def __init__(self, *, min_size_pixels: float = 1) -> None:
        if not min_size_pixels >= 1:
            raise InvalidInput(f"min_size_pixels must be at least 1, got {min_size_pixels}")
        self._min_size_pixels = min_size_pixels

    @property
    def settings(self) -> dict[str, Any]:
        """Its name and options."""
        return {"name": "boxes", "min_size_pixels": self._min_size_pixels}

    def detect(self, image: np.ndarray, *, box: Box | None = None) -> tuple[Region, ...]:
        """Return the box, cut to the picture, as one region; nothing if there is no box."""
        if box is None:
            return ()
        height, width = image.shape[:2]
        x1, y1, x2, y2 = max(0.0, box[0]), max(0.0, box[1]), min(width, box[2]), min(height, box[3])
        size = max(0.0, min(x2 - x1, y2 - y1))
        code = reason = ""
        if size < self._min_size_pixels:
            code = "too_small"
            reason = (
                f"{size:g} pixels of the box are in the picture, at least {self._min_size_pixels:g}"
            )
            reason += " are needed"
        found = Region(box=box, quality=Quality(size_pixels=size), code=code, reason=reason)
        return (found,)

    def crop(self, image: np.ndarray, region: Region) -> np.ndarray:
        """Return the pixels of the box."""
        return read_image(image, box=region.box)
