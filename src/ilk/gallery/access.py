"""One process's access to a gallery: its files, its lock, its state, and the generation in use."""

from __future__ import annotations

import secrets
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TypeVar, final

from ilk.errors import GalleryError, WrongEncoder
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
        self._only_for: str | None = None
        self._enter()

    @contextmanager
    def fresh(self) -> Iterator[State]:
        """Give the state with all that was committed so far, for the time of a `with` block."""
        with self._lock:
            self._follow()
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
            call = call or secrets.token_hex(8)
            while True:
                self._follow()
                with self.store.changing(action, actor=self.actor, call=call) as writer:
                    if self.location.stamp() == self._stamp:
                        return work(writer)

    @contextmanager
    def held(self) -> Iterator[State]:
        """Give the fresh state while nobody can write."""
        with self._lock, self.store.changing("hold"):
            self._state.refresh()
            yield self._state

    @contextmanager
    def only_for(self, encoder_fingerprint: str) -> Iterator[None]:
        """Refuse, for the time of a `with` block, to work on a gallery of another encoder.

        Raises:
            WrongEncoder: It is bound to another, or becomes so.
        """
        with self._lock:
            outer, self._only_for = self._only_for, encoder_fingerprint
            try:
                self._follow()
                self._require_encoder()
                yield
            finally:
                self._only_for = outer

    def close(self, *, keep: bool = True) -> None:
        """Keep the search state for the next opening, if that is worth it, and let go of files.

        Args:
            keep: Whether the state may be kept: not after an interruption, which can come
                anywhere and leave it half followed.
        """
        with self._lock:
            try:
                if keep:
                    with self.held() as state:
                        state.save()
            except (GalleryError, OSError):
                pass  # only a cache: on a read-only or full disk the next opening is slower
            self.store.close()

    def _require_encoder(self) -> None:
        if self._only_for not in (None, self.binding.encoder_fingerprint):
            raise WrongEncoder(
                f"the gallery is bound to encoder {self.binding.encoder_fingerprint[:12]}..., got "
                f"{str(self._only_for)[:12]}...; use the gallery's own artifact, or move the "
                "gallery with `ilk gallery migrate`"
            )

    def _follow(self) -> None:
        """Go over to the generation in use, if another was put in use."""
        if self.location.stamp() != self._stamp:
            self.store.close()
            self._enter()

    def _enter(self) -> None:
        stamp = self.location.stamp()
        self.generation = self.location.current()
        self.store = open_store(self.generation)
        try:
            artifact = self.generation.open_artifact()
            cohort = self.generation.open_cohort()
            self.binding = Binding.from_facts(self.store.facts, artifact, cohort)
            snapshot = self.generation.snapshot
            self._state = State(self.store, self.binding, snapshot, self._searcher)
        except BaseException:
            self.store.close()
            raise
        self._stamp = stamp
        self._require_encoder()


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
    elif binding.cohort is not None:
        generation.cohort.write_bytes(binding.cohort.to_bytes())
    created = datetime.now(UTC).isoformat(timespec="seconds")
    facts = binding.facts | {"uuid": secrets.token_hex(16), "created": created}
    store: Store = load("stores", _STORE).create(generation.store, facts)
    with store.changing("create", actor=actor) as writer:
        for key, value in settings.as_dict().items():
            writer.set(key, value)
    return store
