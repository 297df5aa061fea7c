"""What stands for a content: the hash of a file, or of an embedding that came without one.

Shapes: D embedding size.
"""

from __future__ import annotations

import hashlib
import re

import numpy as np

__all__ = ["content_hash_of", "forms_of", "normal_content"]

_SHA256 = re.compile(r"(?:sha-?256:)?([0-9a-f]{64})", re.IGNORECASE)


def content_hash_of(embedding: np.ndarray) -> str:
    """Return what stands for the content of a (D,) float32 embedding whose source is not known."""
    return hashlib.sha256(b"embedding:" + np.ascontiguousarray(embedding).tobytes()).hexdigest()


def normal_content(content_hash: str) -> str:
    """Return the one form of a content hash: 64 small hexadecimal digits; other text as it is.

    Example:
        >>> normal_content(" SHA256:" + "AB" * 32) == "ab" * 32, normal_content("A song")
        (True, 'A song')
    """
    found = _SHA256.fullmatch(content_hash.strip())
    return found[1].lower() if found else content_hash


def forms_of(content_hash: str) -> set[str]:
    """Return the forms in which a content hash was kept before there was one."""
    normal = normal_content(content_hash)
    return {content_hash, normal, normal.upper()} if _SHA256.fullmatch(normal) else {content_hash}
