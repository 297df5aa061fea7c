"""Embeddings that were computed before, found again by what they were computed from.

The key is the content hash of the item and the fingerprint of the encoder, so an entry can never
be stale. Each call that computed something adds one file and changes none, and what is to be
forgotten takes its file along: readers and writers in other processes need no lock. Every row has
a checksum; what is damaged is computed again.
"""

from __future__ import annotations

import hashlib
import re
import secrets
import shutil
from collections.abc import Collection, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import final

import numpy as np

from ilk.cache_folder import cache_folder, make_private
from ilk.errors import InvalidInput
from ilk.whole_file import write_private

__all__ = ["EmbeddingCache"]

_FINGERPRINT = re.compile(r"[0-9A-Za-z_-]{8,128}")
_NUM_KEY_BYTES, _NUM_CHECK_BYTES = 32, 8
_SUFFIX = ".rows"


@final
class EmbeddingCache:
    """A folder with one subfolder per encoder fingerprint.

    Example:
        >>> import tempfile
        >>> cache = EmbeddingCache(tempfile.mkdtemp())
        >>> cache.put("0" * 64, ["a" * 64], np.ones((1, 2), np.float32))
        >>> list(cache.get("0" * 64, ["a" * 64, "b" * 64], embedding_size=2).values())
        [array([1., 1.], dtype=float32)]
    """

    def __init__(self, folder: str | Path | None = None) -> None:
        """Use `folder`, or $ILK_CACHE, or the user's cache folder; it is made on first writing.

        Raises:
            ConfigError: No folder is given, and there is no place for one.
        """
        self.folder = Path(folder) if folder is not None else cache_folder("embeddings")

    def get(
        self, fingerprint: str, hashes: Sequence[str], *, embedding_size: int
    ) -> dict[str, np.ndarray]:
        """Return the (D,) float32 embeddings that are known, by content hash.

        Args:
            fingerprint: `Encoder.fingerprint`.
            hashes: `Item.content_hash` of the items wanted; repeats do not matter.
            embedding_size: D. Files with another size are ignored.
        """
        wanted = {_key(content): content for content in hashes}
        found: dict[str, np.ndarray] = {}
        folder = self._subfolder(fingerprint)
        for path in sorted(folder.glob(f"*{_SUFFIX}{embedding_size}")):
            rows = _open(path, embedding_size)
            for i, key in enumerate(_keys(rows)):
                if key not in wanted:
                    continue
                embedding = np.array(rows["embedding"][i])
                if rows["check"][i].tobytes() == _check(fingerprint, key, embedding):
                    found[wanted[key]] = embedding
        return found

    def put(self, fingerprint: str, hashes: Sequence[str], embeddings: np.ndarray) -> None:
        """Remember (N, D) embeddings of N content hashes. A full disk is not an error.

        Raises:
            InvalidInput: There are not as many hashes as embeddings.
        """
        if embeddings.ndim != 2 or len(hashes) != len(embeddings):
            raise InvalidInput(
                f"expected one content hash per embedding, got {len(hashes)} for {embeddings.shape}"
            )
        if not len(hashes):
            return
        rows = np.empty(len(hashes), _row_type(embeddings.shape[1]))
        rows["embedding"] = embeddings
        for i, key in enumerate(map(_key, hashes)):
            rows["content"][i] = np.void(key)
            rows["check"][i] = np.void(_check(fingerprint, key, rows["embedding"][i]))
        with suppress(OSError):
            _write(self._subfolder(fingerprint), rows)

    def contents(self) -> set[str]:
        """Return the content hashes that there are embeddings of, by any encoder."""
        return {key.hex() for _, rows in self._files() for key in _keys(rows)}

    def forget(self, hashes: Collection[str]) -> int:
        """Delete the embeddings of content hashes, by every encoder; return how many there were.

        Raises:
            OSError: A file cannot be written or deleted.
        """
        gone, num_rows = {_key(content) for content in hashes}, 0
        for path, rows in self._files() if gone else ():
            is_kept = np.array([key not in gone for key in _keys(rows)], bool)
            if is_kept.all():
                continue
            if is_kept.any():
                _write(path.parent, rows[is_kept])
            path.unlink(missing_ok=True)
            num_rows += int((~is_kept).sum())
        return num_rows

    def clear(self) -> None:
        """Forget everything."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def _files(self) -> Iterator[tuple[Path, np.ndarray]]:
        """Yield every file that is there now, with its rows."""
        for path in sorted(self.folder.glob(f"*/*{_SUFFIX}*")):
            size = path.suffix.removeprefix(_SUFFIX)
            if size.isdecimal():
                yield path, _open(path, int(size))

    def _subfolder(self, fingerprint: str) -> Path:
        if not _FINGERPRINT.fullmatch(fingerprint):
            raise InvalidInput(
                "an encoder's fingerprint must be 8 to 128 letters and digits, such as a SHA-256, "
                f"got {fingerprint!r}"
            )
        return self.folder / fingerprint


def _key(content_hash: str) -> bytes:
    try:
        key = bytes.fromhex(content_hash)
    except ValueError:
        key = b""
    if len(key) != _NUM_KEY_BYTES:
        raise InvalidInput(f"a content hash must be a SHA-256 in hexadecimal, got {content_hash!r}")
    return key


def _keys(rows: np.ndarray) -> list[bytes]:
    keys = rows["content"].tobytes()
    return [keys[i : i + _NUM_KEY_BYTES] for i in range(0, len(keys), _NUM_KEY_BYTES)]


def _row_type(embedding_size: int) -> np.dtype:
    content, check = ("content", f"V{_NUM_KEY_BYTES}"), ("check", f"V{_NUM_CHECK_BYTES}")
    return np.dtype([content, check, ("embedding", "<f4", (embedding_size,))])


def _check(fingerprint: str, key: bytes, embedding: np.ndarray) -> bytes:
    digest = hashlib.blake2b(fingerprint.encode(), digest_size=_NUM_CHECK_BYTES)
    digest.update(key)
    digest.update(embedding.tobytes())
    return digest.digest()


def _open(path: Path, embedding_size: int) -> np.ndarray:
    """Map the whole rows of a file into memory; none if it cannot be read."""
    row_type = _row_type(embedding_size)
    try:
        num_rows = path.stat().st_size // row_type.itemsize
        if num_rows:
            return np.memmap(path, row_type, mode="r", shape=(num_rows,))
    except (OSError, ValueError):
        pass
    return np.empty(0, row_type)


def _write(folder: Path, rows: np.ndarray) -> None:
    """Add one file; it has its name only once it is whole."""
    make_private(folder)
    name = secrets.token_hex(8)
    partial = folder / f".{name}.partial"
    try:
        write_private(partial, b"")
        rows.tofile(partial)
        partial.rename(folder / f"{name}{_SUFFIX}{rows['embedding'].shape[1]}")
    finally:
        partial.unlink(missing_ok=True)
