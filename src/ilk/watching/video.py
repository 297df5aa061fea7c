"""Video files, through OpenCV."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self, final

import numpy as np

from ilk.errors import DataError, MissingExtra
from ilk.watching.frames import Frame, Thinning

__all__ = ["VideoFile", "open_capture", "picture_of"]

_MOST_TRIES = 16
"""Frames in a row that cannot be decoded before a video counts as broken off."""
_SLOWEST, _FASTEST = 0.01, 1000.0
"""Frame rates that are believed."""
_USUAL_FPS = 25.0
_COUNTING = {b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip"}
"""What the first box of an MP4 or QuickTime file may be."""
_MATROSKA, _SEGMENT = b"\x1a\x45\xdf\xa3", b"\x18\x53\x80\x67"


def open_capture(source: str | int) -> Any:
    """Return OpenCV's capture of a file, camera or stream, opened or not.

    Raises:
        MissingExtra: OpenCV is not installed.
    """
    os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")  # read when the first one is opened
    try:
        import cv2
    except ImportError:
        raise MissingExtra(
            'videos and cameras need OpenCV: pip install "ilk[faces]"; a folder of frames does not'
        ) from None
    level = cv2.utils.logging.getLogLevel()
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
    try:
        return cv2.VideoCapture(source)
    finally:
        cv2.utils.logging.setLogLevel(level)


def picture_of(pixels: np.ndarray) -> np.ndarray:
    """Return (H, W, 3) RGB of what OpenCV decodes."""
    if pixels.ndim == 2:
        return np.repeat(pixels[..., None], 3, axis=2)
    return np.ascontiguousarray(pixels[..., 2::-1])


@final
class VideoFile:
    """The frames of a file, with the time that it gives them; turned as the file says."""

    is_live = False

    def __init__(self, path: Path, thinning: Thinning) -> None:
        """Open it.

        Raises:
            DataError: It is not a file, or no video that can be decoded.
            MissingExtra: OpenCV is not installed.
        """
        reason = _why_not(path)
        if reason:
            raise DataError(f"{path}: expected a video file, got {reason}")
        self._capture = open_capture(str(path))
        if not self._capture.isOpened():
            raise DataError(f"{path}: not a video that can be decoded; convert it to MP4 (H.264)")
        self.name = str(path)
        self._thinning = thinning
        self._problems: list[str] = []
        self._is_stopped = False
        import cv2

        self._position = cv2.CAP_PROP_POS_MSEC
        count = float(self._capture.get(cv2.CAP_PROP_FRAME_COUNT))
        rate = float(self._capture.get(cv2.CAP_PROP_FPS))
        is_count = math.isfinite(count) and 0 < count < 1e9
        self.num_frames: int | None = int(count) if is_count else None
        self._head, self._num_bytes = _head(path), path.stat().st_size
        self._fps = rate if _SLOWEST <= rate <= _FASTEST else _USUAL_FPS

    @property
    def problems(self) -> tuple[str, ...]:
        """Where it broke off, and how many frames cannot be decoded."""
        return tuple(self._problems)

    def __iter__(self) -> Iterator[Frame]:
        """Yield the frames to be looked at.

        Raises:
            DataError: Not one can be decoded.
        """
        number, num_failed, num_decoded, last = 0, 0, 0, -math.inf
        while num_failed < _MOST_TRIES:
            if self._is_stopped:
                return
            if not self._capture.grab():
                num_failed += 1
                continue
            seconds = self._seconds(number, last)
            last = seconds
            if self._thinning.wants(number, seconds):
                is_read, pixels = self._capture.retrieve()
                if is_read and pixels is not None:
                    num_decoded += 1
                    yield Frame(number, seconds, picture_of(pixels))
            number += 1
        if not num_decoded:
            raise DataError(f"{self.name}: the video has no frame that can be decoded")
        self._tell_end(number)

    def stop(self) -> None:
        """Let the iteration end."""
        self._is_stopped = True

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        """Close the file."""
        self._capture.release()

    def _seconds(self, number: int, last: float) -> float:
        """Return the time that the file gives the frame, or what its rate says."""
        seconds = float(self._capture.get(self._position)) / 1000
        if math.isfinite(seconds) and seconds > max(last, 0.0):
            return seconds
        if not number:
            return 0.0
        return last + 1 / self._fps

    def _tell_end(self, number: int) -> None:
        """Tell that frames are missing, where the file itself says how much there should be.

        MP4 and AVI count their frames. Of others OpenCV makes a number up, from a duration and a
        rate that may be far off; Matroska and WebM say how many bytes they have.
        """
        declared = self.num_frames
        if self._head.startswith(_MATROSKA):
            size = _matroska_bytes(self._head)
            if size is not None and self._num_bytes < size:
                self._problems.append(
                    f"{self.name}: the file breaks off: {self._num_bytes:,} of its {size:,} bytes "
                    "are there"
                )
        elif _counts_frames(self._head) and declared is not None and number < 0.98 * declared - 2:
            self._problems.append(
                f"{self.name}: only {number} of its {declared} frames can be decoded"
            )


def _why_not(path: Path) -> str:
    """Return what a file is that is not opened: a pipe, empty, a text that may lead elsewhere."""
    if not path.is_file():
        return "something that is not a regular file"
    start = _head(path)
    if not start:
        return "an empty file"
    if all(byte in b"\t\n\r" or 32 <= byte < 127 for byte in start):
        return "a text (of a playlist name the stream itself)"
    return ""


def _head(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(512)


def _counts_frames(head: bytes) -> bool:
    """Return whether a file is an MP4, a QuickTime film or an AVI."""
    return head[4:8] in _COUNTING or (head.startswith(b"RIFF") and head[8:12] == b"AVI ")


def _matroska_bytes(head: bytes) -> int | None:
    """Return how many bytes a Matroska file should have; None if it was written without knowing."""
    size, at = _matroska_size(head, len(_MATROSKA))
    segment = at + size
    if head[segment : segment + 4] != _SEGMENT or segment + 12 > len(head):
        return None
    size, at = _matroska_size(head, segment + 4)
    is_unknown = size == (1 << 7 * (at - segment - 4)) - 1
    return None if is_unknown else at + size


def _matroska_size(head: bytes, at: int) -> tuple[int, int]:
    """Return the size of an element (RFC 8794, 6), and where its content begins."""
    length = 9 - head[at].bit_length()
    value = int.from_bytes(head[at : at + length], "big") & ((1 << 7 * length) - 1)
    return value, at + length
