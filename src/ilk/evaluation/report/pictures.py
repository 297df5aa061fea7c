"""Thumbnails of items: whatever an item holds becomes a small picture inside the page."""

from __future__ import annotations

import base64
import io

import numpy as np
from PIL import Image

from ilk.errors import UnreadableItem
from ilk.items import Item
from ilk.preprocess import read_image

__all__ = ["data_uri", "pixels", "thumbnail"]

_SMOOTH, _SHARP = Image.Resampling.LANCZOS, Image.Resampling.NEAREST


def pixels(item: Item) -> np.ndarray | None:
    """Return an item as an (H, W, 3) uint8 picture, or None if it cannot be seen.

    Pictures come as a person sees them. Other arrays become a grey picture of their values, from
    the smallest (black) to the largest (white); a single row of numbers becomes stripes.
    """
    source = item.source
    if isinstance(source, np.ndarray) and not _is_picture(source):
        return _values_picture(source)
    try:
        return read_image(source, name=item.name, box=item.box)
    except (UnreadableItem, OSError):
        return None


def thumbnail(picture: np.ndarray, size_pixels: int) -> Image.Image:
    """Return `picture` scaled to fit a square of `size_pixels`, proportions kept, on white."""
    image = Image.fromarray(picture)
    scale = size_pixels / max(image.size)
    width, height = (max(1, round(side * scale)) for side in image.size)
    small = image.resize((width, height), _SMOOTH if scale < 1 else _SHARP)
    square = Image.new("RGB", (size_pixels, size_pixels), "white")
    square.paste(small, ((size_pixels - width) // 2, (size_pixels - height) // 2))
    return square


def data_uri(image: Image.Image) -> str:
    """Return a picture as a data URI: PNG where it is small (drawings), JPEG otherwise."""
    drawing = io.BytesIO()
    if len(image.getcolors(4096) or ()) in range(1, 257):
        image.quantize(32).save(drawing, "PNG", optimize=True)
    photograph = io.BytesIO()
    image.save(photograph, "JPEG", quality=82)
    is_drawing = 0 < drawing.tell() < photograph.tell()
    kind, buffer = ("png", drawing) if is_drawing else ("jpeg", photograph)
    return f"data:image/{kind};base64,{base64.b64encode(buffer.getvalue()).decode()}"


def _is_picture(array: np.ndarray) -> bool:
    is_shaped = array.ndim == 2 or (array.ndim == 3 and array.shape[2] in (3, 4))
    return array.dtype == np.uint8 and is_shaped and min(array.shape[:2]) > 0


def _values_picture(array: np.ndarray) -> np.ndarray | None:
    if not array.size or array.ndim not in (1, 2, 3) or array.dtype.kind not in "biuf":
        return None
    values = np.nan_to_num(np.asarray(array, np.float64), posinf=0, neginf=0)
    values = values.mean(2) if values.ndim == 3 else np.atleast_2d(values)
    if values.shape[0] == 1:
        values = np.repeat(values, max(1, values.shape[1]), 0)
    spread = float(np.ptp(values))
    grey = (values - values.min()) / spread * 255 if spread else np.full(values.shape, 128.0)
    return np.repeat(grey.round().astype(np.uint8)[:, :, None], 3, 2)
