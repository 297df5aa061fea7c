"""Where frames come from: a video file, a camera, a stream, pictures in a folder."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self, final

import numpy as np

from ilk.datasets.files import open_files
from ilk.errors import DataError, InvalidInput, UnreadableItem
from ilk.images import read_image
from ilk.items import Items
from ilk.picture_formats import NUM_START_BYTES, picture_format

__all__ = ["Frame", "Frames", "Pictures", "Thinning", "open_frames"]

_CAMERA = re.compile(r"(?:camera:)?(\d{1,3})")
_STREAM = re.compile(r"(rtsp|rtsps|rtmp|http|https|udp)://", re.IGNORECASE)
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")


@final
@dataclass(frozen=True, eq=False)
class Frame:
    """One picture of many."""

    number: int
    """In the source, counted from 0."""
    seconds: float
    """Since the source began, as its own clock has it."""
    image: np.ndarray
    """(H, W, 3) uint8 RGB, upright."""


class Frames(Protocol):
    """Frames in the order of time; looked through once."""

    name: str
    """What reports call the source."""
    is_live: bool
    """Whether it goes on until somebody stops it."""
    num_frames: int | None
    """How many the source has, about; None of what goes on."""

    @property
    def problems(self) -> tuple[str, ...]:
        """What could not be seen so far, and why; a video that broke off."""

    def __iter__(self) -> Iterator[Frame]:
        """Yield those to be looked at."""

    def stop(self) -> None:
        """Let the iteration end before its next frame; may be called from anywhere."""

    def __enter__(self) -> Self:
        """Return itself."""

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Let go of the file or camera."""


@final
class Thinning:
    """Says which frames to look at.

    Example:
        >>> thinning = Thinning(most_fps=10)
        >>> [number for number in range(12) if thinning.wants(number, number / 30)]
        [0, 3, 6, 9]
    """

    def __init__(self, every: int = 1, most_fps: float | None = None) -> None:
        """Take which.

        Args:
            every: One of so many.
            most_fps: At most so many per second of the source; None is all.

        Raises:
            InvalidInput: A number is out of its range.
        """
        if every < 1:
            raise InvalidInput(f"expected to look at every first frame or fewer, got {every}")
        if most_fps is not None and not (most_fps > 0 and math.isfinite(most_fps)):
            raise InvalidInput(f"frames per second must be above 0, got {most_fps}")
        self._every, self._step = every, 1 / most_fps if most_fps is not None else 0.0
        self._due = -math.inf

    def wants(self, number: int, seconds: float) -> bool:
        """Return whether to look at a frame; to be asked about each, in order."""
        if number % self._every or seconds < self._due - 1e-6:
            return False
        follows = self._due + self._step
        self._due = follows if follows > seconds else seconds + self._step
        return True


def open_frames(
    source: str | Path,
    *,
    every: int = 1,
    most_fps: float | None = None,
    pictures_per_second: float = 25.0,
) -> Frames:
    """Open what a person names: what is there under this name, else a camera or a stream.

    Args:
        source: A video file; a folder, picture or pattern such as 'frames/*.jpg', whose pictures
            are taken in the order of their names, 2 before 10; "camera:0" or "0" for the first
            camera; a stream such as rtsp://door/1.
        every: Look at one of so many frames.
        most_fps: Look at so many frames per second, at most.
        pictures_per_second: How fast pictures of a folder were taken.

    Raises:
        DataError: There is nothing of that name, or no frame can be read from it.
        MissingExtra: Videos and cameras need OpenCV.
        InvalidInput: A number is out of its range.
    """
    thinning = Thinning(every, most_fps)
    text, path = str(source), Path(source)
    if path.is_dir() or (path.is_file() and _is_picture(path)):
        return Pictures(open_files([path]), text, thinning, pictures_per_second)
    if path.exists():
        from ilk.watching.video import VideoFile

        return VideoFile(path, thinning)
    camera = _CAMERA.fullmatch(text)
    if camera or _STREAM.match(text):
        from ilk.watching.live import Live

        return Live(int(camera.group(1)) if camera else text, thinning)
    if _SCHEME.match(text):
        raise DataError(
            f"{text}: expected a stream by rtsp, rtmp, http or udp, or the path of a video file"
        )
    if any(sign in text for sign in "*?["):
        return Pictures(open_files([text]), text, thinning, pictures_per_second)
    raise DataError(
        f"{text}: there is no such file or folder; give a video file, a folder or pattern of "
        "pictures, camera:0, or a stream such as rtsp://..."
    )


@final
class Pictures:
    """Pictures as frames, in the order of their names."""

    is_live = False

    def __init__(
        self, items: Items, name: str, thinning: Thinning, pictures_per_second: float
    ) -> None:
        if not (pictures_per_second > 0 and math.isfinite(pictures_per_second)):
            raise InvalidInput(f"pictures per second must be above 0, got {pictures_per_second}")
        if not items.items:
            why = f" ({items.problems[0].reason})" if items.problems else ""
            raise DataError(
                f"{name}: expected pictures to look at one after the other, got none{why}"
            )
        self._items = sorted(items.items, key=lambda item: _in_order(item.name))
        self._thinning, self._rate = thinning, pictures_per_second
        self._problems = [f"{problem.name}: {problem.reason}" for problem in items.problems]
        self._is_stopped = False
        self.name = name
        self.num_frames: int | None = len(self._items)

    @property
    def problems(self) -> tuple[str, ...]:
        """The pictures that could not be read."""
        return tuple(self._problems)

    def __iter__(self) -> Iterator[Frame]:
        """Yield those to be looked at; what cannot be read is a problem."""
        num_read = 0
        for number, item in enumerate(self._items):
            if self._is_stopped:
                return
            seconds = number / self._rate
            if not self._thinning.wants(number, seconds):
                continue
            try:
                image = read_image(item.source, name=item.name)
            except UnreadableItem as error:
                self._problems.append(str(error))
                continue
            num_read += 1
            yield Frame(number, seconds, image)
        if not num_read:
            raise DataError(f"{self.name}: no picture can be read; {self._problems[0]}")

    def stop(self) -> None:
        """Let the iteration end."""
        self._is_stopped = True

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        """Nothing is held."""


def _is_picture(path: Path) -> bool:
    with path.open("rb") as file:
        return picture_format(file.read(NUM_START_BYTES)) is not None


def _in_order(name: str) -> list[tuple[int, str]]:
    """Return what puts frame2 before frame10."""
    parts = re.split(r"(\d+)", name)
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in parts]
