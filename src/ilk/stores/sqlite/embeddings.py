"""Embeddings on their way into the file and out of it: checked, not copied."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from operator import attrgetter
from zlib import crc32

import numpy as np

from ilk.errors import InvalidInput

__all__ = ["checked", "checksums", "is_whole"]

_FLOAT32 = np.dtype("<f4")
_KIND = attrgetter("dtype", "shape", "strides")
_BLOCK = 256


def checked(embeddings: Sequence[np.ndarray], size: int) -> Sequence[np.ndarray]:
    """Return embeddings that the file can take as they lie in memory.

    Raises:
        InvalidInput: One is not (D,) float32, or not finite.
    """
    kinds = set(map(_KIND, embeddings)) if _are_arrays(embeddings) else {None}
    if kinds - {(_FLOAT32, (size,), (_FLOAT32.itemsize,))}:
        embeddings = [_contiguous(one, size, at) for at, one in enumerate(embeddings)]
    for start in range(0, len(embeddings), _BLOCK):
        block = np.concatenate(embeddings[start : start + _BLOCK])
        if not np.isfinite(block).all():
            at = start + int(np.flatnonzero(~np.isfinite(block))[0]) // size
            raise InvalidInput(f"expected finite embeddings, row {at} is not; leave it out")
    return embeddings


def checksums(embeddings: Iterable[np.ndarray]) -> list[int]:
    """Return what is kept beside embeddings to know their bytes by."""
    return [crc32(embedding.data) for embedding in embeddings]


def is_whole(embeddings: Sequence[bytes], kept: Sequence[int | None]) -> np.ndarray:
    """Return which embeddings are what was written, (N,) bool; so are those without a checksum.

    Example:
        >>> is_whole([b"a", b"b", b"b"], [crc32(b"a"), crc32(b"a"), None])
        array([ True, False,  True])
    """
    found = zip(map(crc32, embeddings), kept, strict=True)
    return np.array([was is None or now == was for now, was in found], bool)


def _are_arrays(embeddings: Sequence[np.ndarray]) -> bool:
    return set(map(type, embeddings)) <= {np.ndarray}


def _contiguous(one: np.ndarray, size: int, at: int) -> np.ndarray:
    if not isinstance(one, np.ndarray) or one.dtype != _FLOAT32 or one.shape != (size,):
        got = f"{one.dtype} {one.shape}" if isinstance(one, np.ndarray) else type(one).__name__
        raise InvalidInput(f"expected embeddings of float32 {(size,)}, got {got} in row {at}")
    return np.ascontiguousarray(one)
