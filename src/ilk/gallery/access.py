"""One process's access to a gallery: its files, its lock, its state, and the generation in use."""

from __future__ import annotations

import secrets
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TypeVar, final

from ilk.errors import GalleryError
from ilk.gallery.binding import Binding
from ilk.gallery.location import Generation, Location
from ilk.gallery.settings import Settings
from ilk.gallery.state import State
from ilk.plugins import load
from ilk.store import Reader, Store, Writer

__all__ = ["Access", "create_store", "open_store"]

_STORE = "sqlite"
_Result = TypeVar("_Result")


@final
class Access:
    """Store and state of the generation in use; follows when another is put in use."""

    binding: Binding
    generation: Generation
    store: Store

    def __init__(self, location: Location, actor: str, searcher: str) -> None:
        self.location, self.actor = location, actor
        self._searcher = searcher
        self._lock = threading.RLock()
        self._enter()

    @contextmanager
    def fresh(self) -> Iterator[State]:
        """Give the state with all that was committed so far, for the time of a `with` block."""
        with self._lock:
            if self.location.stamp() != self._stamp:
                self.store.close()
                self._enter()
            self._state.refresh()
            yield self._state

    @contextmanager
    def reading(self) -> Iterator[Reader]:
        """Give one consistent view of the store."""
        with self.fresh(), self.store.reading() as reader:
            yield reader

    def change(self, action: str, work: Callable[[Writer], _Result], *, call: str = "") -> _Result:
        """Do `work` in one transaction that is durable when this returns.

        Raises:
            GalleryError: The store cannot be written; nothing was changed.
        """
        with self._lock:
            while True:
                call = call or secrets.token_hex(8)
                with self.store.changing(action, actor=self.actor, call=call) as writer:
                    if self.location.stamp() == self._stamp:
                        return work(writer)
                self.store.close()
                self._enter()

    @contextmanager
    def held(self) -> Iterator[State]:
        """Give the fresh state while nobody can write."""
        with self._lock, self.store.changing("hold"):
            self._state.refresh()
            yield self._state

    def close(self) -> None:
        """Keep the search state for the next opening, if that is worth it, and let go of files."""
        with self._lock:
            try:
                with self.held() as state:
                    state.save()
            except (GalleryError, OSError):
                pass  # only a cache: on a read-only or full disk the next opening is slower
            self.store.close()

    def _enter(self) -> None:
        self._stamp = self.location.stamp()
        self.generation = self.location.current()
        self.store = open_store(self.generation)
        try:
            artifact = self.generation.open_artifact()
            self.binding = Binding.from_facts(self.store.facts, artifact)
            snapshot = self.generation.snapshot
            self._state = State(self.store, self.binding, snapshot, self._searcher)
        except BaseException:
            self.store.close()
            raise


def open_store(generation: Generation) -> Store:
    """Open the store of a generation."""
    store: Store = load("stores", _STORE).open(generation.store)
    return store


def create_store(
    generation: Generation, binding: Binding, settings: Settings, *, actor: str
) -> Store:
    """Fill an empty generation with an empty store and the artifact that it is bound to."""
    if binding.artifact is not None:
        binding.artifact.copy_to(generation.artifact)
    created = datetime.now(UTC).isoformat(timespec="seconds")
    facts = binding.facts | {"uuid": secrets.token_hex(16), "created": created}
    store: Store = load("stores", _STORE).create(generation.store, facts)
    with store.changing("create", actor=actor) as writer:
        for key, value in settings.as_dict().items():
            writer.set(key, value)
    return store
