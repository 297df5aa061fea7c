"""Pictures of tracks: the best frame with its box, or what the encoder saw of it."""

from __future__ import annotations

import io
import re
from pathlib import Path
from typing import final

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from ilk.watching.events import Event

__all__ = ["TrackPictures", "scene_of"]

_COLORS = {"identified": (30, 140, 60), "unknown": (200, 60, 40), "ambiguous": (190, 130, 0)}
_GREY = (110, 110, 110)


@final
class TrackPictures:
    """Writes one file per track to a folder, named by source and track."""

    def __init__(self, folder: Path, source: str, *, is_crop: bool) -> None:
        """Make the folder if it is not there.

        Args:
            folder: Where to.
            source: What the names of files begin with.
            is_crop: Whether to write only the pixels that the encoder saw, as PNG; else the whole
                frame with the box and the decision, as JPEG.

        Raises:
            OSError: The folder cannot be made.
        """
        folder.mkdir(parents=True, exist_ok=True)
        stem = re.sub(r"[^\w.-]+", "-", Path(source).name).strip("-.") or "source"
        self._folder, self._stem, self._is_crop = folder, stem, is_crop

    def write(self, event: Event) -> Path | None:
        """Write the picture of a track that was decided; None if nothing of it could be compared.

        Raises:
            OSError: It cannot be written.
        """
        best = event.decision.best
        if best is None:
            return None
        name = f"{self._stem}-track-{event.track.id:04}"
        if self._is_crop:
            path = self._folder / f"{name}.png"
            Image.fromarray(best.crop).save(path)
            return path
        if best.scene is None:
            return None
        path = self._folder / f"{name}.jpg"
        _drawn(event, best.scene).save(path, quality=90)
        return path


def scene_of(image: np.ndarray) -> bytes:
    """Return a frame as JPEG: small enough to keep one per open track."""
    file = io.BytesIO()
    Image.fromarray(image).save(file, "JPEG", quality=90)
    return file.getvalue()


def _drawn(event: Event, scene: bytes) -> Image.Image:
    answer = event.decision.answer
    with Image.open(io.BytesIO(scene), formats=["JPEG"]) as opened:
        picture = opened.convert("RGB")
    if answer.region is None:
        return picture
    draw = ImageDraw.Draw(picture)
    color = _COLORS.get(answer.decision, _GREY)
    x1, y1, x2, y2 = answer.region.box
    width = max(2, round((x2 - x1) / 40))
    draw.rectangle((x1, y1, x2, y2), outline=color, width=width)
    words = answer.label if answer.label is not None else answer.decision.replace("_", " ")
    if answer.distance is not None:
        words += f" {answer.distance:.3f}"
    font = ImageFont.load_default(max(12, round((x2 - x1) / 7)))
    left, top, right, bottom = draw.textbbox((0, 0), words, font=font)
    tall = bottom - top + 6
    y = y1 - tall if y1 >= tall else y2
    draw.rectangle((x1, y, x1 + right - left + 6, y + tall), fill=color)
    draw.text((x1 + 3 - left, y + 3 - top), words, fill=(255, 255, 255), font=font)
    return picture
