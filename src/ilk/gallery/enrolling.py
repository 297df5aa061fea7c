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
from ilk.gallery.admission import admit, check_shape, iso_date, over
from ilk.gallery.binding import Binding
from ilk.labels import clean_label
from ilk.results import Enrollment
from ilk.store import NewExemplar, Role, Writer, content_hash_of, normal_content

__all__ = ["CLOSED", "CONFLICT", "Candidates", "Guard", "contents_of", "enroll"]

Guard = Literal["off", "warn", "refuse"]
"""What happens to an exemplar that is closer to another class than to its own, or far from its own:
nobody looks, the result says so, or it is refused."""


CLOSED = "its content was erased from this gallery for good"
"""Why content that an erasure closed is not taken."""

CONFLICT = "conflict"
"""The code of content that is there under another label, or in a role that contradicts."""


@final
@dataclass(frozen=True, eq=False)
class Candidates:
    """Items that ask to be enrolled."""

    labels: Sequence[str | None]
    """(N,): None for role "ignore", and as it was given where it is refused."""
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
        labels: str | Sequence[object],
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
        is_named = role != "ignore"
        if isinstance(labels, str):
            given: list[object] = [clean_label(labels) if is_named else labels] * n
        else:
            given = _listed(labels)
        per_item = {"labels": given} | per_item
        for name, values in per_item.items():
            if values is not None and (isinstance(values, str) or len(values) != n):
                raise InvalidInput(f"expected {n} {name}, one per embedding, got {len(values)}")
        named = [_named(label) if is_named else (None, "") for label in given]
        refused = [why or reason for (_, why), reason in zip(named, refused, strict=True)]
        hashes = per_item.get("content_hashes")
        return Candidates(
            labels=[label for label, _ in named],
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


def _listed(labels: Sequence[object]) -> list[object]:
    try:
        return list(labels)
    except TypeError:
        raise InvalidInput(
            f"expected a label for all, or one per embedding, got {type(labels).__name__}"
        ) from None


def _named(given: object) -> tuple[str, str]:
    """Return a label, and why it is none, or ""."""
    try:
        return clean_label(given), ""
    except InvalidInput as error:
        return str(given), str(error)


def enroll(writer: Writer, asked: Candidates) -> list[Enrollment]:
    """Enroll what may be; answer for each item, in order."""
    suppressed = writer.suppressed(asked.content_hashes)
    classes = _classes(writer, asked)
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
        reason = (
            asked.refused[i] or _closed(content, suppressed) or _homeless(asked, label, classes)
        )
        there, why, code = _already(present.get(content, {}), asked.role, label, labels)
        if reason:
            answers[i] = _answer(asked, i, there, reason)
        elif why:
            answers[i] = _answer(asked, i, there, why, code)
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
        told = f"the same content is in this call already{why}"
        answers[i] = _answer(asked, i, where, told, "" if same else CONFLICT)
    return [answer for answer in answers if answer is not None]


def _closed(content_hash: str, suppressed: set[str]) -> str:
    return CLOSED if content_hash in suppressed else ""


def _classes(writer: Writer, asked: Candidates) -> dict[str, int]:
    """Return the classes that are there, by what labels call them."""
    named = dict.fromkeys(label for label in asked.labels if label is not None)
    found = ((label, writer.find_class(label)) for label in named)
    return {label: row.id for label, row in found if row is not None}


def _homeless(asked: Candidates, label: str | None, classes: Mapping[str, int]) -> str:
    """Return why an example of what a class is not has no class to go to; "" if it has."""
    if asked.role != "not" or label in classes:
        return ""
    return f"expected an enrolled class to say what it is not, got {label!r}; enroll it first"


def _already(
    present: Mapping[tuple[Role, int | None], int],
    role: Role,
    label: str | None,
    labels: Mapping[int, str],
) -> tuple[int | None, str, str]:
    """Return the row that holds the same content, the reason it gives and its code.

    Content is of one class, and not an example of it and of what it is not, or is to be ignored.
    """
    for (of_role, class_id), row in present.items():
        holder = labels.get(class_id) if class_id is not None else None
        if of_role == role and holder == label:
            what = "enrolled" if role == "exemplar" else "there"
            return row, f"the same content is {what} already", ""
        if of_role == role == "exemplar":
            why = f"the same content is enrolled as {holder!r}; use reassign or merge"
            return row, why, CONFLICT
        if of_role == "exemplar" and (role == "ignore" or holder == label):
            why = f"the same content is enrolled as {holder!r}; take that out first"
            return row, why, CONFLICT
        if role == "exemplar" and (of_role == "ignore" or holder == label):
            what = "to be ignored" if of_role == "ignore" else f"what {holder!r} is not"
            return row, f"the same content is an example of {what}; take that out first", CONFLICT
    return None, "", ""


def _answer(asked: Candidates, i: int, row: int | None, reason: str, code: str = "") -> Enrollment:
    return Enrollment(
        name=asked.names[i],
        label=asked.labels[i] or "",
        is_enrolled=False,
        exemplar_id=row,
        reason=reason,
        code=code,
    )


def _add(
    writer: Writer, asked: Candidates, label: str | None, positions: Sequence[int]
) -> list[int]:
    class_id = None
    if label is not None:
        row = writer.find_class(label)
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
