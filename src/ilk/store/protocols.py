"""Reader, Writer and Store: what a store can do."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np

from ilk.store.rows import (
    ChangeRow,
    Chosen,
    ClassRow,
    Delta,
    Erased,
    ExemplarRow,
    NewExemplar,
    NewStranger,
    NewUnknown,
    Past,
    Role,
    Strangers,
    Table,
    UnknownRow,
)

__all__ = ["CopyingStore", "Reader", "Store", "Writer"]


class Reader(Protocol):
    """One consistent view of the store."""

    def sequence(self) -> int:
        """Return the id of the last change, 0 for none."""

    def settings(self) -> dict[str, Any]:
        """Return all settings: JSON values by key."""

    def classes(self, *, is_live: bool | None = True) -> list[ClassRow]:
        """Return classes by label; those of the past too if `is_live` is None."""

    def find_class(self, label: str) -> ClassRow | None:
        """Return the live class of that label."""

    def get_class(self, class_id: int) -> ClassRow | None:
        """Return the class of that id, live or not."""

    def exemplars(
        self,
        class_id: int | None = None,
        *,
        ids: Iterable[int] | None = None,
        is_live: bool | None = True,
    ) -> list[ExemplarRow]:
        """Return exemplars by id: of all, of one class, or those of `ids`."""

    def find_content(self, content_hashes: Iterable[str]) -> dict[str, list[ExemplarRow]]:
        """Return the live exemplars (of any role) of each content hash that has some."""

    def embeddings(self, ids: Sequence[int] | np.ndarray) -> np.ndarray:
        """Return the (N, D) float32 embeddings of exemplars, in the order of `ids`.

        Raises:
            DamagedGallery: One is not what was written; `damaged` says which.
        """

    def damaged(self, ids: Iterable[int] | None = None) -> list[int]:
        """Return the exemplars, of all or of `ids`, whose embedding is not what was written."""

    def crop(self, exemplar_id: int) -> bytes | None:
        """Return the kept crop of an exemplar."""

    def delta(self, since: int, *, limit: int | None = None) -> Delta:
        """Return what happened to exemplars after the sequence number `since`.

        Args:
            since: 0 gives all rows that are live.
            limit: Unused rows stay for a later call if more than this many were touched.
        """

    def token(self, sequence: int) -> str | None:
        """Return what tells a change from the change of that id in any other history, or None."""

    def changes(self, *, last: int | None = None, since: int = 0) -> list[ChangeRow]:
        """Return the log by id, or only its `last` rows."""

    def strangers(self, *, is_live: bool | None = True) -> Strangers:
        """Return the live strangers by id, without those whose embedding is damaged.

        Those of the past too if `is_live` is None.
        """

    def unknowns(
        self, ids: Iterable[int] | None = None, *, is_live: bool | None = True
    ) -> list[UnknownRow]:
        """Return the kept unknown probes by id, without those whose embedding is damaged.

        Those of the past too if `is_live` is None.
        """

    def unknown_crop(self, unknown_id: int) -> bytes | None:
        """Return the kept crop of an unknown probe."""

    def suppressed(self, content_hashes: Iterable[str]) -> set[str]:
        """Return those content hashes that an erasure has closed for good."""

    def expired(self, day: str) -> list[int]:
        """Return the exemplars, live or not, that may not be kept from that day (ISO 8601) on."""

    def receipts(self) -> list[Erased]:
        """Return the receipts of erasures."""


class Writer(Reader, Protocol):
    """One transaction: all of it happens, or nothing. It sees what it wrote."""

    @property
    def change_id(self) -> int:
        """The id that this change has in the log."""

    def add_class(self, label: str) -> int:
        """Add a live class and return its id.

        Raises:
            GalleryError: A live class has that label.
        """

    def add_exemplars(
        self, class_id: int | None, rows: Sequence[NewExemplar], *, role: Role = "exemplar"
    ) -> list[int]:
        """Add live exemplars and return their ids, which are consecutive."""

    def add_strangers(self, rows: Sequence[NewStranger]) -> list[int]:
        """Add strangers and return their ids."""

    def add_unknowns(self, rows: Sequence[NewUnknown]) -> list[int]:
        """Keep unknown probes and return their ids; a content hash that is kept stays one row."""

    def update(self, table: Table, ids: Iterable[int], field: str, value: Any) -> None:
        """Set one field of some rows; rows that have the value already are not touched.

        Fields: class: label, is_live; exemplar: class_id, role, is_live, name, metadata, expires;
        stranger: is_live; unknown: is_live, distance.
        """

    def set(self, key: str, value: Any) -> None:
        """Set a setting to a JSON value; None takes it away."""

    def reopen(self, content_hashes: Iterable[str]) -> int:
        """Let content that an erasure closed be enrolled again; return how much of it was closed.

        The number is in the log as the setting "num_reopened", which only grows.
        """

    def mark_undo(self, change_id: int) -> None:
        """Note that this change turns that one around."""


@runtime_checkable
class Store(Protocol):
    """The truth of one gallery. Safe to share between threads; several processes may open one."""

    @property
    def facts(self) -> Mapping[str, Any]:
        """What the gallery was made with and is bound to; it never changes."""

    def version(self) -> Any:
        """Return what differs whenever anything was committed since, by anyone; microseconds."""

    def reading(self) -> AbstractContextManager[Reader]:
        """Give one consistent view, for the time of a `with` block."""

    def changing(
        self, action: str, *, actor: str = "", call: str = ""
    ) -> AbstractContextManager[Writer]:
        """Give one transaction; leaving the `with` block commits it durably, an error undoes it.

        A block that touched nothing leaves no row in the log.

        Raises:
            GalleryError: The store cannot be written (read-only, full disk, damaged, or another
                process held it for too long); the message says what to do. Nothing was changed.
        """

    def erase(
        self,
        *,
        class_ids: Iterable[int] = (),
        exemplar_ids: Iterable[int] = (),
        choose: Callable[[Reader], Chosen] | None = None,
        actor: str = "",
    ) -> Erased:
        """Delete for good: rows, crops, log contents; close their content for later enrollment.

        With a class go all exemplars it has, live or not. Unknown probes and strangers of the same
        content go too, and strangers of a group with an erased label. When it returns, the bytes
        of embeddings and labels are nowhere in the store's files. Closed are the content hashes,
        those of the embeddings, and `class_hash` of the labels, after "class ".

        Args:
            class_ids: Of the classes.
            exemplar_ids: Of the exemplars.
            choose: Says what else goes, on what it sees in the same transaction; if it raises,
                nothing is erased.
            actor: Who the log names.
        """

    def check(self) -> list[str]:
        """Look over the whole store; return what is wrong with it, nothing if all is well."""

    def close(self) -> None:
        """Let go of files and locks."""


@runtime_checkable
class CopyingStore(Store, Protocol):
    """A store whose gallery can be moved to another encoder, or into a file and out of it."""

    def copy_to(
        self,
        path: Path,
        facts: Mapping[str, Any],
        embeddings: Callable[[Table, Sequence[int]], Mapping[int, np.ndarray]],
    ) -> int:
        """Make a copy for another encoder, or bring one up to date; return its sequence number.

        Ids, labels, times, crops, log, settings, receipts and closed content are the same; of a row
        that gets no embedding nothing is left, in the log neither, and a change that brought or
        took such strangers cannot be undone any more.

        Args:
            path: Of the copy, which nobody has open; made if it is not there.
            facts: Of the copy; with another "embedding_size" perhaps.
            embeddings: Gives the (D,) float32 embeddings of rows of a table, by id.
        """

    def closed(self) -> tuple[bytes, list[bytes]]:
        """Return what was closed as keyed hashes, ascending, and the key to them."""

    def adopt_closed(self, key: bytes, hashes: Iterable[bytes]) -> None:
        """Take over the key and what was closed under it, in a store where nothing was."""

    def restore(self, past: Past) -> None:
        """Fill an empty store with the rows and the log of another, so that undo goes on.

        Raises:
            InvalidInput: Rows and log do not fit each other, or the store has something in it;
                nothing was changed.
        """

    def adopt_suppressed(self, path: Path) -> None:
        """Close the content that an erasure closed in the copy at `path`, too."""
