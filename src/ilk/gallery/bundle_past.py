"""The log of a bundle, and what a store restores from one: rows, ids, settings, receipts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from ilk.errors import InvalidInput
from ilk.gallery.bundle_content import BundleContent, Head
from ilk.gallery.bundle_file import BundleReader, damaged
from ilk.store import ChangeRow, Effect, Erased, NewExemplar, Past

__all__ = ["read_past"]


def read_past(bundle: BundleReader, content: BundleContent) -> Past | None:
    """Return what a store restores; None if the bundle has no history, or one for people alone.

    Raises:
        DamagedGallery: A value is not what it can be.
    """
    has_ids = all(head.id is not None for head in content.class_heads)
    if "history.json" not in bundle.names or bundle.manifest["version"] < 2:
        return None
    try:
        if not has_ids:
            raise InvalidInput("its classes have no ids")
        changes = [_change(one) for one in bundle.read_json("history.json")]
        receipts = []
        if "receipts.json" in bundle.names:
            receipts = [_receipt(one) for one in bundle.read_json("receipts.json")]
        ids = [_id(head) for head in content.class_heads]
        return Past(
            classes=[
                (_id(head), head.is_live, label)
                for head, label in zip(content.class_heads, content.labels, strict=True)
            ],
            exemplars=[
                (
                    _id(row.head),
                    row.head.is_live,
                    ids[row.class_at] if row.class_at is not None else None,
                    row.role,
                    NewExemplar(
                        embedding=embedding,
                        content_hash=row.content_hash,
                        name=row.name,
                        metadata=row.metadata,
                        crop=bundle.read(f"crops/{row.at}.webp") if row.has_crop else None,
                        expires=row.expires,
                    ),
                )
                for row, embedding in zip(content.rows, content.embeddings, strict=True)
            ],
            strangers=[(_id(head), head.is_live, row) for head, row in content.strangers],
            unknowns=[(_id(head), head.is_live, row) for head, row in content.unknowns],
            settings=_settings(changes, content.settings.as_dict()),
            changes=changes,
            receipts=receipts,
        )
    except (InvalidInput, KeyError, TypeError, ValueError, AttributeError) as error:
        raise damaged(bundle.path, f"history has what no gallery has ({error})") from error


def _id(head: Head) -> int:
    if head.id is None:
        raise InvalidInput("a row has no id")
    return head.id


def _settings(changes: list[ChangeRow], present: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings that the log tells; those that say how to decide must be the present."""
    told: dict[str, Any] = {}
    for change in changes:
        for effect in change.effects:
            if effect.table == "setting":
                told[effect.field] = effect.after
    known = {key: value for key, value in told.items() if value is not None}
    decides = {key: value for key, value in present.items() if value is not None}
    if {key: known[key] for key in known if key in present} != decides:
        raise InvalidInput("its settings are not those that the history ends with")
    return known


def _change(found: Any) -> ChangeRow:
    values = {field.name: found[field.name] for field in fields(ChangeRow)}
    for name, kind in (("id", int), ("is_erased", bool), ("time", str), ("actor", str)):
        if type(values[name]) is not kind:
            raise InvalidInput(f"a change has the {name} {values[name]!r:.80}")
    if values["undoes"] is not None and type(values["undoes"]) is not int:
        raise InvalidInput(f"a change undoes {values['undoes']!r:.80}")
    return ChangeRow(**values | {"effects": tuple(_effect(one) for one in values["effects"])})


def _effect(found: Any) -> Effect:
    rows = tuple((first, last) for first, last in found["rows"])
    if any(type(end) is not int for pair in rows for end in pair):
        raise InvalidInput(f"an effect has rows {rows!r:.80}")
    values = {field.name: found[field.name] for field in fields(Effect)}
    return Effect(**values | {"rows": rows})


def _receipt(found: Any) -> Erased:
    values = {field.name: found[field.name] for field in fields(Erased)}
    for name, value in values.items():
        if type(value) is not (str if name in ("time", "digest") else int):
            raise InvalidInput(f"a receipt has the {name} {value!r:.80}")
    return Erased(**values)
