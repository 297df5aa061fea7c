"""Erasure: out of rows, log, crops and search state, in every generation."""

from __future__ import annotations

from collections.abc import Sequence

from ilk.errors import InvalidInput, NoSuchClass
from ilk.gallery.access import Access, open_store
from ilk.gallery.admission import check_label
from ilk.gallery.changes import class_of
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
    receipt = access.store.erase(class_ids=class_ids, exemplar_ids=exemplar_ids, actor=access.actor)
    for generation in access.location.generations():
        if generation.number != access.generation.number:
            store = open_store(generation)
            try:
                store.erase(class_ids=class_ids, exemplar_ids=exemplar_ids, actor=access.actor)
            finally:
                store.close()
        generation.snapshot.unlink(missing_ok=True)
    return receipt


def _classes(reader: Reader, label: str) -> list[int]:
    """Return the ids of every class that has the label, those taken out earlier included."""
    name = check_label(label)
    found = [row.id for row in reader.classes(is_live=None) if row.label == name]
    if not found:
        class_of(reader, label)
        raise NoSuchClass(f"the gallery never had a class {label!r}")
    return found
