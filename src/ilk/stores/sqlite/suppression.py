"""Keyed hashes: they recognise a content that was erased, and tell nothing without the key."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterable

__all__ = ["digest", "keyed_hash"]


def keyed_hash(key: bytes, content_hash: str) -> bytes:
    """Return HMAC-SHA256 of a content hash."""
    return hmac.digest(key, content_hash.encode(), "sha256")


def digest(hashes: Iterable[bytes]) -> str:
    """Return SHA-256 over keyed hashes in ascending order, each once."""
    return hashlib.sha256(b"".join(sorted(set(hashes)))).hexdigest()
