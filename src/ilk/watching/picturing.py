"""Pictures of tracks: the best frame with its box, or what the encoder saw of it."""

from __future__ import annotations

import io
import re
from pathlib import Path
from typing import final

import numpy as np
from PIL import Image

from ilk.cache_folder import make_private
from ilk.drawing import draw_answers, write_drawing
from ilk.images import read_image
from ilk.results import PictureAnswer
from ilk.watching.events import Event

__all__ = ["TrackPictures", "scene_of"]


@final
class TrackPictures:
    """Writes one PNG file per track to a folder, named by source and track."""

    def __init__(self, folder: Path, source: str, *, noun: str, is_crop: bool) -> None:
        """Make the folder if it is not there.

        Args:
            folder: Where to.
            source: What the names of files begin with.
            noun: What is followed: "face".
            is_crop: Whether to write only the pixels that the encoder saw, in a folder per track,
                as calibrating reads it; else the whole frame with the box and the decision.

        Raises:
            OSError: The folder cannot be made.
        """
        make_private(folder)
        stem = re.sub(r"[^\w.-]+", "-", Path(source).name).strip("-.") or "source"
        self._folder, self._stem, self._noun, self._is_crop = folder, stem, noun, is_crop

    def write(self, event: Event) -> Path | None:
        """Write the picture of a track that was decided; None if nothing of it could be compared.

        Raises:
            OSError: It cannot be written.
        """
        best = event.decision.best
        if best is None:
            return None
        name = f"{self._stem}-track-{event.track.id:04}"
        path = self._folder / f"{name}.png"
        if self._is_crop:
            path = self._folder / name / "best.png"
            make_private(path.parent)
            write_drawing(Image.fromarray(best.crop), path)
            return path
        if best.scene is None:
            return None
        answer = PictureAnswer(name=event.decision.answer.name, answers=(event.decision.answer,))
        write_drawing(draw_answers(read_image(best.scene), answer, noun=self._noun), path)
        return path


def scene_of(image: np.ndarray) -> bytes:
    """Return a frame as JPEG: small enough to keep one per open track."""
    file = io.BytesIO()
    Image.fromarray(image).save(file, "JPEG", quality=90)
    return file.getvalue()
