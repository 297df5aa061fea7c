"""The exemplars of a bundle, brought into a gallery in their order."""

from __future__ import annotations

from itertools import groupby

from ilk.gallery.admission import over
from ilk.gallery.bundle_content import BundleContent, BundleRow
from ilk.gallery.bundle_file import BundleReader
from ilk.gallery.enrolling import CLOSED
from ilk.results import Enrollment
from ilk.store import NewExemplar, Role, Writer

__all__ = ["bring_in", "restored"]


def bring_in(writer: Writer, content: BundleContent, bundle: BundleReader) -> list[Enrollment]:
    """Enroll the rows of a bundle; answer for each, in order.

    Rows keep their order, so that what is equally close is told apart as before.
    """
    reasons = _reasons(writer, content)
    answers: list[Enrollment | None] = [None] * len(content.rows)
    for at, (row, (reason, there)) in enumerate(zip(content.rows, reasons, strict=True)):
        if reason:
            answers[at] = _answer(content, row, there, reason)
    fresh = [at for at, answer in enumerate(answers) if answer is None]
    ids: dict[int, int] = {}
    for (class_at, role), part in groupby(fresh, lambda at: _place(content.rows[at])):
        class_id = None
        if class_at is not None:
            if class_at not in ids:
                label = content.labels[class_at]
                found = writer.find_class(label)
                ids[class_at] = found.id if found is not None else writer.add_class(label)
            class_id = ids[class_at]
        positions = list(part)
        rows = [_new(content, bundle, at) for at in positions]
        added = writer.add_exemplars(class_id, rows, role=role)
        for at, row_id in zip(positions, added, strict=True):
            answers[at] = _answer(content, content.rows[at], row_id, "")
    return [answer for answer in answers if answer is not None]


def restored(content: BundleContent) -> list[Enrollment]:
    """Return what became of each live exemplar of a bundle that was restored with its history."""
    return [_answer(content, row, row.head.id, "") for row in content.live().rows]


def _reasons(writer: Writer, content: BundleContent) -> list[tuple[str, int | None]]:
    """Return for each row why it stays out, or "", and the row that holds its content."""
    hashes = [row.content_hash for row in content.rows]
    closed = writer.suppressed(hashes)
    labels = {row.id: row.label for row in writer.classes()}
    present: dict[tuple[str, str, str | None], tuple[int, str]] = {}
    for content_hash, rows in writer.find_content(hashes).items():
        for found in rows:
            label = labels.get(found.class_id) if found.class_id is not None else None
            present[_key(content_hash, found.role, label)] = found.id, f"as {label!r}"
    reasons: list[tuple[str, int | None]] = []
    for row in content.rows:
        label = content.labels[row.class_at] if row.class_at is not None else None
        key = _key(row.content_hash, row.role, label)
        if reason := over(row.expires):
            reasons.append((reason, None))
        elif row.content_hash in closed:
            reasons.append((CLOSED, None))
        elif key in present:
            there, where = present[key]
            reasons.append((f"the same content is there already, {where}", there or None))
        else:
            present[key] = 0, "from this bundle"
            reasons.append(("", None))
    return reasons


def _key(content_hash: str, role: str, label: str | None) -> tuple[str, str, str | None]:
    """Return what may be there once: an exemplar in the whole gallery, others in their class."""
    return content_hash, role, None if role == "exemplar" else label


def _place(row: BundleRow) -> tuple[int | None, Role]:
    return row.class_at, row.role


def _new(content: BundleContent, bundle: BundleReader, at: int) -> NewExemplar:
    row = content.rows[at]
    return NewExemplar(
        embedding=content.embeddings[at],
        content_hash=row.content_hash,
        name=row.name,
        metadata=row.metadata,
        crop=bundle.read(f"crops/{row.at}.webp") if row.has_crop else None,
        expires=row.expires,
    )


def _answer(
    content: BundleContent, row: BundleRow, exemplar_id: int | None, reason: str
) -> Enrollment:
    label = content.labels[row.class_at] if row.class_at is not None else ""
    return Enrollment(
        name=row.name,
        label=label,
        is_enrolled=not reason,
        exemplar_id=exemplar_id,
        reason=reason,
    )
