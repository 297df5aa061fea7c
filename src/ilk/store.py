"""Store (Protocol): the truth of a gallery. What a call wrote is durable when it returns.

A store keeps rows and a log, and knows nothing of distances. Every change is one transaction and
one row of the append-only log; the log keeps, for every field that changed, the value before and
after, so any change can be turned around by another. Rows are never deleted by a change: they cease
to be live. Only `Store.erase` deletes, from the rows and from the log.

Shapes: N rows, D embedding size.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol, final, runtime_checkable

import numpy as np

__all__ = [
    "ChangeRow",
    "ClassRow",
    "CopyingStore",
    "Delta",
    "Effect",
    "Erased",
    "ExemplarRow",
    "NewExemplar",
    "NewStranger",
    "NewUnknown",
    "Reader",
    "Role",
    "Store",
    "Strangers",
    "Table",
    "UnknownRow",
    "Writer",
]

Role = Literal["exemplar", "not", "ignore"]
"""An example of its class; an example of what its class is not; an example to ignore (no class)."""

Table = Literal["class", "exemplar", "stranger", "unknown", "setting"]
"""What a row is of."""


@final
@dataclass(frozen=True)
class ClassRow:
    """One class."""

    id: int
    label: str
    is_live: bool
    num_exemplars: int
    """Live rows of role "exemplar"."""


@final
@dataclass(frozen=True)
class ExemplarRow:
    """One exemplar, without its embedding and its crop."""

    id: int
    """Grows with every row and is never used again."""
    class_id: int | None
    role: Role
    name: str
    """What reports call it: usually the path that it was read from."""
    content_hash: str
    time: str
    """When it was enrolled: ISO 8601, UTC."""
    metadata: Mapping[str, Any]
    has_crop: bool
    expires: str | None
    """The date (ISO 8601) from which it may not be kept any more."""
    is_live: bool


@final
@dataclass(frozen=True, eq=False)
class NewExemplar:
    """What `Writer.add_exemplars` is given."""

    embedding: np.ndarray
    """(D,) float32, validated by the caller."""
    content_hash: str
    name: str = ""
    metadata: Mapping[str, Any] = field(default_factory=dict)
    crop: bytes | None = None
    """An encoded picture (WebP or PNG) of what was embedded, kept on request."""
    expires: str | None = None


@final
@dataclass(frozen=True, eq=False)
class NewStranger:
    """A probe of a class that is not enrolled, brought to calibrate with."""

    embedding: np.ndarray
    """(D,) float32."""
    content_hash: str
    group: str
    """The class that it belongs to; strangers of one group stand for one class."""


@final
@dataclass(frozen=True, eq=False)
class Strangers:
    """The live strangers that the user brought, by id."""

    ids: np.ndarray
    """(N,) int64."""
    embeddings: np.ndarray
    """(N, D) float32."""
    groups: tuple[str, ...]
    content_hashes: tuple[str, ...]


@final
@dataclass(frozen=True, eq=False)
class NewUnknown:
    """A probe that was answered with unknown and is kept for a person to name."""

    embedding: np.ndarray
    """(D,) float32."""
    content_hash: str
    name: str
    distance: float
    """Of the closest class when it was asked about; infinite if there was none."""
    crop: bytes | None = None


@final
@dataclass(frozen=True, eq=False)
class UnknownRow:
    """A kept unknown probe."""

    id: int
    embedding: np.ndarray
    content_hash: str
    name: str
    distance: float
    time: str
    has_crop: bool


@final
@dataclass(frozen=True)
class Effect:
    """One field of some rows, before and after a change."""

    table: Table
    field: str
    """A column, or for the table "setting" the key."""
    before: Any
    after: Any
    rows: tuple[tuple[int, int], ...] = ()
    """Ranges of row ids, first and last included; empty for a setting."""


@final
@dataclass(frozen=True)
class ChangeRow:
    """One row of the log."""

    id: int
    """The gallery's sequence number after this change."""
    time: str
    actor: str
    action: str
    """One word: enroll, remove, rename, merge, split, reassign, undo, erase, calibrate."""
    call: str
    """Changes of one call or command share it."""
    undoes: int | None
    """The change that this one turned around."""
    effects: tuple[Effect, ...]
    """Empty where an erasure took them."""
    is_erased: bool
    """Whether an erasure took something out of this row, so that it cannot be undone any more."""


@final
@dataclass(frozen=True, eq=False)
class Delta:
    """What happened to exemplars after a sequence number: enough to follow without a full read."""

    sequence: int
    """Of the last change that is included."""
    ids: np.ndarray
    """(N,) int64, ascending: every row touched since, in its present state."""
    class_ids: np.ndarray
    """(N,) int64, -1 where there is none."""
    roles: np.ndarray
    """(N,) int8: 0 exemplar, 1 not, 2 ignore."""
    is_live: np.ndarray
    """(N,) bool."""
    embeddings: np.ndarray
    """(N, D) float32."""
    erased: np.ndarray
    """(M,) int64: ids erased since; they are not among `ids`."""
    settings_changed: bool
    """Whether a setting, a label or a stranger changed since."""


@final
@dataclass(frozen=True)
class Erased:
    """The receipt of an erasure: it says that and how much, never whom."""

    change_id: int
    time: str
    num_classes: int
    num_exemplars: int
    num_unknowns: int
    num_strangers: int
    num_changes: int
    """Rows of the log that lost content."""
    digest: str
    """SHA-256 over the keyed hashes of the erased content: shows later that a certain file was
    among them to whoever has both the file and the gallery's key."""


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
        """Return the (N, D) float32 embeddings of exemplars, in the order of `ids`."""

    def crop(self, exemplar_id: int) -> bytes | None:
        """Return the kept crop of an exemplar."""

    def delta(self, since: int, *, limit: int | None = None) -> Delta:
        """Return what happened to exemplars after the sequence number `since`.

        Args:
            since: 0 gives all rows that are live.
            limit: Unused rows stay for a later call if more than this many were touched.
        """

    def changes(self, *, last: int | None = None, since: int = 0) -> list[ChangeRow]:
        """Return the log by id, or only its `last` rows."""

    def strangers(self) -> Strangers:
        """Return the live strangers."""

    def unknowns(self, ids: Iterable[int] | None = None) -> list[UnknownRow]:
        """Return the kept unknown probes by id."""

    def unknown_crop(self, unknown_id: int) -> bytes | None:
        """Return the kept crop of an unknown probe."""

    def suppressed(self, content_hashes: Iterable[str]) -> set[str]:
        """Return those content hashes that an erasure has closed for good."""

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
        self, *, class_ids: Iterable[int] = (), exemplar_ids: Iterable[int] = (), actor: str = ""
    ) -> Erased:
        """Delete for good: rows, crops, log contents; close their content for later enrollment.

        With a class go all exemplars it ever had, live or not. Unknown probes and strangers of the
        same content go too, and strangers of a group with an erased label. When it returns, the
        bytes of embeddings and labels are nowhere in the store's files.
        """

    def check(self) -> list[str]:
        """Look over the whole store; return what is wrong with it, nothing if all is well."""

    def close(self) -> None:
        """Let go of files and locks."""


@runtime_checkable
class CopyingStore(Store, Protocol):
    """A store whose gallery can be moved to another encoder."""

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

    def adopt_suppressed(self, path: Path) -> None:
        """Close the content that an erasure closed in the copy at `path`, too."""
