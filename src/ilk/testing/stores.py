"""The kit for stores."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from ilk.errors import GalleryError, InvalidInput
from ilk.store import NewExemplar, Store, Writer
from ilk.testing.claims import D, claim
from ilk.testing.memory_store import MemoryStore
from ilk.testing.store_play import Play

__all__ = ["check_store"]

FACTS: dict[str, Any] = {"embedding_size": D, "uuid": "0123", "distance": {"name": "cosine"}}

_NUM_CHANGES = 100


def check_store(create: Callable[[Mapping[str, Any]], Store], open: Callable[[], Store]) -> None:
    """Check that a store keeps, tells and forgets exactly what a store in plain dicts does.

    After each of 100 random changes every answer is the same, and so is what follows from deltas;
    an error undoes the whole change; a view stays as it was; another handle sees every change at
    once; effects can be undone; what was erased is in no answer; all is there when it is
    opened again.

    Args:
        create: Makes a new, empty store with these facts, `embedding_size` among them.
        open: Opens that store again, while other handles to it may be open.

    Example:
        >>> made = []
        >>> def create(facts):
        ...     made.append(MemoryStore(facts))
        ...     return made[-1]
        >>> check_store(create, lambda: made[-1])
    """
    store = create(FACTS)
    claim(isinstance(store, Store), f"a store must have the methods of ilk.store.Store, {store}")
    claim(dict(store.facts) == FACTS, f"facts must be {FACTS}, got {dict(store.facts)}")
    play = Play(store, MemoryStore(FACTS))
    play.compare()
    for _ in range(_NUM_CHANGES):
        play.change()
        play.compare()
    _check_errors(store)
    play.compare()
    _check_views(store, open)
    store.close()
    again = open()
    claim(dict(again.facts) == FACTS, f"facts must stay {FACTS}, got {dict(again.facts)}")
    claim(again.check() == [], f"nothing must be wrong with the store, got {again.check()}")
    with again.reading() as reader:
        row = reader.find_class("seen by others")
        claim(row is not None, "what was committed must be there when the store is opened again")
    again.close()


def _check_errors(store: Store) -> None:
    """Check that what is refused leaves nothing behind."""
    sound = NewExemplar(np.ones(D, np.float32), "f" * 64)
    faults: dict[str, Callable[[Writer, int], Any]] = {
        "a label twice": lambda writer, _: writer.add_class("twice"),
        "a float64 embedding": lambda writer, c: writer.add_exemplars(
            c, [NewExemplar(np.ones(D), "e" * 64)]
        ),
        "an embedding of another size": lambda writer, c: writer.add_exemplars(
            c, [NewExemplar(np.ones(D + 1, np.float32), "e" * 64)]
        ),
        "an embedding that is not finite": lambda writer, c: writer.add_exemplars(
            c, [NewExemplar(np.full(D, np.nan, np.float32), "e" * 64)]
        ),
        "a content twice": lambda writer, c: writer.add_exemplars(c, [sound]),
        "a class that is not there": lambda writer, c: writer.add_exemplars(
            c + 1000, [NewExemplar(np.ones(D, np.float32), "e" * 64)]
        ),
        "an exemplar that is not there": lambda writer, _: writer.update(
            "exemplar", [10**9], "is_live", False
        ),
    }
    for what, fault in faults.items():
        try:
            with store.changing("fail") as writer:
                class_id = writer.add_class("twice")
                writer.add_exemplars(class_id, [sound])
                fault(writer, class_id)
        except (GalleryError, InvalidInput):
            _check_undone(store, what)
            continue
        raise AssertionError(f"{what} must raise a GalleryError or InvalidInput, it was accepted")
    try:
        with store.changing("fail") as writer:
            writer.add_class("twice")
            raise ZeroDivisionError
    except ZeroDivisionError:
        _check_undone(store, "an error in the block")
    with store.changing("nothing"):
        pass


def _check_undone(store: Store, what: str) -> None:
    with store.reading() as reader:
        claim(reader.find_class("twice") is None, f"{what} must undo the change, half of it stays")


def _check_views(store: Store, open: Callable[[], Store]) -> None:
    """Check that a view stays as it was, and that another handle sees what was committed."""
    other = open()
    if other is store:
        with store.changing("enroll") as writer:
            writer.add_class("seen by others")
        return
    before = store.version()
    claim(before == store.version(), "a version must stay while nothing is committed")
    with store.reading() as reader:
        sequence = reader.sequence()
        with other.changing("enroll") as writer:
            writer.add_class("seen by others")
        claim(reader.sequence() == sequence, "a view must stay as it was, its sequence moved")
        row = reader.find_class("seen by others")
        claim(row is None, "a view must stay as it was, it shows a later class")
    claim(before != store.version(), "a version must differ after another handle committed")
    with store.reading() as reader:
        row = reader.find_class("seen by others")
        claim(row is not None, "a new view must show what another handle committed")
    other.close()
