"""One connection to the file: its settings, waiting for others, errors in words of ilk."""

from __future__ import annotations

import os
import random
import sqlite3
import time
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal, TypeVar, final

from ilk.errors import GalleryError
from ilk.stores.sqlite.failures import FAILURES, explain, is_busy

__all__ = ["PAGE_BYTES", "Connection", "Mode", "create_file"]

Mode = Literal["rw", "ro", "frozen"]
"""Read and write; read beside writers; read a file that nobody can be writing."""

PAGE_BYTES = 32_768
"""Set before WAL: with 4 KiB pages an embedding of 512 numbers fills a page, half of it empty."""

SETTINGS = (
    "synchronous=full",
    "foreign_keys=on",
    "secure_delete=on",
    "cache_size=-65536",
    "journal_size_limit=67108864",
)
"""Pragmas of every connection, beyond what the file keeps (page size and WAL)."""

_WAIT_SECONDS = 0.1
"""How long SQLite itself waits; in between a signal such as Ctrl-C comes through."""

_T = TypeVar("_T")


@final
class Connection:
    """Statements with translated errors. Not safe for threads: its owner holds a lock."""

    def __init__(self, path: Path, mode: Mode, timeout_seconds: float) -> None:
        self.path = path
        self.mode = mode
        self.timeout_seconds = timeout_seconds
        self.stamp = _stamp(path) if mode == "frozen" else None
        self._version: int | None = None
        options = {"rw": "mode=rw", "ro": "mode=ro", "frozen": "mode=ro&immutable=1"}[mode]
        try:
            self._database = _connect(f"{path.absolute().as_uri()}?{options}", timeout_seconds)
        except sqlite3.Error as error:
            raise explain(error, path, timeout_seconds) from error

    @property
    def is_outdated(self) -> bool:
        """Whether a frozen file was written after all, so that it must be opened again."""
        return self.mode == "frozen" and self.stamp != _stamp(self.path)

    @property
    def checksum(self) -> str:
        """The column that has checksums; "null" in a file of before there were any."""
        return "checksum" if self._has_checksums else "null"

    @property
    def token(self) -> str:
        """The column that has the tokens of changes; "null" in a file of before."""
        return "token" if self._has_checksums else "null"

    @property
    def _has_checksums(self) -> bool:
        if self._version is None:
            self._version = int(self.value("pragma user_version"))
        return self._version >= 2

    def rows(self, statement: str, *values: Any) -> list[tuple[Any, ...]]:
        """Return all rows."""
        try:
            return self._database.execute(statement, values).fetchall()
        except FAILURES as error:
            raise explain(error, self.path, self.timeout_seconds) from error

    def row(self, statement: str, *values: Any) -> tuple[Any, ...] | None:
        """Return the first row, None if there is none."""
        try:
            found: tuple[Any, ...] | None = self._database.execute(statement, values).fetchone()
        except FAILURES as error:
            raise explain(error, self.path, self.timeout_seconds) from error
        return found

    def value(self, statement: str, *values: Any) -> Any:
        """Return the only value of a statement that always has one."""
        found = self.row(statement, *values)
        return found[0] if found else None

    def blocks(
        self, statement: str, *values: Any, size: int = 1024
    ) -> Iterator[list[tuple[Any, ...]]]:
        """Yield all rows, `size` at a time."""
        try:
            cursor = self._database.execute(statement, values)
            while block := cursor.fetchmany(size):
                yield block
        except FAILURES as error:
            raise explain(error, self.path, self.timeout_seconds) from error

    def run(self, statement: str, *values: Any) -> int:
        """Execute a statement and return how many rows it changed."""
        try:
            return self._database.execute(statement, values).rowcount
        except FAILURES as error:
            raise explain(error, self.path, self.timeout_seconds) from error

    def run_many(self, statement: str, rows: Iterable[Sequence[Any]]) -> None:
        """Execute a statement once per row of values."""
        try:
            self._database.executemany(statement, rows)
        except FAILURES as error:
            raise explain(error, self.path, self.timeout_seconds) from error

    def wait(self, statement: str, seconds: float | None = None) -> list[tuple[Any, ...]]:
        """Execute a statement, again as long as another connection is in the way."""
        return self._patiently(lambda: self._database.execute(statement).fetchall(), seconds)

    def begin_reading(self, statement: str) -> tuple[Any, ...] | None:
        """Begin a snapshot with a first statement; return its first row."""

        def begin() -> tuple[Any, ...] | None:
            self._database.execute("begin")
            try:
                found: tuple[Any, ...] | None = self._database.execute(statement).fetchone()
            except sqlite3.Error:
                self.roll_back()
                raise
            return found

        return self._patiently(begin)

    def begin_writing(self) -> None:
        """Begin a transaction that may write, as soon as nobody else does."""
        self.wait("begin immediate")

    def commit(self) -> None:
        """Make the transaction durable, if it was not rolled back."""
        if self._database.in_transaction:
            self.run("commit")

    def roll_back(self) -> None:
        """Undo the transaction, if SQLite has not done so on its own."""
        with suppress(sqlite3.Error):
            if self._database.in_transaction:
                self._database.execute("rollback")

    def empty_log(self, seconds: float) -> bool:
        """Write everything into the main file and cut the -wal file to nothing.

        Returns:
            False if a reader of an old state was in the way for that long.
        """
        deadline = time.monotonic() + seconds
        while True:
            with suppress(_Waiting):
                ((is_hindered, _, _),) = self._patiently(self._checkpoint, 0.0, _Waiting)
                if not is_hindered:
                    return True
            if time.monotonic() >= deadline:
                return False
            _pause()

    def close(self) -> None:
        """Let go of the file; what was not committed is undone."""
        with suppress(sqlite3.Error):
            self._database.close()

    def _checkpoint(self) -> list[tuple[Any, ...]]:
        return self._database.execute("pragma wal_checkpoint(truncate)").fetchall()

    def _patiently(
        self,
        act: Callable[[], _T],
        seconds: float | None = None,
        otherwise: type[Exception] | None = None,
    ) -> _T:
        seconds = self.timeout_seconds if seconds is None else seconds
        deadline = None
        while True:
            try:
                return act()
            except sqlite3.Error as error:
                deadline = deadline or time.monotonic() + seconds - _WAIT_SECONDS
                if is_busy(error) and time.monotonic() < deadline:
                    _pause()
                elif is_busy(error) and otherwise is not None:
                    raise otherwise from error
                else:
                    raise explain(error, self.path, seconds) from error


class _Waiting(Exception):
    """Somebody is in the way."""


def create_file(path: Path, statements: Iterable[tuple[str, Sequence[Any]]]) -> None:
    """Make a file at `path`, whole or not at all, durable, by one transaction.

    Raises:
        GalleryError: There is a file of that name, or none can be made.
    """
    if path.exists():
        raise GalleryError(f"expected no file at {path}, there is one; choose another place")
    if not path.parent.is_dir():
        raise GalleryError(f"expected a folder {path.parent} to make {path.name} in; make it first")
    draft = path.with_name(f".{path.name}.{os.getpid()}.{random.getrandbits(32):08x}")
    try:
        os.close(os.open(draft, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
        database = sqlite3.connect(draft, isolation_level=None)
        try:
            database.execute(f"pragma page_size={PAGE_BYTES}")
            database.execute("pragma synchronous=full")
            database.execute("begin")
            for statement, values in statements:
                database.execute(statement, values)
            database.execute("commit")
            database.execute("pragma journal_mode=wal")
        finally:
            database.close()
        _publish(draft, path)
    except sqlite3.Error as error:
        raise explain(error, path, 0.0) from error
    except FileExistsError:
        raise GalleryError(f"expected no file at {path}, there is one; choose another") from None
    except OSError as error:
        raise GalleryError(f"{path} cannot be made ({error}); check the folder") from error
    finally:
        for leftover in path.parent.glob(f"{draft.name}*"):
            leftover.unlink(missing_ok=True)


def _publish(draft: Path, path: Path) -> None:
    """Give the finished file its name, unless somebody has it, and make that durable."""
    handle = os.open(draft, os.O_RDWR)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
    try:
        os.link(draft, path)
    except FileExistsError:
        raise
    except OSError:  # a file system without hard links
        os.rename(draft, path)
    if os.name == "posix":
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def _connect(address: str, timeout_seconds: float) -> sqlite3.Connection:
    database = sqlite3.connect(
        address,
        uri=True,
        isolation_level=None,
        check_same_thread=False,
        timeout=min(_WAIT_SECONDS, timeout_seconds),
    )
    database.create_function("crc32", 1, zlib.crc32, deterministic=True)
    for setting in SETTINGS:
        database.execute(f"pragma {setting}")
    return database


def _pause() -> None:
    time.sleep(random.uniform(0.0005, 0.005))


def _stamp(path: Path) -> tuple[Any, ...]:
    try:
        found = path.stat()
    except OSError:
        return ()
    wal = path.with_name(path.name + "-wal")
    return found.st_ino, found.st_size, found.st_mtime_ns, wal.exists()
