"""A folder that appears whole or not at all.

The files are written to a hidden folder beside the target and flushed to the disk; one rename
makes it the target. A target that is replaced is exchanged in one system call where the system
has it (Linux, macOS), so that a crash leaves the old folder or the new one. Elsewhere there are
two renames, and a crash between them leaves the old folder beside the target under a name that
`find_leftovers` knows.
"""

from __future__ import annotations

import ctypes
import os
import secrets
import shutil
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from ilk.errors import ArtifactError

__all__ = ["find_leftovers", "is_leftover", "is_taken", "publish_folder"]

_PARTIAL, _REPLACED = ".ilk-partial", ".ilk-replaced"
_LEFTOVER_AGE_SECONDS = 3600.0
"""A hidden folder untouched for so long belongs to no running writer."""

_AT_FDCWD, _RENAME_EXCHANGE, _RENAME_SWAP = -100, 2, 2


def publish_folder(target: Path, files: Mapping[str, bytes], *, may_replace: bool = False) -> None:
    """Write `files` so that `target` holds all of them or stays as it was.

    Args:
        target: Where the folder shall be. Missing parents are made; an empty folder is filled; a
            link is followed.
        files: Content by plain file name.
        may_replace: Whether a folder that is there already, with all in it, gives way.

    Raises:
        ArtifactError: Something is at the target that may not be replaced.
        OSError: The disk refuses; the target is as it was.
    """
    target = target.resolve()
    target.parent.mkdir(parents=True, exist_ok=True)
    _remove_old_leftovers(target)
    partial = target.parent / f".{target.name}.{secrets.token_hex(4)}{_PARTIAL}"
    partial.mkdir()
    try:
        _fill(partial, files)
        _put_in_place(partial, target, may_replace)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    _flush(target.parent)


def find_leftovers(target: Path) -> tuple[Path, ...]:
    """Return the folders that interrupted writes of `target` left beside it, sorted.

    Those older than an hour are removed by the next write.
    """
    target = target.resolve()
    if not target.parent.is_dir():
        return ()
    names = [p for p in target.parent.iterdir() if p.name.startswith(f".{target.name}.")]
    return tuple(sorted(path for path in names if is_leftover(path)))


def is_leftover(path: Path) -> bool:
    """Return whether a folder's name is one that only a write in progress uses."""
    return path.name.startswith(".") and path.name.endswith((_PARTIAL, _REPLACED))


def is_taken(target: Path) -> bool:
    """Return whether anything but an empty folder is at `target`."""
    if target.is_dir():
        return any(target.iterdir())
    return os.path.lexists(target)


def _fill(folder: Path, files: Mapping[str, bytes]) -> None:
    for name, content in files.items():
        with (folder / name).open("xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
    _flush(folder)


def _put_in_place(partial: Path, target: Path, may_replace: bool) -> None:
    if not is_taken(target):
        if os.name == "nt":
            with suppress(FileNotFoundError):
                target.rmdir()
        try:
            os.rename(partial, target)
            return
        except OSError:
            if not is_taken(target):
                raise
    if not may_replace:
        raise ArtifactError(f"{target} exists already; nothing was written")
    if _exchange(partial, target):
        return
    old = partial.with_name(partial.name.removesuffix(_PARTIAL) + _REPLACED)
    os.rename(target, old)
    try:
        os.rename(partial, target)
    except OSError:
        os.rename(old, target)
        raise
    shutil.rmtree(old, ignore_errors=True)


def _exchange(first: Path, second: Path) -> bool:
    """Swap two folders in one step; False where the system or its disk cannot."""
    a, b = os.fsencode(first), os.fsencode(second)
    with suppress(AttributeError, OSError):
        if sys.platform == "linux":
            renameat2 = ctypes.CDLL(None).renameat2
            return bool(renameat2(_AT_FDCWD, a, _AT_FDCWD, b, _RENAME_EXCHANGE) == 0)
        if sys.platform == "darwin":
            return bool(ctypes.CDLL(None).renamex_np(a, b, _RENAME_SWAP) == 0)
    return False


def _remove_old_leftovers(target: Path) -> None:
    for path in find_leftovers(target):
        is_only_copy = path.name.endswith(_REPLACED) and not target.exists()
        with suppress(OSError):
            if not is_only_copy and time.time() - path.stat().st_mtime > _LEFTOVER_AGE_SECONDS:
                shutil.rmtree(path)


def _flush(folder: Path) -> None:
    """Flush the names in a folder to the disk, where folders can be opened."""
    if os.name == "nt":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
