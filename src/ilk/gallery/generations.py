"""Generations that are being filled, or that are not in use any more."""

from __future__ import annotations

import shutil
import sqlite3
import stat
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress

from ilk.errors import GalleryError
from ilk.gallery.location import Generation, Location, flush_folder

__all__ = ["alone", "discard_later", "draft", "drop", "publish"]

_LOCK = ".migration"
_DRAFT = ".partial"


@contextmanager
def alone(location: Location) -> Iterator[None]:
    """Keep others from migrating, rolling back or dropping, for the time of a `with` block.

    The lock is that of an empty SQLite file: every system has it, and it ends with the process.

    Raises:
        GalleryError: Somebody else is at it.
    """
    path = location.folder / _LOCK
    try:
        with closing(sqlite3.connect(path, timeout=0, isolation_level=None)) as lock:
            lock.execute("begin exclusive")
            yield
    except sqlite3.OperationalError as error:
        raise GalleryError(
            f"{location} is being migrated or rolled back by another process, or cannot be written "
            f"to ({error}); wait for it, or check the rights of the folder"
        ) from error


def draft(location: Location, number: int) -> Generation:
    """Make the empty folder of a generation that nobody sees yet.

    What interrupted migrations left is removed. Call it within `alone`.
    """
    _drop_drafts(location)
    folder = location.folder / f".{number}{_DRAFT}"
    folder.mkdir(parents=True, mode=0o700)
    with suppress(OSError):
        folder.chmod(stat.S_IMODE(location.current().folder.stat().st_mode))  # shared as before
    return Generation(number, folder)


def publish(location: Location, filled: Generation) -> Generation:
    """Give a filled draft, of which nothing is open, the folder of its number."""
    generation = location.generation(filled.number)
    drop(generation)
    filled.folder.rename(generation.folder)
    flush_folder(location.folder)
    return generation


def drop(generation: Generation) -> None:
    """Delete the folder of a generation, if it is there.

    Raises:
        GalleryError: It cannot be deleted.
    """
    try:
        # the name goes first, so that no one finds half of it
        if generation.folder.exists():
            away = generation.folder.with_name(f".{generation.number}{_DRAFT}")
            if away != generation.folder:
                shutil.rmtree(away, ignore_errors=True)
                generation.folder.rename(away)
            shutil.rmtree(away)
    except OSError as error:
        raise GalleryError(
            f"{generation.folder} cannot be deleted ({error}); close what uses it and delete it"
        ) from error


def discard_later(location: Location) -> None:
    """Delete drafts and later generations: what an interrupted migration left behind.

    They hold content that nobody sees any more. While somebody migrates they are left to him.
    """
    is_later = any(g.number > location.current().number for g in location.generations())
    if not is_later and not any(location.folder.glob(f".*{_DRAFT}")):
        return
    try:
        with alone(location):
            _drop_drafts(location)
            for generation in location.generations():
                if generation.number > location.current().number:
                    drop(generation)
    except GalleryError:
        return


def _drop_drafts(location: Location) -> None:
    for folder in location.folder.glob(f".*{_DRAFT}"):
        shutil.rmtree(folder)
