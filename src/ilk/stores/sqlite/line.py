"""A connection that threads share, opened when first used, and never carried into a child.

A child of `os.fork` that used its parent's connection could damage the file. So before a fork every
connection that is not in use is closed; parent and child open their own when they next need one.
"""

from __future__ import annotations

import os
import threading
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import final

from ilk.errors import GalleryError
from ilk.stores.sqlite.connection import Connection

__all__ = ["Line"]

_FORK_WAIT_SECONDS = 5.0


@final
class Line:
    """One connection and its lock."""

    def __init__(self, connect: Callable[[], Connection]) -> None:
        self._connect = connect
        self._lock = threading.RLock()
        self._connection: Connection | None = None
        self._is_closed = False
        self._is_split = False
        self.depth = 0
        """How many `with` blocks of the thread that holds the lock are open."""
        self.num_opened = 0
        _watch_forks(self)

    @contextmanager
    def use(self) -> Iterator[Connection]:
        """Give the connection to this thread alone for the time of a `with` block."""
        with self._lock:
            connection = self._ready()
            self.depth += 1
            try:
                yield connection
            finally:
                self.depth -= 1

    def close(self) -> None:
        """Let go of the file for good."""
        with self._lock:
            self._is_closed = True
            self.drop()

    def drop(self) -> None:
        """Let go of the file until the next use."""
        if self._connection is not None and not self._is_split:
            self._connection.close()
        self._connection = None

    def hold_for_fork(self) -> bool:
        """Close the connection and keep the lock; return False if somebody is using it."""
        if not self._lock.acquire(timeout=_FORK_WAIT_SECONDS):
            return False
        if self.depth:
            self._lock.release()
            return False
        self.drop()
        return True

    def release_after_fork(self) -> None:
        """Go on, in the parent."""
        self._lock.release()

    def restart_in_child(self, *, is_split: bool) -> None:
        """Go on, in the child: no thread of the parent exists here."""
        self._lock = threading.RLock()
        self.depth = 0
        self._is_split = is_split

    def _ready(self) -> Connection:
        if self._is_closed:
            raise GalleryError("this store is closed; open it again")
        if self._is_split:
            raise GalleryError(
                "this process was forked in the middle of a change or a reading, so it cannot use "
                "the store; fork outside of them, or start processes by spawning"
            )
        if self._connection is not None and self._connection.is_outdated and not self.depth:
            self.drop()
        if self._connection is None:
            self._connection = self._connect()
            self.num_opened += 1
        return self._connection


_lines: weakref.WeakSet[Line] = weakref.WeakSet()
_registration = threading.Lock()
_is_registered = False
_held: list[Line] = []
_in_use: list[Line] = []


def _watch_forks(line: Line) -> None:
    global _is_registered
    with _registration:
        _lines.add(line)
        if not _is_registered and hasattr(os, "register_at_fork"):
            os.register_at_fork(
                before=_before_fork,
                after_in_parent=_after_in_parent,
                after_in_child=_after_in_child,
            )
            _is_registered = True


def _before_fork() -> None:
    _registration.acquire()
    for line in list(_lines):
        (_held if line.hold_for_fork() else _in_use).append(line)


def _after_in_parent() -> None:
    for line in _held:
        line.release_after_fork()
    _forget()


def _after_in_child() -> None:
    for line in _held:
        line.restart_in_child(is_split=False)
    for line in _in_use:
        line.restart_in_child(is_split=True)
    _forget()


def _forget() -> None:
    _held.clear()
    _in_use.clear()
    _registration.release()
