"""Enrollment: each item is let in, or refused with a reason.

Shapes: N items, D embedding size.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from typing import Any, Literal, final

import numpy as np

from ilk.errors import InvalidInput
from ilk.gallery.admission import admit, check_label, check_shape, iso_date, over
from ilk.gallery.binding import Binding
from ilk.results import Enrollment
from ilk.store import NewExemplar, Role, Writer, content_hash_of, normal_content

__all__ = ["CLOSED", "Candidates", "Guard", "contents_of", "enroll"]

Guard = Literal["off", "warn", "refuse"]
"""What happens to an exemplar that is closer to another class than to its own, or far from its own:
nobody looks, the result says so, or it is refused."""


CLOSED = "its content was erased from this gallery for good"
"""Why content that an erasure closed is not taken."""


@final
@dataclass(frozen=True, eq=False)
class Candidates:
    """Items that ask to be enrolled."""

    labels: Sequence[str | None]
    """(N,): None only for role "ignore"."""
    embeddings: np.ndarray
    """(N, D) float32, admitted."""
    names: Sequence[str]
    content_hashes: Sequence[str]
    metadata: Sequence[Mapping[str, Any]]
    crops: Sequence[bytes | None]
    refused: Sequence[str]
    """Why an item is refused already, "" for not."""
    role: Role = "exemplar"
    expires: str | None = None
    warnings: Sequence[str] = field(default_factory=tuple)

    @staticmethod
    def of(
        labels: str | Sequence[str],
        embeddings: np.ndarray,
        binding: Binding,
        *,
        role: Role,
        expires: date | None,
        **per_item: Sequence[Any] | None,
    ) -> Candidates:
        """Check and complete what a caller gave.

        Args:
            labels: One for all, or one per embedding; not looked at for role "ignore".
            embeddings: (N, D).
            binding: Of the gallery.
            role: Of all of them.
            expires: The day from which they may not be kept.
            per_item: names, content_hashes, metadata, crops: (N,) each, or None.

        Raises:
            InvalidInput: Shapes do not fit, or a label is none.
        """
        rows = check_shape(embeddings, binding.embedding_size)
        n = len(rows)
        admitted, refused = admit(rows, binding.distance)
        day = iso_date(expires)
        refused = [reason or over(day) for reason in refused]
        given = [labels] * n if isinstance(labels, str) else list(labels)
        per_item = {"labels": given} | per_item
        for name, values in per_item.items():
            if values is not None and (isinstance(values, str) or len(values) != n):
                raise InvalidInput(f"expected {n} {name}, one per embedding, got {len(values)}")
        is_named = role != "ignore"
        checked = {
            label: check_label(label) if is_named else None for label in dict.fromkeys(given)
        }
        hashes = per_item.get("content_hashes")
        return Candidates(
            labels=[checked[label] for label in given],
            embeddings=admitted,
            names=per_item.get("names") or [""] * n,
            content_hashes=contents_of(admitted, hashes),
            metadata=per_item.get("metadata") or [{}] * n,
            crops=per_item.get("crops") or [None] * n,
            refused=refused,
            role=role,
            expires=day,
        )

    def __len__(self) -> int:
        return len(self.labels)

    def with_guard(self, reasons: Sequence[str], guard: Guard) -> Candidates:
        """Note what the guard says: as refusals or as warnings."""
        if guard == "refuse":
            both = [old or new for old, new in zip(self.refused, reasons, strict=True)]
            return replace(self, refused=both)
        return replace(self, warnings=tuple(reasons))


def contents_of(embeddings: np.ndarray, content_hashes: Sequence[str] | None) -> list[str]:
    """Return the content hash of each of (N, D) embeddings, in the form that galleries compare.

    Raises:
        InvalidInput: A content hash is no text.
    """
    if content_hashes is None:
        return [content_hash_of(row) for row in embeddings]
    for given in content_hashes:
        if not isinstance(given, str):
            raise InvalidInput(f"expected a content hash as text, got {given!r:.80}")
    return [normal_content(given) for given in content_hashes]


def enroll(writer: Writer, asked: Candidates) -> list[Enrollment]:
    """Enroll what may be; answer for each item, in order."""
    suppressed = writer.suppressed(asked.content_hashes)
    present = {
        content: {(row.role, row.class_id): row.id for row in rows}
        for content, rows in writer.find_content(asked.content_hashes).items()
    }
    labels = {row.id: row.label for row in writer.classes()} if present else {}
    answers: list[Enrollment | None] = [None] * len(asked)
    fresh: dict[str | None, dict[str, int]] = {}
    repeats: list[tuple[int, int]] = []
    seen: dict[str, int] = {}
    for i, (label, content) in enumerate(zip(asked.labels, asked.content_hashes, strict=True)):
        reason = asked.refused[i] or _closed(content, suppressed)
        there, why = _already(present.get(content, {}), asked.role, label, labels)
        if reason or why:
            answers[i] = _answer(asked, i, there, reason or why)
        elif content in seen:
            repeats.append((i, seen[content]))
        else:
            seen[content] = i
            fresh.setdefault(label, {})[content] = i
    for label, items in fresh.items():
        positions = list(items.values())
        for i, row in zip(positions, _add(writer, asked, label, positions), strict=True):
            warning = asked.warnings[i] if asked.warnings else ""
            answers[i] = Enrollment(
                name=asked.names[i],
                label=label or "",
                is_enrolled=True,
                exemplar_id=row,
                reason=warning,
            )
    for i, first in repeats:
        kept = answers[first]
        same = asked.labels[i] == asked.labels[first]
        why = "" if same else f" as {asked.labels[first]!r}"
        where = kept.exemplar_id if kept is not None else None
        answers[i] = _answer(asked, i, where, f"the same content is in this call already{why}")
    return [answer for answer in answers if answer is not None]


def _closed(content_hash: str, suppressed: set[str]) -> str:
    return CLOSED if content_hash in suppressed else ""


def _already(
    present: Mapping[tuple[Role, int | None], int],
    role: Role,
    label: str | None,
    labels: Mapping[int, str],
) -> tuple[int | None, str]:
    """Return the row that holds the same content in the same role, and the reason it gives."""
    for (of_role, class_id), row in present.items():
        holder = labels.get(class_id) if class_id is not None else None
        if of_role == role == "exemplar":
            if holder == label:
                return row, "the same content is enrolled already"
            return row, f"the same content is enrolled as {holder!r}; use reassign or merge"
        if of_role == role and holder == label:
            return row, "the same content is there already"
    return None, ""


def _answer(asked: Candidates, i: int, row: int | None, reason: str) -> Enrollment:
    return Enrollment(
        name=asked.names[i],
        label=asked.labels[i] or "",
        is_enrolled=False,
        exemplar_id=row,
        reason=reason,
    )


def _add(
    writer: Writer, asked: Candidates, label: str | None, positions: Sequence[int]
) -> list[int]:
    class_id = None
    if label is not None:
        row = writer.find_class(label)
        if row is None and asked.role != "exemplar":
            raise InvalidInput(
                f"expected an enrolled class to say what it is not, got {label!r}; enroll it first"
            )
        class_id = row.id if row is not None else writer.add_class(label)
    rows = [
        NewExemplar(
            embedding=asked.embeddings[i],
            content_hash=asked.content_hashes[i],
            name=asked.names[i],
            metadata=asked.metadata[i],
            crop=asked.crops[i],
            expires=asked.expires,
        )
        for i in positions
    ]
    return writer.add_exemplars(class_id, rows, role=asked.role)
