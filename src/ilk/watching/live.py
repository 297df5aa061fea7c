"""Cameras and streams: always the latest frame, however long the last one took."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from typing import Any, Self, final

from ilk.errors import DataError
from ilk.watching.frames import Frame, Thinning
from ilk.watching.video import open_capture, picture_of

__all__ = ["Live"]

_MOST_FAILURES = 30
"""Frames in a row that do not come before a camera counts as gone."""
_PATIENCE_SECONDS = 0.2
"""How long one wait for a frame takes, so that Ctrl-C is heard."""
_PAUSE_SECONDS = 0.05


@final
class Live:
    """Reads in a thread and hands out the latest frame; those in between are left out."""

    is_live = True
    num_frames: int | None = None

    def __init__(self, source: int | str, thinning: Thinning) -> None:
        """Open it.

        Raises:
            DataError: It cannot be opened, or gives no picture.
            MissingExtra: OpenCV is not installed.
        """
        self.name = f"camera:{source}" if isinstance(source, int) else source
        self._capture: Any = open_capture(source)
        if not self._capture.isOpened():
            what = "is in use" if isinstance(source, int) else "cannot be reached"
            raise DataError(f"{self.name}: the camera is not there or {what}")
        self._thinning = thinning
        self._problems: list[str] = []
        self._news = threading.Condition()
        self._latest: Frame | None = None
        self._is_over = self._is_stopped = False
        self._thread = threading.Thread(target=self._read, name="ilk-camera", daemon=True)
        self._thread.start()

    @property
    def problems(self) -> tuple[str, ...]:
        """That the camera went away."""
        return tuple(self._problems)

    def __iter__(self) -> Iterator[Frame]:
        """Yield the latest frame again and again.

        Raises:
            DataError: The camera never gives one.
        """
        num_seen = 0
        while (frame := self._next()) is not None and not self._is_stopped:
            num_seen += 1
            yield frame
        if not num_seen and not self._is_stopped:
            raise DataError(f"{self.name}: the camera gives no picture; is it in use?")

    def stop(self) -> None:
        """Let the iteration end, also while no frame comes."""
        self._is_over = self._is_stopped = True

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        """Let go of the camera."""
        self._is_over = True
        self._thread.join(2.0)
        if not self._thread.is_alive():  # else it is inside a read that hangs
            self._capture.release()

    def _next(self) -> Frame | None:
        """Wait for a frame that was not handed out yet; None when there will be none."""
        while True:
            with self._news:
                if self._latest is None and not self._is_over:
                    self._news.wait(_PATIENCE_SECONDS)
                frame, self._latest = self._latest, None
                if frame is not None or self._is_over:
                    return frame

    def _read(self) -> None:
        try:
            self._read_on()
        except Exception as error:  # OpenCV and its drivers raise many kinds
            self._problems.append(f"{self.name}: the camera broke off: {error}")
        finally:  # else whoever waits would wait for ever
            with self._news:
                self._is_over = True
                self._news.notify()

    def _read_on(self) -> None:
        start, number, num_failed = time.monotonic(), 0, 0
        while not self._is_over:
            is_read, pixels = self._capture.read()
            if not is_read or pixels is None:
                num_failed += 1
                if num_failed >= _MOST_FAILURES:
                    self._problems.append(f"{self.name}: the camera gives no pictures any more")
                    break
                time.sleep(_PAUSE_SECONDS)
                continue
            num_failed = 0
            seconds = time.monotonic() - start
            if self._thinning.wants(number, seconds):
                with self._news:
                    self._latest = Frame(number, seconds, picture_of(pixels))
                    self._news.notify()
            number += 1
