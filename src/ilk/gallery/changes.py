"""Changes of what is enrolled, and the undo of any of them.

Each works inside one transaction. What a change did is in the log field by field, so an undo is a
change too: it sets every field back, if it still has the value that the change gave it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from difflib import get_close_matches
from typing import Any

from ilk.errors import GalleryError, InvalidInput, NoSuchClass, UndoConflict
from ilk.labels import clean_label, normal_label
from ilk.store import ChangeRow, ClassRow, Effect, ExemplarRow, Reader, Writer

__all__ = [
    "class_of",
    "exemplars_of",
    "expire",
    "last_undoable",
    "merge",
    "reassign",
    "remove",
    "remove_exemplars",
    "rename",
    "split",
    "undo",
    "undone_of",
]

_FINAL = {
    "create": "made the gallery",
    "erase": "erased for good",
    "migrate": "moved the gallery to another encoder (`ilk gallery rollback` leads back)",
    "allow": "let erased content be enrolled again (erase it again to close it)",
}
"""Changes that cannot be undone, and why."""


def class_of(reader: Reader, label: str) -> ClassRow:
    """Return the class of a label.

    Raises:
        NoSuchClass: There is none; the message names the nearest label.
    """
    name = normal_label(label)
    row = reader.find_class(name)
    if row is not None:
        return row
    classes = reader.classes()
    for row in classes:  # an earlier version may have kept it in another form
        if normal_label(row.label) == name:
            return row
    known = [c.label for c in classes]
    near = get_close_matches(label, known, n=1)
    hint = f"did you mean {near[0]!r}?" if near else f"it has {len(known)} classes"
    raise NoSuchClass(f"the gallery has no class {label!r}; {hint}")


def exemplars_of(reader: Reader, ids: Iterable[int]) -> list[ExemplarRow]:
    """Return live exemplars by their ids.

    Raises:
        InvalidInput: There are no ids, or one is not of a live exemplar.
    """
    wanted = sorted(set(ids))
    if not wanted:
        raise InvalidInput("expected at least one exemplar, got none")
    rows = reader.exemplars(ids=wanted)
    missing = [i for i in wanted if i not in {row.id for row in rows}]
    if missing:
        raise InvalidInput(
            f"the gallery has no exemplar {missing[0]}; `ilk gallery show` lists them with ids"
        )
    return rows


def remove(writer: Writer, label: str) -> None:
    """Take a class and all of its exemplars out."""
    row = class_of(writer, label)
    writer.update("exemplar", [e.id for e in writer.exemplars(row.id)], "is_live", False)
    writer.update("class", [row.id], "is_live", False)


def remove_exemplars(writer: Writer, ids: Iterable[int]) -> None:
    """Take exemplars out; their class stays, even without any."""
    writer.update("exemplar", [row.id for row in exemplars_of(writer, ids)], "is_live", False)


def rename(writer: Writer, label: str, new: str) -> None:
    """Give a class another label.

    Raises:
        GalleryError: Another class has it; `merge` joins the two.
    """
    row, name = class_of(writer, label), clean_label(new)
    other = writer.find_class(name)
    if other is not None and other.id != row.id:
        raise GalleryError(
            f"expected a label that no class has, got {name!r}; to join the two use "
            f"`ilk gallery merge` ({label!r} into {name!r})"
        )
    writer.update("class", [row.id], "label", name)


def merge(writer: Writer, label: str, into: str) -> None:
    """Make the exemplars of one class those of another; the first is gone.

    Raises:
        InvalidInput: It is the same class.
    """
    row, other = class_of(writer, label), class_of(writer, into)
    if row.id == other.id:
        raise InvalidInput(f"expected two classes to merge, got {label!r} twice")
    writer.update("exemplar", [e.id for e in writer.exemplars(row.id)], "class_id", other.id)
    writer.update("class", [row.id], "is_live", False)


def expire(writer: Writer, day: str | None, label: str | None, ids: Sequence[int]) -> None:
    """Set the day from which exemplars of a class, and those of the ids, may not be kept.

    Raises:
        InvalidInput: Nothing was named.
    """
    rows = exemplars_of(writer, ids) if ids else []
    if label is not None:
        rows += writer.exemplars(class_of(writer, label).id)
    if label is None and not ids:
        raise InvalidInput("expected a label or exemplars whose date to set, got neither")
    writer.update("exemplar", [row.id for row in rows], "expires", day)


def split(writer: Writer, label: str, ids: Sequence[int], new: str) -> None:
    """Make some exemplars of a class a new class.

    Raises:
        InvalidInput: One of them is of another class.
        GalleryError: A class has the new label.
    """
    row, rows = class_of(writer, label), exemplars_of(writer, ids)
    foreign = [e.id for e in rows if e.class_id != row.id]
    if foreign:
        raise InvalidInput(f"expected exemplars of {label!r}, and {foreign[0]} is of another class")
    name = clean_label(new)
    if writer.find_class(name) is not None:
        raise GalleryError(
            f"expected a label that no class has, got {name!r}; to move exemplars to a class that "
            "is there use `reassign`"
        )
    writer.update("exemplar", [e.id for e in rows], "class_id", writer.add_class(name))


def reassign(writer: Writer, ids: Iterable[int], label: str) -> None:
    """Move exemplars to another class that is there."""
    row = class_of(writer, label)
    writer.update("exemplar", [e.id for e in exemplars_of(writer, ids)], "class_id", row.id)


def last_undoable(reader: Reader) -> ChangeRow:
    """Return the latest change that stands: it is not undone, or was redone, and is no undo.

    Raises:
        GalleryError: There is none, or it cannot be undone; the message names it.
    """
    changes = reader.changes()
    undone = undone_of(changes)
    standing = [c for c in changes if c.id not in undone and c.action not in ("undo", "create")]
    if not standing:
        raise GalleryError("there is no change left to undo")
    latest = standing[-1]
    if why := _why_final(latest):
        earlier = next((c for c in reversed(standing) if not _why_final(c)), None)
        named = f", such as {earlier.id} ({earlier.action})" if earlier is not None else ""
        raise GalleryError(
            f"the latest change, {latest.id} ({latest.action}), {why} and cannot be undone; to "
            f"undo an earlier one give its number{named}: `ilk gallery history` lists them"
        )
    return latest


def undone_of(changes: Sequence[ChangeRow]) -> set[int]:
    """Return the ids of the changes of a whole log that are undone and were not redone since."""
    undone: set[int] = set()
    for change in reversed(changes):
        if change.undoes is not None and change.id not in undone:
            undone.add(change.undoes)
    return undone


def _why_final(change: ChangeRow) -> str:
    """Return in words why a change cannot be undone; "" if it can."""
    lost = "lost content to an erasure or a migration" if change.is_erased else ""
    return _FINAL.get(change.action, lost)


def undo(writer: Writer, change_id: int) -> ChangeRow:
    """Turn a change around and return it.

    Raises:
        UndoConflict: A later change gave a field another value; the message names it.
        GalleryError: There is no such change, or it cannot be undone.
    """
    changes = {change.id: change for change in writer.changes()}
    change = changes.get(change_id)
    if change is None:
        raise GalleryError(f"the gallery has no change {change_id}; see `ilk gallery history`")
    if why := _why_final(change):
        raise GalleryError(f"change {change_id} {why} and cannot be undone")
    if change_id in undone_of(list(changes.values())):
        by = max(c.id for c in changes.values() if c.undoes == change_id)
        raise GalleryError(f"change {change_id} was undone already, by change {by}")
    for effect in reversed(change.effects):
        _require_untouched(writer, effect, change, changes.values())
        if effect.table == "setting":
            writer.set(effect.field, effect.before)
        else:
            _set_back(writer, effect, change)
    _require_whole(writer, change)
    writer.mark_undo(change_id)
    return change


def _ids(effect: Effect) -> Iterator[int]:
    for first, last in effect.rows:
        yield from range(first, last + 1)


def _require_untouched(
    reader: Reader, effect: Effect, change: ChangeRow, changes: Iterable[ChangeRow]
) -> None:
    if all(value == effect.after for value in _present(reader, effect)):
        return
    touching = [
        c.id for c in changes if c.id > change.id and any(_meets(effect, e) for e in c.effects)
    ]
    which = f"change {touching[-1]}" if touching else "a later change"
    raise UndoConflict(
        f"change {change.id} ({change.action}) cannot be undone: {which} changed the same "
        f"{effect.table} since; undo that first"
    )


def _set_back(writer: Writer, effect: Effect, change: ChangeRow) -> None:
    try:
        writer.update(effect.table, _ids(effect), effect.field, effect.before)
    except GalleryError as error:
        raise UndoConflict(
            f"change {change.id} ({change.action}) cannot be undone: the same {effect.table} is "
            f"there again; take that out first ({error})"
        ) from error


def _require_whole(writer: Writer, change: ChangeRow) -> None:
    """Refuse an undo that would leave live exemplars in a class that is gone."""
    touched: dict[str, set[int]] = {"class": set(), "exemplar": set()}
    for effect in change.effects:
        touched.get(effect.table, set()).update(_ids(effect))
    rows = writer.exemplars(ids=touched["exemplar"])
    classes = touched["class"] | {row.class_id for row in rows if row.class_id is not None}
    for class_id in sorted(classes):
        row = writer.get_class(class_id)
        if row is not None and not row.is_live and writer.exemplars(class_id):
            raise UndoConflict(
                f"change {change.id} ({change.action}) cannot be undone: class {row.label!r} would "
                "be gone while exemplars that came or went since belong to it; undo those first"
            )


def _present(reader: Reader, effect: Effect) -> Iterator[Any]:
    """Yield the present values of the field that an effect set."""
    if effect.table == "setting":
        yield reader.settings().get(effect.field)
    elif effect.table == "class":
        for class_id in _ids(effect):
            yield getattr(reader.get_class(class_id), effect.field, None)
    elif effect.table == "exemplar":
        rows = reader.exemplars(ids=_ids(effect), is_live=None)
        yield from (getattr(row, effect.field) for row in rows)
    elif effect.table == "unknown":
        kept = {row.id for row in reader.unknowns(_ids(effect))}
        yield from (unknown_id in kept for unknown_id in _ids(effect))


def _meets(effect: Effect, other: Effect) -> bool:
    same = (effect.table, effect.field) == (other.table, other.field)
    return same and (
        not effect.rows or any(a <= d and c <= b for a, b in effect.rows for c, d in other.rows)
    )
