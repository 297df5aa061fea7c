"""Erasure: out of rows, log, crops and search state, in every generation."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing

from ilk.errors import InvalidInput, NoSuchClass
from ilk.gallery.access import Access, open_store
from ilk.gallery.admission import check_label
from ilk.gallery.changes import class_of
from ilk.gallery.generations import discard_later
from ilk.gallery.location import Generation
from ilk.gallery.snapshot import remove_snapshot
from ilk.store import Erased, Reader

__all__ = ["erase"]


def erase(access: Access, label: str | None, exemplar_ids: Sequence[int]) -> Erased:
    """Erase a class, or exemplars, in every generation of a gallery; return the receipt.

    The snapshots go first: they are only caches, and none may outlast an erasure that is cut short.
    The generations that are not in use follow, also in what an earlier erasure did not get to.

    Raises:
        NoSuchClass: The gallery never had a class of that label.
        InvalidInput: Nothing was named, or an exemplar never was.
    """
    discard_later(access.location)
    _follow(access)
    with access.reading() as reader:
        class_ids = _classes(reader, label) if label is not None else []
        known = {row.id for row in reader.exemplars(ids=exemplar_ids, is_live=None)}
    missing = sorted(set(exemplar_ids) - known)
    if missing or not (class_ids or exemplar_ids):
        what = f"and {missing[0]} never was one" if missing else "and nothing was named"
        raise InvalidInput(f"expected a label or ids of exemplars to erase, {what}")
    try:
        return access.store.erase(
            class_ids=class_ids, exemplar_ids=exemplar_ids, actor=access.actor
        )
    finally:
        _follow(access)


def _follow(access: Access) -> None:
    """Delete the snapshots, and what was erased in the generation in use from the others.

    Classes have the same ids there; an exemplar may have come there on another way.
    """
    with access.reading() as current:
        classes = {row.id for row in current.classes(is_live=None)}
        for generation in access.location.generations():
            remove_snapshot(generation.snapshot)
            if generation.number != access.generation.number:
                _erase_in(generation, current, classes, access.actor)


def _erase_in(generation: Generation, current: Reader, classes: set[int], actor: str) -> None:
    with closing(open_store(generation)) as store:
        with store.reading() as reader:
            gone = sorted({row.id for row in reader.classes(is_live=None)} - classes)
            rows = reader.exemplars(is_live=None)
        closed = current.suppressed({row.content_hash for row in rows})
        exemplars = [row.id for row in rows if row.content_hash in closed]
        if gone or exemplars:
            store.erase(class_ids=gone, exemplar_ids=exemplars, actor=actor)


def _classes(reader: Reader, label: str) -> list[int]:
    """Return the ids of every class that has the label, those taken out earlier included."""
    name = check_label(label)
    found = [row.id for row in reader.classes(is_live=None) if row.label == name]
    if not found:
        class_of(reader, label)
        raise NoSuchClass(f"the gallery never had a class {label!r}")
    return found
