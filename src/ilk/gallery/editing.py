"""The changes of a gallery, each of which can be undone, and erasure, which cannot."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import date

from ilk.doors import doors
from ilk.errors import InvalidInput
from ilk.gallery import changes
from ilk.gallery.admission import iso_date, over, this_day
from ilk.gallery.erasing import Moved, erase, erase_expired
from ilk.gallery.facing import Facing
from ilk.gallery.undoing import undo_call
from ilk.store import ChangeRow, Erased, Writer

__all__ = ["Editing"]


@doors
class Editing(Facing):
    """Remove, rename, merge, split, reassign, undo, erase, expire."""

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
        """Undo a change, by default the latest that is not undone; return it.

        Raises:
            UndoConflict: A later change stands in the way.
            GalleryError: There is nothing to undo, or the latest change cannot be undone.
        """

        def turn(writer: Writer) -> ChangeRow:
            chosen = changes.last_undoable(writer).id if change_id is None else change_id
            return changes.undo(writer, chosen)

        return self.access.change("undo", turn)

    def undo_call(self, call: str | None = None) -> list[ChangeRow]:
        """Undo all changes of a call, by default of the latest that is not undone.

        Raises:
            UndoConflict: A later change stands in the way; the message says what was done.
            GalleryError: There is nothing to undo, or one of them cannot be undone.
        """
        return undo_call(self.access, call)

    def erase(
        self,
        label: str | None = None,
        *,
        exemplars: Iterable[int] = (),
        moved: Moved = "refuse",
    ) -> Erased:
        """Delete a class, or exemplars, for good, from every file; return a receipt.

        What was erased cannot be enrolled again from the same bytes, and cannot be undone. It goes
        from this machine's caches, too.

        Args:
            label: Of the class, also of one that was taken out.
            exemplars: Ids of exemplars.
            moved: What happens to exemplars of the class that were merged into another, or moved
                there: "erase" or "keep" them, or "refuse" to erase anything.

        Raises:
            NoSuchClass: The gallery never had such a class, or it has another label now.
            GalleryError: Exemplars of the class belong to another now and `moved` is "refuse".
        """
        return erase(self.access, label, list(exemplars), moved)

    def erase_expired(self, today: date | None = None) -> Erased | None:
        """Erase the exemplars whose retention date has come; None if there are none.

        A class that has none left goes too. Opening a gallery does this, and so does the first
        question of every day.
        """
        self.access.start_day()  # it does not do the same first
        return erase_expired(self.access, iso_date(today) or this_day())

    def set_expiry(
        self, expires: date | None, label: str | None = None, *, exemplars: Iterable[int] = ()
    ) -> int:
        """Set the day from which exemplars may not be kept; return the id of the change.

        Args:
            expires: The day; None for no such day.
            label: Of a class whose exemplars, of every role, are meant.
            exemplars: Ids of exemplars that are meant.

        Raises:
            NoSuchClass: The gallery has no such class.
            InvalidInput: Nothing was named, or the day is none or is over.
        """
        day, ids = iso_date(expires), list(exemplars)
        if over(day):
            raise InvalidInput(
                f"expected a day after today ({this_day()}) from which exemplars may not be kept, "
                f"got {day}; to let go of them now, erase them"
            )
        return self._change("expire", lambda writer: changes.expire(writer, day, label, ids))

    def allow(self, content_hashes: Iterable[str]) -> int:
        """Let content that was erased be enrolled again, as consent was renewed; return how much.

        The history says that, who and when, and how much; it cannot be undone: erase again.
        """
        hashes = list(content_hashes)
        return self.access.change("allow", lambda writer: writer.reopen(hashes))
