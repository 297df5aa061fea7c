"""cohort.npz: embeddings of held-out classes, which calibrate thresholds for strangers.

Shapes: N items, D embedding size, C classes.
"""

from __future__ import annotations

import io
import math
import zipfile
from dataclasses import dataclass
from typing import final

import numpy as np

from ilk.errors import InvalidInput

__all__ = ["Cohort"]

_ARRAYS = ("embeddings", "class_ids", "class_hashes")


@final
@dataclass(frozen=True, eq=False)
class Cohort:
    """Embeddings, by the exported network, of classes that no weight was fitted to."""

    embeddings: np.ndarray
    """(N, D) float32, finite."""
    class_ids: np.ndarray
    """(N,) int64, positions in `class_hashes`."""
    class_hashes: tuple[str, ...]
    """`class_hash` of each of the C classes."""

    def __post_init__(self) -> None:
        """Check shapes and values.

        Raises:
            InvalidInput: They do not fit each other.
        """
        n, c = len(self.class_ids), len(self.class_hashes)
        if self.embeddings.ndim != 2 or self.class_ids.shape != (len(self.embeddings),):
            raise InvalidInput(
                f"a cohort needs embeddings (N, D) and class_ids (N,), got {self.embeddings.shape} "
                f"and {self.class_ids.shape}"
            )
        if self.embeddings.dtype != np.float32 or self.class_ids.dtype != np.int64:
            raise InvalidInput(
                "a cohort needs float32 embeddings and int64 class_ids, got "
                f"{self.embeddings.dtype} and {self.class_ids.dtype}"
            )
        if not np.isfinite(self.embeddings).all():
            raise InvalidInput("a cohort needs finite embeddings; the encoder has diverged")
        if n and not ((self.class_ids >= 0).all() and (self.class_ids < c).all()):
            raise InvalidInput(f"class_ids of a cohort must be at least 0 and below {c}")

    def __len__(self) -> int:
        return len(self.class_ids)

    @property
    def num_classes(self) -> int:
        """How many classes have an item: what a promise counts."""
        return len(np.unique(self.class_ids))

    def only(self, is_kept: np.ndarray) -> Cohort:
        """Return the rows of a mask, (N,) bool, and the classes that have any of them left."""
        ids, class_ids = np.unique(self.class_ids[is_kept], return_inverse=True)
        hashes = tuple(self.class_hashes[i] for i in ids.tolist())
        return Cohort(self.embeddings[is_kept], class_ids.astype(np.int64), hashes)

    def to_bytes(self) -> bytes:
        """Return the bytes of cohort.npz; equal cohorts give equal bytes."""
        file = io.BytesIO()
        np.savez(
            file,
            embeddings=self.embeddings,
            class_ids=self.class_ids,
            class_hashes=np.array(self.class_hashes, dtype=np.str_),
        )
        return file.getvalue()

    @staticmethod
    def from_bytes(data: bytes) -> Cohort:
        """Read cohort.npz; what is pickled or compressed is refused before it takes any memory.

        Raises:
            InvalidInput: It is not what `to_bytes` writes.
        """
        try:
            with zipfile.ZipFile(io.BytesIO(data)) as file:
                embeddings, class_ids, hashes = (_array(file, name) for name in _ARRAYS)
            return Cohort(embeddings, class_ids, tuple(str(text) for text in hashes))
        except zipfile.BadZipFile as error:
            raise InvalidInput(f"expected a .npz file: {error}") from None
        except (KeyError, TypeError, ValueError, EOFError, OSError, RuntimeError) as error:
            raise InvalidInput(
                f"expected {', '.join(_ARRAYS)} in a .npz file, as ilk writes it: {error}"
            ) from None


def _array(file: zipfile.ZipFile, name: str) -> np.ndarray:
    """Return an array of a .npz file that takes no more memory than the file has bytes."""
    part = file.getinfo(f"{name}.npy")
    if part.compress_type != zipfile.ZIP_STORED or part.file_size != part.compress_size:
        raise ValueError(f"{name} is compressed")
    content = file.read(part)
    at = io.BytesIO(content)
    version = np.lib.format.read_magic(at)
    if version != (1, 0):
        raise ValueError(f"{name} is in the format {version} of NumPy")
    shape, is_by_columns, kind = np.lib.format.read_array_header_1_0(at)
    if kind.kind not in "fiU" or is_by_columns:
        raise ValueError(f"{name} has values of the type {kind}")
    num_bytes = math.prod(shape) * kind.itemsize
    if min(shape, default=0) < 0 or num_bytes != len(content) - at.tell():
        raise ValueError(f"{name} does not have the {num_bytes:,} bytes that it says")
    if not num_bytes:
        return np.empty(shape, kind)
    return np.frombuffer(content, kind, offset=at.tell()).reshape(shape).copy()
