"""SqliteStore: the truth of a gallery in one SQLite file in WAL mode."""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from types import MappingProxyType
from typing import Any, final

from ilk.errors import DamagedGallery, ForeignGallery, GalleryError, InvalidInput
from ilk.store import Chosen, Erased, Past, Reader
from ilk.stores.sqlite import schema
from ilk.stores.sqlite.checking import find_faults
from ilk.stores.sqlite.connection import Connection, Mode, create_file
from ilk.stores.sqlite.copying import Embeddings, adopt_suppressed, update_copy
from ilk.stores.sqlite.effects import to_json
from ilk.stores.sqlite.erasing import clean, erase_rows, has_residue
from ilk.stores.sqlite.line import Line
from ilk.stores.sqlite.opening import check_file, complete, connect, is_writable, migrate
from ilk.stores.sqlite.reading import SqliteReader
from ilk.stores.sqlite.restoring import restore_rows
from ilk.stores.sqlite.suppression import read_closed, write_closed
from ilk.stores.sqlite.writing import SqliteWriter, log_end

__all__ = ["SqliteStore"]

_TIMEOUT_SECONDS = 30.0


@final
class SqliteStore:
    """The truth of one gallery in one SQLite file; made by `create` and `open`.

    Threads share it: one writes at a time, others read the last committed state meanwhile. Other
    processes may have the file open, to read and to write.

    Example:
        >>> from tempfile import mkdtemp
        >>> from ilk.store import NewExemplar
        >>> store = SqliteStore.create(Path(mkdtemp(), "gallery.sqlite"), {"embedding_size": 2})
        >>> with store.changing("enroll", actor="ada") as writer:
        ...     owl = writer.add_class("owl")
        ...     rows = [NewExemplar(np.array([0.6, 0.8], np.float32), "c0ffee", "owl.png")]
        ...     writer.add_exemplars(owl, rows)
        [1]
        >>> with store.reading() as reader:
        ...     reader.sequence(), [row.label for row in reader.classes()]
        (1, ['owl'])
        >>> store.close()
    """

    def __init__(self, path: Path, mode: Mode, timeout_seconds: float) -> None:
        self._path = path
        self._mode = mode
        self._timeout_seconds = timeout_seconds
        self._reader = Line(self._connect)
        self._writer = Line(self._connect)
        self._watcher = Line(self._connect)
        self._current: SqliteReader | None = None
        self._facts = self._prepare()
        self._size = int(self._facts["embedding_size"])

    @classmethod
    def create(
        cls,
        path: str | os.PathLike[str],
        facts: Mapping[str, Any],
        *,
        timeout_seconds: float = _TIMEOUT_SECONDS,
    ) -> SqliteStore:
        """Make an empty store at `path`, durable when this returns, and open it.

        Args:
            path: Of the file to be made; its folder must exist.
            facts: JSON values by key, kept for good; "embedding_size" (D) is needed.
            timeout_seconds: How long to wait for other processes.

        Raises:
            GalleryError: There is a file of that name, or none can be made.
            InvalidInput: `facts` has no usable "embedding_size", or is not JSON.
        """
        size = facts.get("embedding_size")
        if type(size) is not int or size < 1:
            raise InvalidInput(f"expected facts with an embedding_size of at least 1, got {size!r}")
        try:
            rows = [(key, to_json(value)) for key, value in facts.items()]
        except (TypeError, ValueError) as error:
            raise InvalidInput(f"facts of a store must be JSON values ({error})") from error
        statements: list[tuple[str, tuple[Any, ...]]] = [
            (statement, ()) for statement in schema.statements(size)
        ]
        statements += [("insert into fact values(?, ?)", row) for row in rows]
        statements += [
            ("insert into internal values('key', ?)", (secrets.token_bytes(32),)),
            (f"pragma application_id={schema.APPLICATION_ID}", ()),
            (f"pragma user_version={schema.version()}", ()),
        ]
        create_file(Path(path), statements)
        return cls.open(path, timeout_seconds=timeout_seconds)

    @classmethod
    def open(
        cls,
        path: str | os.PathLike[str],
        *,
        is_read_only: bool = False,
        timeout_seconds: float = _TIMEOUT_SECONDS,
    ) -> SqliteStore:
        """Open the store at `path`; where the system forbids writing, for reading only.

        Raises:
            ForeignGallery: There is no store at `path`.
            NewerGallery: It was written by a newer version of ilk.
            DamagedGallery: Its first pages cannot be read.
            GalleryError: It cannot be opened as it is; the message says what to do.
        """
        file = Path(path)
        if not file.is_file():
            raise ForeignGallery(f"there is no gallery at {file}; check the path, or create one")
        mode: Mode = "rw" if not is_read_only and is_writable(file) else "ro"
        return cls(file, mode, timeout_seconds)

    @property
    def facts(self) -> Mapping[str, Any]:
        """What the gallery was made with and is bound to; it never changes."""
        return self._facts

    def version(self) -> Any:
        """Return what differs whenever anything was committed since, by anyone; microseconds."""
        with self._watcher.use() as connection:
            version = connection.wait("pragma data_version")
            return os.getpid(), self._watcher.num_opened, version

    @contextmanager
    def reading(self) -> Iterator[SqliteReader]:
        """Give one consistent view, for the time of a `with` block."""
        with self._reader.use() as connection:
            if self._current is not None:  # an outer block of this thread
                yield self._current
                return
            row = connection.begin_reading("select max(id) from change")
            self._current = SqliteReader(connection, self._size, (row and row[0]) or 0)
            try:
                yield self._current
            finally:
                self._current.end()
                self._current = None
                connection.roll_back()

    @contextmanager
    def changing(self, action: str, *, actor: str = "", call: str = "") -> Iterator[SqliteWriter]:
        """Give one transaction; leaving the `with` block commits it durably, an error undoes it.

        A block that touched nothing leaves no row in the log.

        Raises:
            GalleryError: The store cannot be written (read-only, full disk, damaged, or another
                process held it for too long); the message says what to do. Nothing was changed.
        """
        with self._writing() as connection:
            writer = SqliteWriter(connection, self._size, log_end(connection), now())
            yield writer
            is_touched = writer.finish(action, actor, call)
            writer.end()
            if not is_touched:
                connection.roll_back()

    def erase(
        self,
        *,
        class_ids: Iterable[int] = (),
        exemplar_ids: Iterable[int] = (),
        choose: Callable[[Reader], Chosen] | None = None,
        actor: str = "",
    ) -> Erased:
        """Delete for good: rows, crops, log contents; close their content for later enrollment.

        With a class go all exemplars it has, live or not, and classes that were merged into it;
        with an exemplar all rows of the same content. Unknown probes and strangers of the same
        content go too, and strangers of a group with an erased label. When it returns, the bytes
        of embeddings and labels are nowhere in the store's files. The file is rewritten for that.
        What `choose` says goes too; it looks in the same transaction, and may raise.

        Raises:
            InvalidInput: There is no row of one of the ids.
            GalleryError: As for `changing`; or another process reads an old state, or the disk has
                no room for a second copy, so that bytes stay in the files: the message says that
                the rows are deleted, and the next `erase` or `open` clears the rest.
        """
        with self._writing() as connection:
            chosen = Chosen(tuple(class_ids), tuple(exemplar_ids))
            if choose is not None:
                reader = SqliteReader(connection, self._size, log_end(connection)[0])
                more = choose(reader)
                reader.end()
                chosen = Chosen(
                    chosen.class_ids + more.class_ids, chosen.exemplar_ids + more.exemplar_ids
                )
            receipt = erase_rows(connection, chosen, actor=actor, time=now())
        with self._writer.use() as connection:
            clean(connection, self._timeout_seconds)
        return receipt

    def copy_to(
        self, path: str | os.PathLike[str], facts: Mapping[str, Any], embeddings: Embeddings
    ) -> int:
        """Make a copy under other facts, or bring one up to date; see `Store.copy_to`.

        Raises:
            GalleryError: The copy cannot be written.
        """
        return update_copy(self._path, Path(path), facts, embeddings, self._timeout_seconds)

    def closed(self) -> tuple[bytes, list[bytes]]:
        """Return what was closed as keyed hashes, ascending, and the key to them."""
        with self.reading(), self._reader.use() as connection:
            return read_closed(connection)

    def adopt_closed(self, key: bytes, hashes: Iterable[bytes]) -> None:
        """Take over the key and what was closed under it, in a store where nothing was.

        Raises:
            GalleryError: Something was closed here under another key.
        """
        with self._writing() as connection:
            write_closed(connection, key, hashes)

    def restore(self, past: Past) -> None:
        """Fill an empty store with the rows and the log of another, so that undo goes on.

        Raises:
            InvalidInput: Rows and log do not fit each other, or the store has something in it;
                nothing was changed.
        """
        with self._writing() as connection:
            restore_rows(connection, self._size, past)

    def adopt_suppressed(self, path: str | os.PathLike[str]) -> None:
        """Close the content that an erasure closed in the copy at `path`, too."""
        self._check_writable()
        adopt_suppressed(self._path, Path(path), self._timeout_seconds)

    def check(self) -> list[str]:
        """Look over the whole store; return what is wrong with it, nothing if all is well."""
        try:
            with self.reading(), self._reader.use() as connection:
                return find_faults(connection)
        except DamagedGallery as error:
            return [str(error)]

    def close(self) -> None:
        """Let go of files and locks."""
        for line in (self._reader, self._watcher, self._writer):
            line.close()

    @contextmanager
    def _writing(self) -> Iterator[Connection]:
        """Give a transaction for the time of a `with` block; an error undoes it."""
        self._check_writable()
        with self._writer.use() as connection:
            if self._writer.depth > 1:
                raise GalleryError("a change is being made by this thread; finish it first")
            connection.begin_writing()
            try:
                yield connection
                connection.commit()
            except BaseException:
                connection.roll_back()
                raise

    def _connect(self) -> Connection:
        return connect(self._path, self._mode, self._timeout_seconds)

    def _check_writable(self) -> None:
        if self._mode == "rw":
            return
        if is_writable(self._path):
            raise GalleryError(f"{self._path} was opened for reading only; open it for writing")
        raise GalleryError(
            f"{self._path} cannot be changed: its file or folder is read-only for this user; give "
            "yourself the right to write, or copy the gallery, and open it again"
        )

    def _prepare(self) -> Mapping[str, Any]:
        line = self._writer if self._mode == "rw" else self._reader
        try:
            with line.use() as connection:
                found = check_file(connection)
                if found < schema.version():
                    if self._mode != "rw" and found < schema.OLDEST_READABLE:
                        raise GalleryError(
                            f"{self._path} has version {found}, older than {schema.version()}; "
                            "open it once for writing, which brings it up to date"
                        )
                    if self._mode == "rw":
                        migrate(connection)
                if self._mode == "rw":
                    complete(connection)
                if self._mode == "rw" and has_residue(connection):
                    with suppress(GalleryError):  # somebody still reads an old state
                        clean(connection, 0.0)
                rows = connection.rows("select key, value from fact")
        except BaseException:
            self.close()
            raise
        return MappingProxyType({key: json.loads(value) for key, value in rows})


def now() -> str:
    """Return the time as the log keeps it: ISO 8601, UTC, milliseconds."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")
