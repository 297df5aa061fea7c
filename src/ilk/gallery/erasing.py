"""Erasure: out of rows, log, crops and search state, in every generation."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from contextlib import closing, suppress
from typing import Literal

import numpy as np

from ilk.errors import GalleryError, InvalidInput, NoSuchClass
from ilk.gallery.access import Access, open_store
from ilk.gallery.changes import class_of, undone_of
from ilk.gallery.forgetting import forget
from ilk.gallery.generations import discard_later
from ilk.gallery.location import Generation
from ilk.gallery.snapshot import remove_snapshot
from ilk.labels import normal_label
from ilk.store import Chosen, Effect, Erased, Reader

__all__ = ["Moved", "erase", "erase_expired"]

Moved = Literal["refuse", "erase", "keep"]
"""What happens to exemplars that came from a class and belong to another by now."""

_NUM_NAMED = 5


def erase(
    access: Access, label: str | None, exemplar_ids: Sequence[int], moved: Moved = "refuse"
) -> Erased:
    """Erase a class, or exemplars, in every generation of a gallery; return the receipt.

    What belongs to the class is looked up in the transaction that deletes it. The snapshots go
    first: they are only caches, and none may outlast an erasure that is cut short; afterwards that
    of the generation in use is written anew, without the rows. The generations
    that are not in use follow, also in what an earlier erasure did not get to.

    Args:
        access: Of the gallery.
        label: Of the class, one of the past too.
        exemplar_ids: Of exemplars, live or not.
        moved: What happens to exemplars of the class that were merged into or moved to another.

    Raises:
        NoSuchClass: The gallery never had a class of that label, or it has another label now.
        InvalidInput: Nothing was named, or an exemplar never was.
        GalleryError: Exemplars of the class belong to another now and `moved` is "refuse", or
            somebody gave the label to another class meanwhile; nothing was erased.
    """
    if moved not in ("refuse", "erase", "keep"):
        raise InvalidInput(f"moved must be refuse, erase or keep, got {moved!r}")
    with access.reading() as reader:
        meant = _classes(reader, label) if label is not None else ()

    def choose(reader: Reader) -> Chosen:
        rows = list(exemplar_ids)
        missing = sorted(set(rows) - {row.id for row in reader.exemplars(ids=rows, is_live=None)})
        if missing or (label is None and not rows):
            what = f"and {missing[0]} never was one" if missing else "and nothing was named"
            raise InvalidInput(f"expected a label or ids of exemplars to erase, {what}")
        if label is None:
            return Chosen(exemplar_ids=tuple(rows))
        classes = _classes(reader, label)
        if set(meant) - set(classes):
            raise GalleryError(
                f"the class that was called {label!r} was given another label just now, and "
                "another has this one; nothing was erased; look again, and erase what you mean"
            )
        return Chosen(classes, (*rows, *_moved(reader, label, classes, moved)))

    return _erase(access, choose)


def erase_expired(access: Access, day: str) -> Erased | None:
    """Erase the exemplars whose date has come by a day; None if there are none.

    A class all of whose exemplars go, those taken out earlier too, goes with them: its label is
    then nowhere.
    """
    with access.reading() as reader:
        if not reader.expired(day):
            return None

    def choose(reader: Reader) -> Chosen:
        over = set(reader.expired(day))
        if not over:  # another process was first
            raise _NothingError
        rows = reader.exemplars(ids=over, is_live=None)
        touched = {row.class_id for row in rows if row.class_id is not None}
        classes = [c for c in sorted(touched) if _own(reader, c) <= over]
        return Chosen(tuple(classes), tuple(sorted(over)))

    try:
        return _erase(access, choose)
    except _NothingError:
        return None


def _own(reader: Reader, class_id: int) -> set[int]:
    """Return the exemplars that a class ever had and still has, live or not."""
    rows = reader.exemplars(class_id, is_live=None)
    return {row.id for row in rows if row.role == "exemplar"}


class _NothingError(Exception):
    """There is nothing left to erase."""


def _erase(access: Access, choose: Callable[[Reader], Chosen]) -> Erased:
    discard_later(access.location)
    _follow(access)
    gone: list[np.ndarray] = []

    def noting(reader: Reader) -> Chosen:
        chosen = choose(reader)
        own = {row.id for c in chosen.class_ids for row in reader.exemplars(c, is_live=None)}
        rows = own | set(chosen.exemplar_ids)
        gone[:] = [reader.embeddings(sorted(rows - set(reader.damaged(rows))))]
        return chosen

    try:
        return access.erase(noting)
    finally:
        _follow(access)
        forget(access, *gone)
        access.save()


def _follow(access: Access) -> None:
    """Delete the snapshots, and what was erased in the generation in use from the others.

    Classes have the same ids there; an exemplar may have come there on another way.
    """
    for generation in access.location.generations():
        remove_snapshot(generation.snapshot)
        if generation.number != access.location.current().number:
            _erase_in(generation, access)


def _erase_in(generation: Generation, access: Access) -> None:
    """Erase in another generation, unless it is in use once its store is locked.

    What is in use is looked at from within the transaction: whatever is in the other by then came
    from there, and what is enrolled there later has to wait.
    """

    def choose(reader: Reader) -> Chosen:
        in_use = access.location.current()
        if in_use.number == generation.number:
            raise _NothingError
        rows = reader.exemplars(is_live=None)
        with closing(open_store(in_use)) as store, store.reading() as current:
            classes = {row.id for row in current.classes(is_live=None)}
            closed = current.suppressed({row.content_hash for row in rows})
        gone = sorted({row.id for row in reader.classes(is_live=None)} - classes)
        exemplars = [row.id for row in rows if row.content_hash in closed]
        if not gone and not exemplars:  # another process may have been first
            raise _NothingError
        return Chosen(tuple(gone), tuple(exemplars))

    with closing(open_store(generation)) as store, suppress(_NothingError):
        store.erase(choose=choose, actor=access.actor)


def _classes(reader: Reader, label: str) -> tuple[int, ...]:
    """Return the ids of every class that has the label, those taken out earlier included."""
    name = normal_label(label)
    found = tuple(row.id for row in reader.classes(is_live=None) if normal_label(row.label) == name)
    if found:
        return found
    for change in reversed(reader.changes()):
        for effect in change.effects:
            if (effect.table, effect.field, effect.before) == ("class", "label", name):
                row = reader.get_class(effect.rows[0][0])
                if row is not None:
                    raise NoSuchClass(
                        f"the class that was called {name!r} is called {row.label!r} now (renamed "
                        f"by change {change.id}); erase {row.label!r}; nothing was erased"
                    )
    class_of(reader, label)
    raise NoSuchClass(f"the gallery never had a class {label!r}")


def _moved(reader: Reader, label: str, classes: Collection[int], moved: Moved) -> list[int]:
    """Return which exemplars of other classes came from these and are to go too."""
    if moved == "keep":
        return []
    came: dict[int, int] = {}
    log = reader.changes()
    undone = undone_of(log)
    for change in log:
        stands = change.id not in undone and change.action != "undo"
        for effect in change.effects:
            if stands and _is_from(effect, classes):
                came |= {i: change.id for a, b in effect.rows for i in range(a, b + 1)}
    rows = [row for row in reader.exemplars(ids=came, is_live=None) if row.class_id not in classes]
    if not rows or moved == "erase":
        return [row.id for row in rows]
    labels = {row.id: row.label for row in reader.classes(is_live=None)}
    owners = sorted({labels.get(row.class_id or 0, "") for row in rows})
    one = len(rows) == 1
    raise GalleryError(
        f"{_listed((row.id for row in rows), 'exemplar')} came from {label!r} and "
        f"{'belongs' if one else 'belong'} to {', '.join(map(repr, owners[:_NUM_NAMED]))} now, by "
        f"{_listed(sorted({came[row.id] for row in rows}), 'change')}; nothing was erased: say "
        f"whether {'it is' if one else 'they are'} erased too (`--moved erase`, in Python "
        f"moved='erase') or {'stays' if one else 'stay'} there (`--moved keep`)"
    )


def _is_from(effect: Effect, classes: Collection[int]) -> bool:
    is_move = (effect.table, effect.field) == ("exemplar", "class_id")
    return is_move and effect.before in classes and effect.after not in classes


def _listed(ids: Iterable[int], noun: str) -> str:
    """Return ids in words, such as "exemplars 3, 5 and 9 more"."""
    every = list(ids)
    told = ", ".join(map(str, every[:_NUM_NAMED]))
    more = f" and {len(every) - _NUM_NAMED:,} more" if len(every) > _NUM_NAMED else ""
    return f"{noun}{'s' if len(every) > 1 else ''} {told}{more}"
