"""Embeddings on their way into the file: checked before anything is written, not copied."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ilk.errors import InvalidInput

__all__ = ["checked"]

_FLOAT32 = np.dtype("<f4")
_BLOCK = 1024


def checked(embeddings: Sequence[np.ndarray], size: int) -> Sequence[np.ndarray]:
    """Return embeddings that the file can take as they lie in memory.

    Raises:
        InvalidInput: One is not (D,) float32, or not finite.
    """
    shape = (size,)
    for at, one in enumerate(embeddings):
        if type(one) is not np.ndarray or one.dtype != _FLOAT32 or one.shape != shape:
            got = f"{one.dtype} {one.shape}" if isinstance(one, np.ndarray) else type(one).__name__
            raise InvalidInput(f"expected embeddings of float32 {shape}, got {got} in row {at}")
    for start in range(0, len(embeddings), _BLOCK):
        block = np.array(embeddings[start : start + _BLOCK])
        if not np.isfinite(block).all():
            at = start + int(np.flatnonzero(~np.isfinite(block).all(axis=1))[0])
            raise InvalidInput(f"expected finite embeddings, row {at} is not; leave it out")
    if all(one.flags.c_contiguous for one in embeddings):
        return embeddings
    return [np.ascontiguousarray(one) for one in embeddings]
