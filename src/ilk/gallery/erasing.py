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

    The snapshots go too: they are only caches.

    Raises:
        NoSuchClass: The gallery never had a class of that label.
        InvalidInput: Nothing was named, or an exemplar never was.
    """
    with access.reading() as reader:
        class_ids = _classes(reader, label) if label is not None else []
        known = {row.id for row in reader.exemplars(ids=exemplar_ids, is_live=None)}
    missing = sorted(set(exemplar_ids) - known)
    if missing or not (class_ids or exemplar_ids):
        what = f"and {missing[0]} never was one" if missing else "and nothing was named"
        raise InvalidInput(f"expected a label or ids of exemplars to erase, {what}")
    discard_later(access.location)
    store, number = access.store, access.generation.number
    with store.reading() as reader:
        classes, contents = _held(reader)
    receipt = store.erase(class_ids=class_ids, exemplar_ids=exemplar_ids, actor=access.actor)
    with store.reading() as reader:
        classes_left, contents_left = _held(reader)
    for generation in access.location.generations():
        if generation.number != number:
            _erase_in(generation, classes - classes_left, contents - contents_left, access.actor)
        remove_snapshot(generation.snapshot)
    return receipt


def _held(reader: Reader) -> tuple[set[int], set[str]]:
    """Return the ids of all classes and the contents of all exemplars, those taken out included."""
    classes = {row.id for row in reader.classes(is_live=None)}
    return classes, {row.content_hash for row in reader.exemplars(is_live=None)}


def _erase_in(generation: Generation, class_ids: set[int], contents: set[str], actor: str) -> None:
    """Erase in a generation that is not in use what was erased in the one that is.

    Classes have the same ids there; an exemplar may have come there on another way.
    """
    with closing(open_store(generation)) as store:
        with store.reading() as reader:
            classes = sorted(class_ids & {row.id for row in reader.classes(is_live=None)})
            rows = reader.exemplars(is_live=None)
        exemplars = [row.id for row in rows if row.content_hash in contents]
        if classes or exemplars:
            store.erase(class_ids=classes, exemplar_ids=exemplars, actor=actor)


def _classes(reader: Reader, label: str) -> list[int]:
    """Return the ids of every class that has the label, those taken out earlier included."""
    name = check_label(label)
    found = [row.id for row in reader.classes(is_live=None) if row.label == name]
    if not found:
        class_of(reader, label)
        raise NoSuchClass(f"the gallery never had a class {label!r}")
    return found
