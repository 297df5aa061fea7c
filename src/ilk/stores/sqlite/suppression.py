"""Keyed hashes: they recognise a content that was erased, and tell nothing without the key."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterable

from ilk.errors import GalleryError
from ilk.stores.sqlite.connection import Connection

__all__ = ["digest", "keyed_hash", "read_closed", "write_closed"]


def keyed_hash(key: bytes, content_hash: str) -> bytes:
    """Return HMAC-SHA256 of a content hash."""
    return hmac.digest(key, content_hash.encode(), "sha256")


def digest(hashes: Iterable[bytes]) -> str:
    """Return SHA-256 over keyed hashes in ascending order, each once."""
    return hashlib.sha256(b"".join(sorted(set(hashes)))).hexdigest()


def read_closed(connection: Connection) -> tuple[bytes, list[bytes]]:
    """Return the key of a store, and what was closed, ascending."""
    key: bytes = connection.value("select value from internal where key = 'key'")
    return key, [row[0] for row in connection.rows("select hash from suppressed order by hash")]


def write_closed(connection: Connection, key: bytes, hashes: Iterable[bytes]) -> None:
    """Close what was closed in another store, under its key, in one where nothing was."""
    if connection.row("select 1 from suppressed limit 1") is not None:
        raise GalleryError("something was erased from this gallery; import into a new one")
    connection.run("insert or replace into internal values('key', ?)", key)
    connection.run_many("insert or ignore into suppressed values(?)", [(h,) for h in hashes])
