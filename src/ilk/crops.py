"""Crops: small encoded pictures of what was embedded, kept on request for people and migration."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image

from ilk.images import read_image
from ilk.items import Item

__all__ = ["MOST_PIXELS", "crop_of", "open_crop"]

MOST_PIXELS = 512
"""The longer side of a crop; larger pictures are scaled down."""

_LOSSLESS_UP_TO = 160
"""Small drawings are kept as they are; photographs lose what nobody sees."""


def crop_of(item: Item) -> bytes:
    """Return the region of an item's picture that counts, as WebP.

    Raises:
        UnreadableItem: It cannot be decoded, or it is no picture.

    Example:
        >>> crop = crop_of(Item(np.zeros((600, 1200, 3), np.uint8), "night", "night"))
        >>> open_crop(crop).shape
        (256, 512, 3)
    """
    picture = Image.fromarray(read_image(item.source, name=item.name, box=item.box))
    picture.thumbnail((MOST_PIXELS, MOST_PIXELS), Image.Resampling.LANCZOS)
    file = io.BytesIO()
    picture.save(file, "WEBP", lossless=max(picture.size) <= _LOSSLESS_UP_TO, quality=92, method=2)
    return file.getvalue()


def open_crop(crop: bytes) -> np.ndarray:
    """Return the (H, W, 3) uint8 pixels of a crop.

    Raises:
        UnreadableItem: It cannot be decoded.
    """
    return read_image(crop, name="a kept crop")
