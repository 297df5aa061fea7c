"""Arrays in one file that can be thrown away: written whole or not at all, verified when read.

    magic       8 bytes
    length      8 bytes, of the table
    table       JSON: the owner's header; name, type, shape, offset and checksum of each array
    seal        SHA-256 of all of the above
    arrays      each at a multiple of 4096 bytes, up to the end of the file

An array's checksum is the SHA-256 of one sum per 64 KiB: its 32-bit words times fixed odd numbers,
modulo 2^64. That runs at the speed of reading memory, and misses an accidental change once in
billions; it is no protection against somebody who wants to deceive.
"""

from __future__ import annotations

import hashlib
import json
import os
import secrets
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, final

import numpy as np

from ilk.errors import InvalidInput

__all__ = ["Permission", "Snapshot", "read_snapshot", "remove_snapshot", "write_snapshot"]

_MAGIC = b"ilksnap\x01"
_PAGE = 4096
_WORDS = 16_384
"""32-bit words of one sum."""

_FACTORS = np.random.Generator(np.random.PCG64(20)).integers(
    0, 1 << 63, _WORDS, dtype=np.uint64
) * np.uint64(2) + np.uint64(1)

_PLAIN_KINDS = "biufSU"
"""NumPy's kinds of type that mean the same in every process."""


Permission = Callable[[], AbstractContextManager[bool]]
"""Asked when all is written, and held while the file gets its name: may it?"""


@final
@dataclass(frozen=True, eq=False)
class Snapshot:
    """What was read."""

    header: Mapping[str, Any]
    """The owner's, as JSON gives it back."""
    arrays: Mapping[str, np.ndarray]
    """Memory-mapped; writing to them changes this process's copy of the page and never the file."""


def write_snapshot(
    path: Path,
    header: dict[str, Any],
    arrays: dict[str, np.ndarray],
    *,
    permission: Permission = lambda: nullcontext(True),
) -> bool:
    """Write a snapshot in one step: at every moment the path holds the old one or the new one.

    Args:
        path: Where; the folder exists.
        header: JSON values to tell later what this is a snapshot of.
        arrays: Of numbers, truth values or strings of fixed length.
        permission: Without it nothing of what was written is left.

    Returns:
        Whether it was written; a full disk or a read-only folder is no error for a cache.

    Raises:
        InvalidInput: An array holds Python objects.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp()) / "snapshot"
        >>> write_snapshot(path, {"of": "birds"}, {"ids": np.array([3, 5])})
        True
        >>> read_snapshot(path, expect={"of": "birds"}).arrays["ids"]
        array([3, 5])
        >>> read_snapshot(path, expect={"of": "fish"}) is None
        True
    """
    packed = {name: _packed(name, array) for name, array in arrays.items()}
    table = _table(header, packed)
    partial = path.with_name(f"{path.name}.{os.getpid()}-{secrets.token_hex(4)}.partial")
    try:
        with open(partial, "xb", opener=_private) as file:
            _write(file, table, packed)
            file.flush()
            os.fsync(file.fileno())
        with permission() as is_given:
            if is_given:
                os.replace(partial, path)
                _sync_folder(path.parent)
        return is_given
    except OSError:
        return False
    finally:
        with suppress(OSError):
            partial.unlink(missing_ok=True)


def read_snapshot(path: Path, *, expect: dict[str, Any]) -> Snapshot | None:
    """Return the snapshot if it is there, whole, and has all of `expect` in its header."""
    try:
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            table = _read_table(file)
            if table is None or table["size"] != size:
                return None
            if any(table["header"].get(key) != value for key, value in _plain(expect).items()):
                return None
            pages = np.asarray(np.memmap(file, np.uint8, "c"))
    except (OSError, ValueError):
        return None
    arrays = {}
    for entry in table["arrays"]:
        start, dtype, shape = entry["offset"], np.dtype(entry["dtype"]), tuple(entry["shape"])
        content = pages[start : start + int(np.prod(shape, dtype=np.int64)) * dtype.itemsize]
        if _checksum(content) != entry["checksum"]:
            return None
        arrays[entry["name"]] = content.view(dtype).reshape(shape)
    return Snapshot(table["header"], arrays)


def remove_snapshot(path: Path) -> None:
    """Delete the snapshot, and what interrupted writing left behind."""
    for file in (path, *path.parent.glob(f"{path.name}.*.partial")):
        file.unlink(missing_ok=True)


def _private(name: str, flags: int) -> int:
    return os.open(name, flags, 0o600)


def _packed(name: str, array: np.ndarray) -> np.ndarray:
    if array.dtype.kind not in _PLAIN_KINDS:
        raise InvalidInput(
            f"a snapshot holds numbers, truth values and strings of fixed length, {name!r} is of "
            f"type {array.dtype}"
        )
    return np.asarray(array, order="C")


def _table(header: dict[str, Any], arrays: dict[str, np.ndarray]) -> bytes:
    """Return magic, length, table and seal. The offsets count from a length that fits them."""
    entries: list[dict[str, Any]] = [
        {
            "name": name,
            "dtype": array.dtype.str,
            "shape": list(array.shape),
            "checksum": _checksum(_bytes_of(array)),
        }
        for name, array in arrays.items()
    ]
    room = _PAGE
    while True:
        offset = end = room
        for entry, array in zip(entries, arrays.values(), strict=True):
            entry["offset"] = offset
            end = offset + array.nbytes
            offset = -(-end // _PAGE) * _PAGE
        content = json.dumps({"header": header, "size": end, "arrays": entries}).encode()
        sealed = _MAGIC + len(content).to_bytes(8, "little") + content
        sealed += hashlib.sha256(sealed).digest()
        if len(sealed) <= room:
            return sealed.ljust(room, b"\0")
        room *= 2


def _write(file: BinaryIO, table: bytes, arrays: dict[str, np.ndarray]) -> None:
    file.write(table)
    for array in arrays.values():
        file.write(b"\0" * (-file.tell() % _PAGE))
        file.write(_bytes_of(array).data)


def _read_table(file: BinaryIO) -> dict[str, Any] | None:
    """Return the table if its seal is whole."""
    start = file.read(16)
    length = int.from_bytes(start[8:], "little")
    if start[:8] != _MAGIC or length > os.fstat(file.fileno()).st_size:
        return None
    content, seal = file.read(length), file.read(32)
    if hashlib.sha256(start + content).digest() != seal:
        return None
    table: dict[str, Any] = json.loads(content)
    return table


def _checksum(content: np.ndarray) -> str:
    """Return the checksum of (n,) uint8."""
    words = content[: len(content) // 4 * 4].view(np.uint32)
    whole = len(words) // _WORDS * _WORDS
    sums = np.einsum(
        "ij,j->i", words[:whole].reshape(-1, _WORDS), _FACTORS, dtype=np.uint64, casting="safe"
    )
    rest = content[4 * whole :].tobytes()
    return hashlib.sha256(np.append(sums, np.uint64(len(content))).tobytes() + rest).hexdigest()


def _bytes_of(array: np.ndarray) -> np.ndarray:
    return array.reshape(-1).view(np.uint8) if array.size else np.zeros(0, np.uint8)


def _plain(value: dict[str, Any]) -> dict[str, Any]:
    plain: dict[str, Any] = json.loads(json.dumps(value))
    return plain


def _sync_folder(folder: Path) -> None:
    """Make a rename durable, where folders can be opened."""
    with suppress(PermissionError, IsADirectoryError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
