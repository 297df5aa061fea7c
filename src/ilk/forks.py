"""Locks that a child of `os.fork` can go on with.

A fork copies locks as they are, and only the thread that forks: what another thread held stays
locked in the child for ever, and what it was changing stays half changed. So before a fork all
these locks are taken, those of the outer kinds first, as everybody takes them; parent and child let
go of them. Where a thread does not let go in time, the child says so instead of waiting for it.
"""

from __future__ import annotations

import os
import threading
import time
import weakref
from collections.abc import Callable
from types import TracebackType
from typing import Literal, final

from ilk.errors import GalleryError

__all__ = ["ForkLock", "Kind"]

Kind = Literal["gallery", "file", "engine"]
"""What a lock guards, outermost first: whoever holds one takes only those behind it."""

_KINDS: tuple[Kind, ...] = ("gallery", "file", "engine")
_WAIT_SECONDS = 5.0
_PAUSE_SECONDS = 0.0005

_SPLIT = (
    "this process was forked in the middle of a change or a reading, so it cannot use the store; "
    "fork outside of them, or start processes by spawning"
)


@final
class ForkLock:
    """A lock that a thread may take several times; in a child nobody holds it.

    Args:
        kind: What it guards.
        before_fork: Called in the thread that forks, which has the lock; returns False if what it
            guards cannot be carried over.

    Raises:
        GalleryError: On entering: this is a child that was forked while something other than an
            engine was in use.

    Example:
        >>> lock = ForkLock("engine")
        >>> with lock, lock:
        ...     lock.depth
        2
    """

    def __init__(self, kind: Kind, before_fork: Callable[[], object] | None = None) -> None:
        self.kind = kind
        self.depth = 0
        """How often the thread that holds it took it."""
        self._lock = threading.RLock()
        self._before_fork = weakref.WeakMethod(before_fork) if before_fork is not None else None
        self._is_split = False
        _watch(self)

    @property
    def is_split(self) -> bool:
        """Whether what it guards is that of the parent, and was in use when this child began."""
        return self.kind != "engine" and (self._is_split or _Forks.is_torn)

    def __enter__(self) -> None:
        """Wait until no other thread has it."""
        _let_forks_begin()
        if self.is_split:
            raise GalleryError(_SPLIT)
        self._lock.acquire()
        self.depth += 1
        _held.count += 1

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Let go of it."""
        self.depth -= 1
        _held.count -= 1
        self._lock.release()

    def hold_for_fork(self, seconds: float) -> bool:
        """Take it for the time of a fork; return False if a thread does not let go of it."""
        if not self._lock.acquire(timeout=seconds):
            return False
        prepare = self._before_fork() if self._before_fork is not None else None
        if prepare is not None and not self.depth:
            prepare()
        return True

    def release_after_fork(self) -> None:
        """Go on, in the parent."""
        self._lock.release()

    def restart_in_child(self, *, was_held: bool) -> None:
        """Go on, in the child: no thread of the parent but this one exists here."""
        if was_held:
            self._is_split |= self.kind == "file" and self.depth > 0
            self._lock.release()
            return
        self._is_split |= self.kind != "engine"
        self._lock, self.depth = threading.RLock(), 0


class _Held(threading.local):
    """How many locks a thread holds."""

    count = 0


@final
class _Forks:
    """What is known of forks in this process."""

    thread: int | None = None
    """The thread that is about to fork."""
    is_watched = False
    is_torn = False
    """Whether this is a child that was forked while another thread was using SQLite, whose own
    locks are then closed for ever."""


_held = _Held()
_locks: weakref.WeakSet[ForkLock] = weakref.WeakSet()
_registration = threading.Lock()
_taken: list[ForkLock] = []
_missed: list[ForkLock] = []


def _watch(lock: ForkLock) -> None:
    with _registration:
        _locks.add(lock)
        if not _Forks.is_watched and hasattr(os, "register_at_fork"):
            os.register_at_fork(
                before=_before_fork,
                after_in_parent=_after_in_parent,
                after_in_child=_after_in_child,
            )
            _Forks.is_watched = True


def _let_forks_begin() -> None:
    """Wait, unless this thread has what the one that forks is waiting for."""
    while _Forks.thread not in (None, threading.get_ident()) and not _held.count:
        time.sleep(_PAUSE_SECONDS)


def _before_fork() -> None:
    _Forks.thread = threading.get_ident()
    deadline = time.monotonic() + _WAIT_SECONDS
    _registration.acquire()
    while more := set(_locks).difference(_taken, _missed):  # whoever holds one may make another
        _registration.release()
        for lock in sorted(more, key=lambda lock: _KINDS.index(lock.kind)):
            seconds = max(deadline - time.monotonic(), 0.0)
            (_taken if lock.hold_for_fork(seconds) else _missed).append(lock)
        _registration.acquire()


def _after_in_parent() -> None:
    for lock in reversed(_taken):
        lock.release_after_fork()
    _go_on()


def _after_in_child() -> None:
    _Forks.is_torn |= any(lock.kind == "file" for lock in _missed)
    for lock in reversed(_taken):
        lock.restart_in_child(was_held=True)
    for lock in _missed:
        lock.restart_in_child(was_held=False)
    _go_on()


def _go_on() -> None:
    _taken.clear()
    _missed.clear()
    _Forks.thread = None
    _registration.release()
