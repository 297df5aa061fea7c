"""A connection that threads share, opened when first used, and never carried into a child.

A child of `os.fork` that used its parent's connection could damage the file. So before a fork every
connection that is not in use is closed; parent and child open their own when they next need one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import final

from ilk.errors import GalleryError
from ilk.forks import ForkLock
from ilk.stores.sqlite.connection import Connection

__all__ = ["Line"]


@final
class Line:
    """One connection and its lock."""

    def __init__(self, connect: Callable[[], Connection]) -> None:
        self._connect = connect
        self._lock = ForkLock("file", self.drop)
        self._connection: Connection | None = None
        self._is_closed = False
        self.num_opened = 0

    @property
    def depth(self) -> int:
        """How many `with` blocks of the thread that holds the lock are open."""
        return self._lock.depth

    @contextmanager
    def use(self) -> Iterator[Connection]:
        """Give the connection to this thread alone for the time of a `with` block.

        Raises:
            GalleryError: It is closed, or this is a child that was forked while it was in use.
        """
        with self._lock:
            yield self._ready()

    def close(self) -> None:
        """Let go of the file for good."""
        if not self._lock.is_split:
            with self._lock:
                self._is_closed = True
                self.drop()

    def drop(self) -> None:
        """Let go of the file until the next use."""
        if self._connection is not None:
            self._connection.close()
        self._connection = None

    def _ready(self) -> Connection:
        if self._is_closed:
            raise GalleryError("this store is closed; open it again")
        if self._connection is not None and self._connection.is_outdated and self.depth == 1:
            self.drop()
        if self._connection is None:
            self._connection = self._connect()
            self.num_opened += 1
        return self._connection
