"""The rows of a gallery, and its log, as members of a bundle."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import numpy as np

from ilk.errors import GalleryError
from ilk.gallery.bundle_file import BundleWriter
from ilk.store import Reader

__all__ = ["write_closed", "write_history", "write_rows"]


def write_rows(bundle: BundleWriter, reader: Reader, *, with_history: bool) -> dict[str, int]:
    """Write classes, exemplars, strangers, unknown probes and crops; return how many are live.

    Args:
        bundle: What is written.
        reader: Of the store.
        with_history: Whether rows of the past are in it, and every row with its id.

    Rows whose embedding is damaged are left out, and named by whoever opened the gallery.

    Raises:
        GalleryError: There are some, and the history speaks of them.
    """
    wanted = None if with_history else True
    classes = sorted(reader.classes(is_live=wanted), key=lambda row: row.id)
    damaged = set(reader.damaged())
    if damaged and with_history:
        raise GalleryError(
            f"the embedding of exemplar {min(damaged)} is damaged, so that the history cannot be "
            "exported; erase what is damaged (`ilk gallery health` lists it), or export without"
        )
    rows = [row for row in reader.exemplars(is_live=wanted) if row.id not in damaged]
    position = {row.id: at for at, row in enumerate(classes)}

    def head(row_id: int, is_live: bool) -> dict[str, Any]:
        return {"id": row_id, "is_live": is_live} if with_history else {}

    told = [
        {
            "class": position[row.class_id] if row.class_id is not None else None,
            "role": row.role,
            "name": row.name,
            "content_hash": row.content_hash,
            "time": row.time,
            "metadata": dict(row.metadata),
            "expires": row.expires,
            "has_crop": row.has_crop,
        }
        | head(row.id, row.is_live)
        for row in rows
    ]
    labels = [row.label for row in classes]
    named = [{"label": row.label} | head(row.id, row.is_live) for row in classes]
    bundle.put_json("classes.json", named if with_history else labels)
    bundle.put_json("exemplars.json", told)
    bundle.put_array("embeddings.npy", reader.embeddings([row.id for row in rows]))
    crops = {at: reader.crop(row.id) for at, row in enumerate(rows) if row.has_crop}
    for at, crop in crops.items():
        bundle.put(f"crops/{at}.webp", crop or b"")
    strangers = reader.strangers(is_live=wanted)
    current = set(reader.strangers().ids.tolist())
    pairs = zip(strangers.ids.tolist(), strangers.groups, strangers.content_hashes, strict=True)
    listed = [{"group": g, "content_hash": c} | head(i, i in current) for i, g, c in pairs]
    bundle.put_json("strangers.json", listed)
    bundle.put_array("strangers.npy", strangers.embeddings)
    return {
        "classes": sum(row.is_live for row in classes),
        "exemplars": sum(row.is_live for row in rows),
        "strangers": len(current),
        "unknowns": _write_unknowns(bundle, reader, with_history=with_history),
        "crops": sum(row.is_live and row.has_crop for row in rows),
    }


def _write_unknowns(bundle: BundleWriter, reader: Reader, *, with_history: bool) -> int:
    unknowns = reader.unknowns(is_live=None if with_history else True)
    kept = {row.id for row in reader.unknowns()}
    told = [
        {
            "name": row.name,
            "content_hash": row.content_hash,
            "distance": row.distance if row.distance < float("inf") else None,
            "has_crop": row.has_crop,
        }
        | ({"id": row.id, "is_live": row.id in kept} if with_history else {})
        for row in unknowns
    ]
    if unknowns:
        bundle.put_json("unknowns.json", told)
        bundle.put_array("unknowns.npy", np.stack([row.embedding for row in unknowns]))
    for at, row in enumerate(unknowns):
        if row.has_crop:
            bundle.put(f"unseen/{at}.webp", reader.unknown_crop(row.id) or b"")
    return len(kept)


def write_history(bundle: BundleWriter, reader: Reader) -> None:
    """Write the log, and the receipts that it speaks of."""
    bundle.put_json("history.json", [asdict(row) for row in reader.changes()])
    if receipts := reader.receipts():
        bundle.put_json("receipts.json", [asdict(receipt) for receipt in receipts])


def write_closed(bundle: BundleWriter, key: bytes, hashes: list[bytes]) -> None:
    """Write what was erased, if anything was: as hashes under a key."""
    if hashes:
        told = {"key": key.hex(), "hashes": [one.hex() for one in hashes]}
        bundle.put_json("closed.json", told)
