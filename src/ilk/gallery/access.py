"""One process's access to a gallery: its files, its lock, its state, and the generation in use."""

from __future__ import annotations

import getpass
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime
from typing import TypeVar, final

from ilk.errors import GalleryError, WrongEncoder
from ilk.forks import ForkLock
from ilk.gallery.admission import this_day
from ilk.gallery.binding import Binding, kept_classes
from ilk.gallery.location import Generation, Location
from ilk.gallery.settings import Settings
from ilk.gallery.state import State
from ilk.plugins import load
from ilk.store import Chosen, CopyingStore, Erased, Reader, Store, Writer

__all__ = ["Access", "actor_name", "copying", "create_store", "open_store"]

_STORE = "sqlite"
_Result = TypeVar("_Result")


class _MovedError(Exception):
    """Another generation was put in use between the question and the transaction."""


@final
class Access:
    """Store and state of the generation in use; follows when another is put in use."""

    binding: Binding
    generation: Generation
    store: Store

    def __init__(self, location: Location, actor: str, searcher: str) -> None:
        self.location, self.actor = location, actor
        self._searcher = searcher
        self._lock = ForkLock("gallery")
        self._only_for: str | None = None
        self.on_new_day: Callable[[Access, str], object] | None = None
        """Called with the date when something is asked for the first time on a day."""
        self._day, self._depth = "", 0
        self._enter()

    @contextmanager
    def fresh(self) -> Iterator[State]:
        """Give the state with all that was committed so far, for the time of a `with` block."""
        with self._lock:
            if self._depth == 0:
                self._begin_day()
            self._follow()
            self._state.refresh()
            self._depth += 1
            try:
                yield self._state
            finally:
                self._depth -= 1

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

    def erase(self, choose: Callable[[Reader], Chosen]) -> Erased:
        """Erase what `choose` finds, in the transaction in which it looks.

        Raises:
            GalleryError: The store cannot be written, or bytes of what was erased are left in its
                files for now.
        """

        def checked(reader: Reader) -> Chosen:
            if self.location.stamp() != self._stamp:
                raise _MovedError
            return choose(reader)

        with self._lock:
            while True:
                self._follow()
                try:
                    return self.store.erase(choose=checked, actor=self.actor)
                except _MovedError:
                    continue

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

    def start_day(self) -> None:
        """Take what is due today for done."""
        self._day = this_day()

    def close(self, *, keep: bool = True) -> None:
        """Keep the search state for the next opening, if that is worth it, and let go of files.

        Args:
            keep: Whether the state may be kept: not after an interruption, which can come
                anywhere and leave it half followed.
        """
        if self._lock.is_split:
            return  # files and locks are those of the parent
        with self._lock:
            if keep:
                self.save()
            self.store.close()

    def save(self) -> None:
        """Keep the search state for the next opening, if that is worth it; others may write."""
        with self._lock, suppress(GalleryError, OSError):
            # only a cache: on a read-only or full disk the next opening is slower
            self._state.refresh()
            self._state.save()

    def _begin_day(self) -> None:
        """Do what is due once a day, if it is a new one; where that cannot be, answer all the same.

        A gallery that cannot be written, as on a read-only disk, still answers.
        """
        before = self._day
        self.start_day()
        if self._day != before and self.on_new_day is not None:
            with suppress(GalleryError):
                self.on_new_day(self, self._day)

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
            self.binding = self._bind(Binding.from_facts(self.store.facts, artifact, cohort))
            snapshot = self.generation.snapshot
            self._state = State(self.store, self.binding, snapshot, self._searcher)
        except BaseException:
            self.store.close()
            raise
        self._stamp = stamp
        self._require_encoder()

    def _bind(self, binding: Binding) -> Binding:
        """Leave out of its cohort what was erased, should that still be in the file."""
        if binding.cohort is None:
            return binding
        with self.store.reading() as reader:
            return replace(binding, cohort=kept_classes(binding.cohort, reader))


def actor_name(actor: str | None) -> str:
    """Return whom the history names: who is given, else the user of this process, "" of no name."""
    if actor is not None:
        return actor
    try:
        return getpass.getuser()
    except (OSError, KeyError, ImportError):  # a user without a name
        return ""


def copying(store: Store) -> CopyingStore:
    """Return a store as one that can be moved to another encoder, or into a file.

    Raises:
        GalleryError: It cannot.
    """
    if not isinstance(store, CopyingStore):
        raise GalleryError(
            f"{type(store).__name__} cannot copy a gallery, for another encoder or into a file; "
            "use a store that can, such as sqlite, and enroll its items there"
        )
    return store


def open_store(generation: Generation) -> Store:
    """Open the store of a generation."""
    store: Store = load("stores", _STORE).open(generation.store)
    return store


def create_store(
    generation: Generation, binding: Binding, settings: Settings | None, *, actor: str
) -> Store:
    """Fill an empty generation with an empty store and the artifact that it is bound to.

    Without settings the store is without any change, to restore another in.
    """
    if binding.artifact is not None:
        binding.artifact.copy_to(generation.artifact)
    elif binding.cohort is not None:
        generation.cohort.write_bytes(binding.cohort.to_bytes())
    created = datetime.now(UTC).isoformat(timespec="seconds")
    facts = binding.facts | {"uuid": secrets.token_hex(16), "created": created}
    store: Store = load("stores", _STORE).create(generation.store, facts)
    if settings is not None:
        with store.changing("create", actor=actor) as writer:
            for key, value in settings.as_dict().items():
                writer.set(key, value)
    return store
