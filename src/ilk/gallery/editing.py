"""The changes of a gallery, each of which can be undone, and erasure, which cannot."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, date, datetime

from ilk.gallery import changes
from ilk.gallery.erasing import erase
from ilk.gallery.facing import Facing
from ilk.gallery.undoing import undo_call
from ilk.store import ChangeRow, Erased, Writer

__all__ = ["Editing"]


class Editing(Facing):
    """Remove, rename, merge, split, reassign, undo, erase."""

    def remove(self, label: str) -> int:
        """Take a class out, which `undo` brings back; return the id of the change."""
        return self._change("remove", lambda writer: changes.remove(writer, label))

    def remove_exemplars(self, ids: Iterable[int]) -> int:
        """Take exemplars out, which `undo` brings back; return the id of the change."""
        return self._change("remove", lambda writer: changes.remove_exemplars(writer, ids))

    def rename(self, label: str, new: str) -> int:
        """Give a class a label that no class has; return the id of the change."""
        return self._change("rename", lambda writer: changes.rename(writer, label, new))

    def merge(self, label: str, into: str) -> int:
        """Make the exemplars of one class another's; return the id of the change."""
        return self._change("merge", lambda writer: changes.merge(writer, label, into))

    def split(self, label: str, ids: Sequence[int], new: str) -> int:
        """Make some exemplars of a class a new class; return the id of the change."""
        return self._change("split", lambda writer: changes.split(writer, label, ids, new))

    def reassign(self, ids: Iterable[int], label: str) -> int:
        """Move exemplars to another class; return the id of the change."""
        return self._change("reassign", lambda writer: changes.reassign(writer, ids, label))

    def undo(self, change_id: int | None = None) -> ChangeRow:
        """Turn a change around, by default the last that is not undone; return it.

        Raises:
            UndoConflict: A later change stands in the way.
            GalleryError: There is nothing to undo, or this cannot be undone.
        """

        def turn(writer: Writer) -> ChangeRow:
            chosen = changes.last_undoable(writer).id if change_id is None else change_id
            return changes.undo(writer, chosen)

        return self.access.change("undo", turn)

    def undo_call(self, call: str | None = None) -> list[ChangeRow]:
        """Turn all changes of a call around, by default of the last that is not undone.

        Raises:
            UndoConflict: A later change stands in the way; the message says what was done.
            GalleryError: There is nothing to undo, or one of them cannot be undone.
        """
        return undo_call(self.access, call)

    def erase(self, label: str | None = None, *, exemplars: Iterable[int] = ()) -> Erased:
        """Delete a class, or exemplars, for good, from every file; return a receipt.

        What was erased cannot be enrolled again from the same bytes, and cannot be undone.

        Raises:
            NoSuchClass: The gallery never had such a class.
        """
        return erase(self.access, label, list(exemplars))

    def erase_expired(self, today: date | None = None) -> Erased | None:
        """Erase the exemplars whose retention date has come; None if there are none."""
        day = (today or datetime.now(UTC).date()).isoformat()
        with self.access.reading() as reader:
            rows = reader.exemplars(is_live=None)
        over = [row.id for row in rows if row.expires is not None and row.expires <= day]
        return erase(self.access, None, over) if over else None
