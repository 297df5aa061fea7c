"""Opening a file: is it ours, of which version, and may it be written?"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from ilk.errors import ForeignGallery, GalleryError, NewerGallery
from ilk.stores.sqlite import schema
from ilk.stores.sqlite.connection import Connection, Mode

__all__ = ["check_file", "complete", "connect", "is_writable", "migrate"]


def is_writable(path: Path) -> bool:
    """Return whether the system lets this process write to the file and its folder."""
    return os.access(path, os.W_OK) and os.access(path.parent, os.W_OK)


def connect(path: Path, mode: Mode, timeout_seconds: float) -> Connection:
    """Open a connection; one that only reads falls back to what SQLite can do there.

    In a folder that cannot be written to, SQLite reads a WAL file only as one that nobody changes.
    """
    if mode == "rw":
        return Connection(path, mode, timeout_seconds)
    connection = None
    try:
        connection = Connection(path, mode, timeout_seconds)
        connection.wait("select count(*) from sqlite_schema")
    except GalleryError as error:
        if connection is not None:
            connection.close()
        wal = path.with_name(f"{path.name}-wal")
        if is_writable(path) or type(error) is not GalleryError:
            raise
        if wal.exists() and wal.stat().st_size:
            raise GalleryError(
                f"{path} was not closed and its newest changes are in {wal.name}, which cannot be "
                f"read without writing to {path.parent}; make the folder writable, or copy it"
            ) from error
        return Connection(path, "frozen", timeout_seconds)
    return connection


def check_file(connection: Connection) -> int:
    """Return the version of the schema of a file that is ours.

    Raises:
        ForeignGallery: The file is not ours.
        NewerGallery: It was written by a newer version of ilk.
    """
    path = connection.path
    if connection.wait("pragma application_id") != [(schema.APPLICATION_ID,)]:
        raise ForeignGallery(f"{path} is not a gallery; check the path")
    ((found,),) = connection.wait("pragma user_version")
    if found > schema.version():
        raise NewerGallery(
            f"{path} has version {found}, this ilk reads up to {schema.version()}; upgrade ilk"
        )
    return int(found)


def complete(connection: Connection) -> None:
    """Add the index that files of the same version did not always have, if nobody is in the way."""
    with suppress(GalleryError):  # only slower without
        connection.wait(schema.EXPIRES, 0.0)


def migrate(connection: Connection) -> None:
    """Bring the file to the present version in one transaction, unless another process did."""
    connection.begin_writing()
    try:
        for migration in schema.MIGRATIONS[check_file(connection) - 1 :]:
            migration(connection)
        connection.run(f"pragma user_version={schema.version()}")
        connection.commit()
    except BaseException:
        connection.roll_back()
        raise
