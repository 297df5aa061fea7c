"""What a store says when the world is not as it should be; nothing is ever half done."""

from __future__ import annotations

import os
import pickle
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ilk.errors import DamagedGallery, ForeignGallery, GalleryError, InvalidInput, NewerGallery
from ilk.store import NewExemplar, NewUnknown
from ilk.stores.sqlite import SqliteStore, schema

D = 8
FACTS = {"embedding_size": D}
PAGE = 32_768

MakeRows = Callable[..., list[NewExemplar]]


def fill(store: SqliteStore, rows: MakeRows, count: int = 30, prefix: str = "row") -> int:
    with store.changing("enroll") as writer:
        class_id = writer.add_class(prefix)
        writer.add_exemplars(class_id, rows(count, prefix))
    return class_id


def labels(store: SqliteStore) -> list[str]:
    with store.reading() as reader:
        return [row.label for row in reader.classes()]


def test_create_refuses_an_existing_file(path: Path) -> None:
    path.write_bytes(b"mine")
    with pytest.raises(GalleryError, match="expected no file"):
        SqliteStore.create(path, FACTS)
    assert path.read_bytes() == b"mine"
    assert os.listdir(path.parent) == [path.name]


def test_create_needs_a_folder_and_facts(tmp_path: Path) -> None:
    with pytest.raises(GalleryError, match=r"expected a folder .*nowhere"):
        SqliteStore.create(tmp_path / "nowhere" / "gallery.sqlite", FACTS)
    for facts in ({}, {"embedding_size": 0}, {"embedding_size": "8"}, {"embedding_size": True}):
        with pytest.raises(InvalidInput, match="embedding_size of at least 1"):
            SqliteStore.create(tmp_path / "gallery.sqlite", facts)
    with pytest.raises(InvalidInput, match="JSON"):
        SqliteStore.create(tmp_path / "gallery.sqlite", {"embedding_size": 8, "x": b"bytes"})
    assert os.listdir(tmp_path) == []


def test_there_is_nothing_to_open(path: Path) -> None:
    with pytest.raises(ForeignGallery, match="there is no gallery at"):
        SqliteStore.open(path)
    assert not path.exists()


@pytest.mark.parametrize("content", [b"", b"a text, and not a short one" * 100])
def test_a_file_that_is_no_database(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    with pytest.raises(ForeignGallery, match="is not a gallery"):
        SqliteStore.open(path)
    assert path.read_bytes() == content


def test_a_database_of_somebody_else(path: Path) -> None:
    with sqlite3.connect(path) as database:
        database.execute("create table change(id)")
    database.close()
    with pytest.raises(ForeignGallery, match="is not a gallery; check the path"):
        SqliteStore.open(path)


def test_a_newer_version(store: SqliteStore, path: Path) -> None:
    store.close()
    database = sqlite3.connect(path)
    database.execute(f"pragma user_version={schema.version() + 1}")
    database.close()
    for is_read_only in (False, True):
        told = f"version {schema.version() + 1}, this ilk reads up to {schema.version()}; upgrade"
        with pytest.raises(NewerGallery, match=told):
            SqliteStore.open(path, is_read_only=is_read_only)


def test_the_settings_of_the_file(store: SqliteStore) -> None:
    with store._writer.use() as connection:
        values = {
            name: connection.value(f"pragma {name}")
            for name in ("page_size", "journal_mode", "synchronous", "foreign_keys")
        }
        deletion = connection.value("pragma secure_delete")
    assert values == {
        "page_size": PAGE,
        "journal_mode": "wal",
        "synchronous": 2,
        "foreign_keys": 1,
    }
    assert deletion == 1


def test_the_schema_itself_refuses_another_length(store: SqliteStore, rows: MakeRows) -> None:
    fill(store, rows, 1)
    with (
        pytest.raises(GalleryError, match="CHECK constraint failed"),
        store._writer.use() as connection,
    ):
        connection.run("update exemplar set embedding = x'00'")


@pytest.mark.parametrize(
    ("embedding", "message"),
    [
        (np.zeros(D), "float64"),
        (np.zeros(D - 1, np.float32), r"\(7,\)"),
        (np.zeros((1, D), np.float32), r"\(1, 8\)"),
        (np.full(D, np.inf, np.float32), "finite"),
        ([0.0] * D, "list"),
    ],
)
def test_embeddings_are_checked(store: SqliteStore, embedding: Any, message: str) -> None:
    sound = NewExemplar(np.zeros(D, np.float32), "a")
    with pytest.raises(InvalidInput, match=message), store.changing("enroll") as writer:
        writer.add_exemplars(writer.add_class("owl"), [sound, NewExemplar(embedding, "b")])
    assert labels(store) == []


def test_embeddings_may_lie_as_they_like(store: SqliteStore) -> None:
    whole = np.arange(4 * D * 3, dtype=np.float32).reshape(4 * D, 3)
    views = [whole[i * D : (i + 1) * D, 1] for i in range(4)]
    whole.flags.writeable = False
    with store.changing("enroll") as writer:
        new = [NewExemplar(view, str(i)) for i, view in enumerate(views)]
        ids = writer.add_exemplars(writer.add_class("owl"), new)
        np.testing.assert_array_equal(
            writer.embeddings(ids[::-1] + ids[:1]), [*views[::-1], views[0]]
        )
    with store.reading() as reader, pytest.raises(InvalidInput, match="1 do not exist"):
        reader.embeddings([1, 99])


def test_what_cannot_be_written_down_is_refused(store: SqliteStore) -> None:
    row = NewExemplar(np.zeros(D, np.float32), "a")
    with store.changing("enroll") as writer:
        with pytest.raises(InvalidInput, match="UTF-8"):
            writer.add_class("caf\udce9")
        with pytest.raises(InvalidInput, match="empty"):
            writer.add_class("")
        class_id = writer.add_class("café")
        with pytest.raises(InvalidInput, match="JSON"):
            writer.add_exemplars(
                class_id, [NewExemplar(row.embedding, "a", metadata={"x": float("nan")})]
            )
        with pytest.raises(InvalidInput, match="a class for role"):
            writer.add_exemplars(None, [row])
        with pytest.raises(InvalidInput, match="one can set label, is_live, got 'id'"):
            writer.update("class", [class_id], "id", 7)
        with pytest.raises(InvalidInput, match="a role among"):
            writer.update("exemplar", [], "role", "friend")
        with pytest.raises(InvalidInput, match="distance of at least 0"):
            writer.add_unknowns([NewUnknown(row.embedding, "a", "", float("nan"))])
        with pytest.raises(InvalidInput, match="JSON value"):
            writer.set("key", {1, 2})
        named = NewExemplar(row.embedding, "a", "caf\udce9.png")
        writer.add_exemplars(class_id, [named])
    with store.reading() as reader:
        assert [(row.name, row.is_live) for row in reader.exemplars()] == [("caf\\udce9.png", True)]
    assert store.check() == []


def test_a_failure_that_was_caught_is_not_committed(store: SqliteStore, rows: MakeRows) -> None:
    fill(store, rows, 3)
    again = rows(5, "new") + rows(1, "row")

    def change() -> None:
        with store.changing("x") as writer:
            class_id = writer.add_class("second")
            with pytest.raises(GalleryError, match="UNIQUE"):
                writer.add_exemplars(class_id, again)

    with pytest.raises(GalleryError, match="nothing was changed"):
        change()
    assert labels(store) == ["row"]
    assert store.check() == []


def test_views_end_with_their_block(store: SqliteStore) -> None:
    with store.reading() as reader:
        pass
    with pytest.raises(GalleryError, match="has ended"):
        reader.classes()
    with store.changing("x") as writer:
        writer.add_class("owl")
    with pytest.raises(GalleryError, match="has ended"):
        writer.add_class("wren")
    with (
        store.changing("x"),
        pytest.raises(GalleryError, match="finish it first"),
        store.changing("y"),
    ):
        pass
    with store.reading() as reader, pytest.raises(InvalidInput, match="read everything again"):
        reader.delta(9)
    store.close()
    with pytest.raises(GalleryError, match="closed"), store.reading():
        pass


def test_reading_goes_on_during_a_change(store: SqliteStore, rows: MakeRows) -> None:
    fill(store, rows, 2)
    version = store.version()
    found: list[Any] = []

    def read() -> None:
        with store.reading() as reader:
            found.append(([row.label for row in reader.classes()], store.version()))

    with store.changing("enroll") as writer:
        writer.add_class("second")
        thread = threading.Thread(target=read)
        thread.start()
        thread.join(20)
        with store.reading() as reader:
            found.append(([row.label for row in reader.classes()], store.version()))
    assert found == [(["row"], version)] * 2
    assert store.version() != version


def test_another_process_holds_the_file(store: SqliteStore, path: Path, rows: MakeRows) -> None:
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("begin immediate")
    with pytest.raises(GalleryError, match=r"held by another process for more than 0\.5 s"):
        fill(store, rows)
    assert labels(store) == []
    other.execute("rollback")
    other.close()
    fill(store, rows)


def test_a_truncated_file(store: SqliteStore, path: Path, rows: MakeRows) -> None:
    fill(store, rows, 100)
    store.close()
    with path.open("r+b") as file:
        file.truncate(path.stat().st_size - 5 * PAGE)
    with pytest.raises(DamagedGallery, match=r"gallery\.sqlite is damaged .*\.recover"):
        read_all(path)


def test_every_page_that_is_overwritten_is_noticed(
    store: SqliteStore, path: Path, rows: MakeRows
) -> None:
    """Garbage in any page of a table or index: an error of ours or a fault, never a crash."""
    with store.changing("enroll") as writer:
        for i in range(3):
            new = [replace(row, crop=b"crop" if i else None) for row in rows(300, f"class-{i}")]
            writer.add_exemplars(writer.add_class(f"class-{i}"), new)
    store.close()
    whole = path.read_bytes()
    noise = np.random.default_rng(0).bytes(PAGE)
    num_silent = 0
    for start in range(0, len(whole), PAGE):
        path.write_bytes(whole[:start] + noise + whole[start + PAGE :])
        for leftover in (f"{path}-wal", f"{path}-shm"):
            Path(leftover).unlink(missing_ok=True)
        try:
            found = SqliteStore.open(path)
        except (DamagedGallery, ForeignGallery):
            continue
        with suppress(DamagedGallery):
            read_all(path)
        num_silent += found.check() == []
        found.close()
    assert num_silent == 0


def read_all(path: Path) -> None:
    store = SqliteStore.open(path)
    try:
        with store.reading() as reader:
            reader.delta(0)
            reader.classes(is_live=None)
            reader.changes()
            for row in reader.exemplars(is_live=None):
                reader.crop(row.id)
    finally:
        store.close()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=6m", "tmpfs", str(folder)]
    if shutil.which("mount") is None or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("mounting a small file system is not allowed here")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def test_a_full_disk(small_disk: Path, rows: MakeRows) -> None:
    store = SqliteStore.create(small_disk / "gallery.sqlite", FACTS)
    known: list[str] = []

    def fill_up() -> None:
        while len(known) < 100:
            fill(store, rows, 20, f"class-{len(known)}")
            known.append(f"class-{len(known)}")

    with pytest.raises(GalleryError, match=r"disk of .* is full; nothing was changed; free"):
        fill_up()
    assert known
    assert labels(store) == sorted(known)
    with pytest.raises(GalleryError, match=r"rows are deleted|disk of"):
        store.erase(class_ids=[1])
    with store.reading() as reader:
        is_deleted = reader.get_class(1) is None
    assert labels(store) == sorted(known[1:] if is_deleted else known)
    store.close()
    again = SqliteStore.open(small_disk / "gallery.sqlite")
    assert again.check() == []
    again.close()


def test_a_limit_of_pages(store: SqliteStore, rows: MakeRows) -> None:
    fill(store, rows, 2, "first")
    with store._writer.use() as connection:
        pages = connection.value("pragma page_count")
        connection.run(f"pragma max_page_count={pages}")
    with pytest.raises(GalleryError, match="is full; nothing was changed"):
        fill(store, rows, 50, "second")
    assert labels(store) == ["first"]
    assert store.check() == []


def become_a_reader() -> None:
    """Be no superuser any more, for whom rights do not count."""
    if os.getuid() == 0:
        os.setgid(65534)
        os.setuid(65534)


def as_reader(act: Callable[[], Any]) -> Any:
    """Run `act` in a child that is no superuser, for whom rights count; return its result."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            become_a_reader()
            result = act()
        except BaseException as error:
            result = error
        with os.fdopen(writing, "wb") as pipe:
            pickle.dump(result, pipe)
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        result = pickle.load(pipe)
    os.waitpid(child, 0)
    if isinstance(result, BaseException):
        raise result
    return result


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that another user may enter."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o755)
    yield folder
    folder.chmod(0o755)
    shutil.rmtree(folder)


@pytest.mark.skipif(sys.platform == "win32", reason="needs fork and rights of files")
def test_a_read_only_folder(open_folder: Path, rows: MakeRows) -> None:
    path = open_folder / "gallery.sqlite"
    store = SqliteStore.create(path, FACTS)
    fill(store, rows)
    store.close()
    path.chmod(0o644)
    open_folder.chmod(0o555)

    def look() -> tuple[list[str], list[str]]:
        found = SqliteStore.open(path)
        assert found.version() == found.version()
        messages = []
        for act in (lambda: fill(found, rows), lambda: found.erase(class_ids=[1])):
            try:
                act()
            except GalleryError as error:
                messages.append(str(error))
        assert found.check() == []
        return labels(found), messages

    known, messages = as_reader(look)
    assert known == ["row"]
    assert len(messages) == 2
    assert all("cannot be changed: its file or folder is read-only" in m for m in messages)
    with pytest.raises(GalleryError, match=r"cannot be (written to|made)"):
        as_reader(lambda: SqliteStore.create(open_folder / "other.sqlite", FACTS))


@pytest.mark.skipif(sys.platform == "win32", reason="needs fork and rights of files")
def test_a_read_only_folder_that_others_write_to(open_folder: Path, rows: MakeRows) -> None:
    path = open_folder / "gallery.sqlite"
    SqliteStore.create(path, FACTS).close()
    path.chmod(0o644)
    told, tell = os.pipe()
    heard, hear = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.close(tell)
            become_a_reader()
            found = SqliteStore.open(path, is_read_only=True)
            while os.read(told, 1):
                os.write(hear, ",".join(["now", *labels(found)]).encode() + b"\n")
        except BaseException as error:
            os.write(hear, f"{error!r}\n".encode())
        finally:
            os._exit(0)
    os.close(told)
    os.close(hear)

    def ask() -> str:
        os.write(tell, b".")
        return answers.readline().strip()

    with os.fdopen(heard) as answers:
        assert ask() == "now"
        store = SqliteStore.open(path)
        fill(store, rows, 3, "open")
        assert ask() == "now,open"
        fill(store, rows, 3, "still")
        assert ask() == "now,open,still"
        store.close()
        assert ask() == "now,open,still"
        store = SqliteStore.open(path)
        store.erase(class_ids=[1])
        store.close()
        assert ask() == "now,still"
        os.close(tell)
    os.waitpid(child, 0)


def test_opened_for_reading_only(store: SqliteStore, path: Path, rows: MakeRows) -> None:
    fill(store, rows)
    found = SqliteStore.open(path, is_read_only=True)
    before = found.version()
    with pytest.raises(GalleryError, match="opened for reading only; open it for writing"):
        fill(found, rows, 1, "new")
    fill(store, rows, 1, "new")
    assert found.version() != before
    assert labels(found) == ["new", "row"]
    found.close()


def test_check_tells_what_rows_and_log_disagree_on(store: SqliteStore, rows: MakeRows) -> None:
    fill(store, rows, 4)
    with store._writer.use() as connection:
        nan = np.full(D, np.nan, np.float32).tobytes().hex()
        connection.run("update exemplar set is_live = 0 where id = 2")
        connection.run("update class set label = 'other', touched = 9")
        connection.run(f"update exemplar set embedding = x'{nan}', checksum = null where id = 3")
        connection.run(f"update exemplar set embedding = x'{nan}' where id = 4")
    faults = store.check()
    assert any("exemplar 2 has is_live False, the log says True" in f for f in faults)
    assert any("class 1 was touched by a change that is not in the log" in f for f in faults)
    assert any("the embedding of exemplar 3 is not finite" in f for f in faults)
    assert any("the embedding of exemplar 4 is damaged: it is not what was" in f for f in faults)
    assert len(faults) == 4
