"""What is kept of each item to find duplicates: two hashes and a small picture.

Shapes: N items.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import final

import numpy as np
from PIL import Image

from ilk.errors import UnreadableItem
from ilk.images import decode, refuse_blank
from ilk.items import Item, Items, Problem
from ilk.unreadable import as_problem

__all__ = ["CHROMA_PIXELS", "LUMINANCE_PIXELS", "Thumbnails", "take_thumbnails"]

LUMINANCE_PIXELS = 32
"""The side of the small grey picture."""
CHROMA_PIXELS = 8
"""The side of the two small pictures of colour."""


@final
@dataclass(frozen=True, eq=False)
class Thumbnails:
    """One entry per item, in the order of the items."""

    content_hashes: tuple[str, ...]
    """`Item.content_hash`: equal for files of equal bytes."""
    pixel_hashes: tuple[str, ...]
    """Equal for equal pixels, whatever the file format; the content hash for other arrays."""
    luminance: np.ndarray
    """(N, 32, 32) uint8."""
    chroma: np.ndarray
    """(N, 2, 8, 8) uint8, blue and red difference; 128 is grey."""
    aspect: np.ndarray
    """(N,) float32, the logarithm of width / height; NaN for an array that is no picture."""

    def __len__(self) -> int:
        return len(self.content_hashes)


@dataclass(frozen=True, eq=False)
class _Thumbnail:
    content_hash: str
    pixel_hash: str
    luminance: np.ndarray
    chroma: np.ndarray
    aspect: float


def take_thumbnails(
    items: Items, progress: Callable[[int, int], None] | None = None
) -> tuple[Thumbnails, Items]:
    """Decode every item once.

    Returns:
        The thumbnails of the items that can be read, and these items, with the others as problems.
    """
    kept: list[Item] = []
    found: list[_Thumbnail] = []
    problems = list(items.problems)
    # decoding releases the interpreter's lock, so threads share the work
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for done, (item, result) in enumerate(pool.map(_try, items.items), 1):
            if isinstance(result, Problem):
                problems.append(result)
            else:
                kept.append(item)
                found.append(result)
            if progress is not None:
                progress(done, len(items))
    thumbnails = Thumbnails(
        tuple(t.content_hash for t in found),
        tuple(t.pixel_hash for t in found),
        _stack([t.luminance for t in found], (LUMINANCE_PIXELS, LUMINANCE_PIXELS)),
        _stack([t.chroma for t in found], (2, CHROMA_PIXELS, CHROMA_PIXELS)),
        np.array([t.aspect for t in found], np.float32),
    )
    return thumbnails, replace(items, items=tuple(kept), problems=tuple(problems))


def _stack(arrays: list[np.ndarray], shape: tuple[int, ...]) -> np.ndarray:
    return np.stack(arrays) if arrays else np.zeros((0, *shape), np.uint8)


def _try(item: Item) -> tuple[Item, _Thumbnail | Problem]:
    try:
        return item, _thumbnail(item)
    except (UnreadableItem, OSError) as error:
        return item, as_problem(item, error)


def _thumbnail(item: Item) -> _Thumbnail:
    content = item.content_hash()
    if isinstance(item.source, np.ndarray) and not _is_picture(item.source):
        luminance = np.zeros((LUMINANCE_PIXELS, LUMINANCE_PIXELS), np.uint8)
        return _Thumbnail(content, content, luminance, _colourless(), float("nan"))
    image = decode(item.source, name=item.name, box=item.box)
    refuse_blank(image, item.name)
    pixels = hashlib.sha256(f"{image.size}".encode())
    pixels.update(image.convert("RGB").tobytes())
    grey, chroma = image, _colourless()
    if image.mode != "L":
        small = image.resize((4 * LUMINANCE_PIXELS,) * 2, Image.Resampling.BOX)
        grey, *colours = small.convert("YCbCr").split()
        chroma = np.stack([_shrunk(colour, CHROMA_PIXELS) for colour in colours])
    luminance = _shrunk(grey, LUMINANCE_PIXELS)
    aspect = float(np.log(image.width / image.height))
    return _Thumbnail(content, pixels.hexdigest(), luminance, chroma, aspect)


def _colourless() -> np.ndarray:
    return np.full((2, CHROMA_PIXELS, CHROMA_PIXELS), 128, np.uint8)


def _is_picture(array: np.ndarray) -> bool:
    return array.ndim == 2 or (array.ndim == 3 and array.shape[2] in (1, 2, 3, 4))


def _shrunk(image: Image.Image, side: int) -> np.ndarray:
    return np.asarray(image.resize((side, side), Image.Resampling.BOX))
