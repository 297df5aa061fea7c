"""The rows of a store, as it gives and takes them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, final

import numpy as np

__all__ = [
    "ChangeRow",
    "Chosen",
    "ClassRow",
    "Delta",
    "Effect",
    "Erased",
    "ExemplarRow",
    "NewExemplar",
    "NewStranger",
    "NewUnknown",
    "Past",
    "Role",
    "Strangers",
    "Table",
    "UnknownRow",
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
    """The change that this one undid."""
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
    damaged: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int64))
    """(B,) int64: rows touched since whose embedding is not what was written; not among `ids`."""


@final
@dataclass(frozen=True, eq=False)
class Past:
    """All rows of a store, live or not, each after its id and whether it is live, and its log."""

    classes: Sequence[tuple[int, bool, str]]
    """With their labels."""
    exemplars: Sequence[tuple[int, bool, int | None, Role, NewExemplar]]
    """With the ids of their classes."""
    strangers: Sequence[tuple[int, bool, NewStranger]]
    unknowns: Sequence[tuple[int, bool, NewUnknown]]
    settings: Mapping[str, Any]
    changes: Sequence[ChangeRow]
    receipts: Sequence[Erased]


@final
@dataclass(frozen=True)
class Chosen:
    """What is to be erased."""

    class_ids: tuple[int, ...] = ()
    exemplar_ids: tuple[int, ...] = ()


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
