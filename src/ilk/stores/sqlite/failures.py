"""What goes wrong in SQLite, said in words that help."""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path

from ilk.errors import DamagedGallery, ForeignGallery, GalleryError, IlkError, InvalidInput

__all__ = ["FAILURES", "explain", "is_busy"]

FAILURES = (sqlite3.Error, UnicodeEncodeError, OverflowError)
"""What a statement raises: text and numbers that SQLite cannot hold are no errors of its own."""

_BUSY = (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_PROTOCOL)
_CLOSED = (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM, sqlite3.SQLITE_CANTOPEN)
_SHORT_READ = sqlite3.SQLITE_IOERR_SHORT_READ
_FULL_BYTES = 1 << 20
"""A file system with less than this left is called full when a write to it fails."""


def is_busy(error: sqlite3.Error) -> bool:
    """Return whether another connection is in the way, so that waiting may help."""
    return _code(error) & 0xFF in _BUSY


def explain(error: Exception, path: Path, timeout_seconds: float) -> IlkError:
    """Return the error of ilk that says what happened to the file and what to do."""
    code = _code(error)
    primary = code & 0xFF
    if not isinstance(error, sqlite3.Error) or "binding" in str(error):
        return InvalidInput(
            f"expected text that UTF-8 can hold, and numbers of 64 bits, got neither ({error})"
        )
    if primary in _BUSY:
        return GalleryError(
            f"{path} was held by another process for more than {timeout_seconds:g} s; nothing was "
            "changed; try again, or end the process that holds it"
        )
    if primary == sqlite3.SQLITE_CORRUPT or code == _SHORT_READ:
        return DamagedGallery(
            f"{path} is damaged ({error}); copy the folder first, then restore an export or a "
            f'backup, or save what can be read with: sqlite3 "{path}" .recover'
        )
    if primary == sqlite3.SQLITE_NOTADB:
        return ForeignGallery(f"{path} is not a gallery: it is no SQLite file ({error})")
    if primary == sqlite3.SQLITE_FULL or (primary == sqlite3.SQLITE_IOERR and _is_full(path)):
        return GalleryError(
            f"the disk of {path.parent} is full; nothing was changed; free some space and try again"
        )
    if primary in _CLOSED:
        return GalleryError(_closed(error, path))
    if primary == sqlite3.SQLITE_CONSTRAINT:
        return GalleryError(f"{path} refused a row ({error}); nothing was changed")
    return GalleryError(
        f"{path} cannot be used ({error}); nothing was changed; check the disk and try again"
    )


def _code(error: Exception) -> int:
    return getattr(error, "sqlite_errorcode", None) or 0


def _is_full(path: Path) -> bool:
    try:
        found = os.statvfs(path.parent)
    except (OSError, AttributeError):
        return False
    return found.f_bavail * found.f_frsize < _FULL_BYTES


def _closed(error: sqlite3.Error, path: Path) -> str:
    for place in (path.parent, path):
        if place.exists() and not os.access(place, os.W_OK):
            return (
                f"{place} cannot be written to ({error}), and SQLite needs the file and its folder "
                "to be writable; nothing was changed; give yourself the right, or copy the gallery"
            )
    if not path.exists():
        return f"{path} was moved or deleted while it was open; open the gallery again"
    return f"{path} cannot be opened ({error}); check its rights and those of {path.parent}"
