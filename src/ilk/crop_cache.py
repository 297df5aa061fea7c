"""What was found in pictures before: the crop, or why there is none, kept by content.

The key is the content hash of the picture, its box included, and a text that says who looked and
how, so an entry is never of something else. A crop is a lossless PNG file that carries the hash of
its pixels, a refusal a small JSON file. Each appears under its name when it is whole, so several
processes may write at once. What is damaged counts as missing. The folder grows with what is
looked at; deleting it, or any part of it, costs time and nothing else.

Shapes: H and W height and width of a crop in pixels.
"""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import final

import numpy as np
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from ilk.cache_folder import cache_folder, make_private
from ilk.items import Item
from ilk.whole_file import whole_file

__all__ = ["CropCache", "KeptCrop", "Refusal", "forget_crops"]

_HASH = "content_hash"
"""The text chunk of a PNG file that says what its pixels are."""


@final
@dataclass(frozen=True)
class KeptCrop:
    """A crop in a file."""

    path: Path
    content_hash: str
    """`Item.content_hash` of its pixels, as if they were in memory."""


@final
@dataclass(frozen=True)
class Refusal:
    """Why nothing was cut out of a picture."""

    code: str
    """For machines: "no_face", "too_small"."""
    reason: str
    """In words."""


@final
class CropCache:
    """A folder with a subfolder for each way of looking.

    Args:
        looking: Who looked and how: another text, another subfolder.
        folder: Where; by default `crops` in $ILK_CACHE or the user's cache folder. It is made on
            first writing.

    Example:
        >>> cache = CropCache("faces, 112 pixels", tmp_path)
        >>> cache.put_refusal("a" * 64, Refusal("no_face", "no face was found"))
        >>> kept = cache.put_crop("b" * 64, np.zeros((4, 4, 3), np.uint8))
        >>> cache.get("a" * 64)
        Refusal(code='no_face', reason='no face was found')
        >>> cache.get("b" * 64) == kept, cache.get("c" * 64)
        (True, None)
    """

    def __init__(self, looking: str, folder: str | Path | None = None) -> None:
        root = Path(folder) if folder is not None else cache_folder("crops")
        self.folder = root / hashlib.sha256(looking.encode()).hexdigest()[:16]

    def get(self, content: str) -> KeptCrop | Refusal | None:
        """Return what is known of the picture of this content hash; None is nothing."""
        return _read_crop(self._path(content, ".png")) or _read_refusal(
            self._path(content, ".json")
        )

    def put_crop(self, content: str, pixels: np.ndarray) -> KeptCrop | None:
        """Keep (H, W, 3) uint8 pixels; None if they cannot be written, as on a full disk."""
        path, own = self._path(content, ".png"), _hash_of(pixels)
        text = PngInfo()
        text.add_text(_HASH, own)
        file = io.BytesIO()
        Image.fromarray(pixels).save(file, "PNG", pnginfo=text, compress_level=1)
        return KeptCrop(path, own) if _write(path, file.getvalue()) else None

    def put_refusal(self, content: str, refusal: Refusal) -> None:
        """Keep why there is no crop. A full disk is not an error."""
        stated = {"code": refusal.code, "reason": refusal.reason}
        _write(self._path(content, ".json"), json.dumps(stated).encode())

    def _path(self, content: str, suffix: str) -> Path:
        return self.folder / content[:2] / f"{content}{suffix}"


def forget_crops(
    closed: Callable[[Iterable[str]], set[str]], folder: str | Path | None = None
) -> int:
    """Delete what is kept of closed contents, by every way of looking; return how much.

    Args:
        closed: Returns those of some content hashes, of pictures or of crops, that are closed.
        folder: As for `CropCache`.

    Raises:
        OSError: A file cannot be deleted.
    """
    root = Path(folder) if folder is not None else cache_folder("crops")
    held = {path: {path.stem, _stated(path)} for path in sorted(root.glob("*/??/*.*"))}
    gone = closed({content for contents in held.values() for content in contents})
    paths = [path for path, contents in held.items() if contents & gone]
    for path in paths:
        path.unlink(missing_ok=True)
    return len(paths)


def _stated(path: Path) -> str:
    """Return what a crop says its pixels are; "" of anything else. The pixels are not decoded."""
    try:
        with Image.open(path) as image:
            return str(image.info.get(_HASH, ""))
    except (OSError, ValueError, SyntaxError):
        return ""


def _hash_of(pixels: np.ndarray) -> str:
    return Item(pixels, "", "").content_hash()


def _read_crop(path: Path) -> KeptCrop | None:
    """Return the crop of a file, if its pixels are those that were written."""
    try:
        with Image.open(path) as image:
            stated = image.info.get(_HASH)
            pixels = np.asarray(image)
    except (OSError, ValueError, SyntaxError):  # Pillow has no one error for damaged files
        return None
    return KeptCrop(path, stated) if stated == _hash_of(pixels) else None


def _read_refusal(path: Path) -> Refusal | None:
    try:
        stated = json.loads(path.read_bytes())
        return Refusal(str(stated["code"]), str(stated["reason"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _write(path: Path, content: bytes) -> bool:
    """Write a file whole or not at all; return whether."""
    try:
        make_private(path.parent)
        with whole_file(path) as partial:
            partial.write_bytes(content)
    except OSError:
        return False
    return True
