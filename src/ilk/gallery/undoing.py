"""Undo of a whole call: a command, or an enrollment of many parts, is one thing to its user."""

from __future__ import annotations

from functools import partial

from ilk.errors import GalleryError, UndoConflict
from ilk.gallery.access import Access
from ilk.gallery.changes import last_undoable, undo, undone_of
from ilk.store import ChangeRow, Reader, Writer

__all__ = ["undo_call"]


def undo_call(access: Access, call: str | None = None) -> list[ChangeRow]:
    """Undo the changes of a call, the last first, each by a change of its own; return them.

    Args:
        access: To the gallery.
        call: `ChangeRow.call`; None is that of the latest change that is not undone.

    Raises:
        UndoConflict: A later change stands in the way of one. The message says which were undone
            before it.
        GalleryError: There is nothing to undo, or one of them cannot be undone: the latest change
            of any command, or none.
    """
    with access.reading() as reader:
        call = last_undoable(reader).call if call is None else call
        waiting = _of_call(reader, call)
    if not waiting:
        raise GalleryError(f"there is nothing to undo of call {call!r}; see `ilk gallery history`")
    done: list[ChangeRow] = []
    for change_id in reversed(waiting):
        try:
            done.append(access.change("undo", partial(_undo, change_id)))
        except UndoConflict as error:
            if not done:
                raise
            undid = ", ".join(str(change.id) for change in done)
            raise UndoConflict(f"{error}. Undone before that: {undid}") from error
    return done


def _undo(change_id: int, writer: Writer) -> ChangeRow:
    return undo(writer, change_id)


def _of_call(reader: Reader, call: str) -> list[int]:
    """Return the ids of the changes of a call that are not undone."""
    log = reader.changes()
    undone = undone_of(log)
    return [
        change.id
        for change in log
        if change.call == call
        and change.action not in ("undo", "erase", "create")
        and change.id not in undone
    ]
