"""Changes of what is enrolled, and the undo of any of them.

Each works inside one transaction. What a change did is in the log field by field, so an undo is a
change too: it sets every field back, if it still has the value that the change gave it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from difflib import get_close_matches
from typing import Any

from ilk.errors import GalleryError, InvalidInput, NoSuchClass, UndoConflict
from ilk.gallery.admission import check_label
from ilk.store import ChangeRow, ClassRow, Effect, ExemplarRow, Reader, Writer

__all__ = [
    "class_of",
    "exemplars_of",
    "last_undoable",
    "merge",
    "reassign",
    "remove",
    "remove_exemplars",
    "rename",
    "split",
    "undo",
]

_FINAL = {
    "create": "made the gallery",
    "erase": "is an erasure",
    "migrate": "moved the gallery to another encoder (`ilk gallery migrate --rollback` leads back)",
}
"""Changes that cannot be undone, and why."""

_PASSED_OVER = ("undo", "keep")
"""Changes that nobody means who asks for the last one: unknown probes are kept by the way."""


def class_of(reader: Reader, label: str) -> ClassRow:
    """Return the class of a label.

    Raises:
        NoSuchClass: There is none; the message names the nearest label.
    """
    row = reader.find_class(check_label(label))
    if row is not None:
        return row
    known = [c.label for c in reader.classes()]
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
    row, name = class_of(writer, label), check_label(new)
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
    name = check_label(new)
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
    """Return the last change that is not undone and not itself an undo, an erasure or a keeping.

    Raises:
        GalleryError: There is none.
    """
    changes = reader.changes()
    undone = {change.undoes for change in changes}
    for change in reversed(changes):
        is_plain = change.action not in (*_PASSED_OVER, *_FINAL) and not change.is_erased
        if is_plain and change.id not in undone:
            return change
    raise GalleryError("there is no change left to undo")


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
    if change.action in _FINAL or change.is_erased:
        what = _FINAL.get(change.action, "is touched by an erasure or a migration")
        raise GalleryError(f"change {change_id} {what} and cannot be undone")
    again = [c.id for c in changes.values() if c.undoes == change_id]
    redone = {c.undoes for c in changes.values()}
    if again and again[-1] not in redone:
        raise GalleryError(f"change {change_id} was undone already, by change {again[-1]}")
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
