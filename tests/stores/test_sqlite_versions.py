"""A file of every version opens and reads right, and an older one is brought up to date, whole."""

from __future__ import annotations

import gzip
import sqlite3
from pathlib import Path
from zlib import crc32

import numpy as np
import pytest

from ilk.errors import GalleryError, NewerGallery
from ilk.store import Effect
from ilk.stores.sqlite import SqliteStore, schema
from ilk.stores.sqlite.connection import Connection
from ilk.testing.store_state import state_of

FILES = Path(__file__).with_name("files")
VERSIONS = range(1, schema.version() + 1)


def unpack(version: int, folder: Path) -> Path:
    path = folder / "gallery.sqlite"
    path.write_bytes(gzip.decompress((FILES / f"version_{version}.sqlite.gz").read_bytes()))
    return path


@pytest.mark.parametrize("version", VERSIONS)
def test_a_file_of_each_version_reads_right(tmp_path: Path, version: int) -> None:
    """What is in the files is said by `files/make.py`."""
    store = SqliteStore.open(unpack(version, tmp_path))
    assert store.check() == []
    assert store.facts["embedding_size"] == 4
    with store.reading() as reader:
        assert [(c.id, c.label, c.num_exemplars) for c in reader.classes()] == [(2, "wren", 3)]
        owl = reader.get_class(1)
        assert owl is not None
        assert (owl.label, owl.is_live) == ("owl", False)
        delta = reader.delta(0)
        assert delta.ids.tolist() == [1, 2, 3, 5]
        assert delta.class_ids.tolist() == [2, 2, 2, -1]
        assert delta.roles.tolist() == [0, 0, 0, 2]
        np.testing.assert_array_equal(delta.embeddings[:, 0], [1, 2, 3, 5])
        first, *_, last = reader.exemplars(is_live=None)
        assert (first.name, first.metadata, first.expires) == ("1.png", {"page": 1}, "2030-01-01")
        assert (reader.crop(1), reader.crop(2)) == (b"a crop", None)
        assert (last.id, last.role, last.class_id) == (5, "ignore", None)
        assert reader.strangers().groups == ("eagle",)
        (unknown,) = reader.unknowns()
        assert (unknown.distance, unknown.name) == (float("inf"), "probe.png")
        assert reader.settings() == {"threshold": 0.25}
        assert [c.action for c in reader.changes()] == [
            *("enroll", "set", "keep", "merge", "erase"),
        ]
        assert Effect("class", "is_live", True, False, ((1, 1),)) in reader.changes()[3].effects
        assert reader.suppressed(["hash 4", "hash 1"]) == {"hash 4"}
        assert reader.receipts()[0].num_exemplars == 1
    with store.changing("enroll") as writer:
        assert (writer.add_class("owl"), writer.change_id) == (3, 6)
    store.close()


def two_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the present version an old one, twice over."""

    def add_column(connection: Connection) -> None:
        connection.run("alter table class add column note text not null default 'none'")

    def fill_column(connection: Connection) -> None:
        connection.run("update class set note = label")

    monkeypatch.setattr(schema, "MIGRATIONS", [*schema.MIGRATIONS, add_column, fill_column])


def version_of(path: Path) -> int:
    database = sqlite3.connect(path)
    (found,) = database.execute("pragma user_version").fetchone()
    database.close()
    return int(found)


def test_an_older_file_is_brought_up_to_date(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, newest = unpack(schema.version(), tmp_path), schema.version()
    store = SqliteStore.open(path)
    with store.reading() as reader:
        before = state_of(reader, ["hash 1", "hash 4"])
    store.close()
    with monkeypatch.context() as patch:
        two_steps(patch)
        patch.setattr(schema, "OLDEST_READABLE", newest + 2)
        with pytest.raises(GalleryError, match="open it once for writing, which brings it up"):
            SqliteStore.open(path, is_read_only=True)
        assert version_of(path) == newest
        for _ in range(2):
            store = SqliteStore.open(path)
            assert version_of(path) == newest + 2
            assert store.check() == []
            with store.reading() as reader:
                assert state_of(reader, ["hash 1", "hash 4"]) == before
            with store._reader.use() as connection:
                notes = connection.rows("select label, note from class order by id")
            assert notes == [("owl", "owl"), ("wren", "wren")]
            store.close()
    with pytest.raises(NewerGallery, match="upgrade ilk"):
        SqliteStore.open(path)


def test_a_migration_that_fails_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, newest = unpack(schema.version(), tmp_path), schema.version()

    def fail(connection: Connection) -> None:
        connection.run("delete from class where id = 1")
        connection.run("insert into nowhere values(1)")

    with monkeypatch.context() as patch:
        two_steps(patch)
        patch.setattr(schema, "MIGRATIONS", [*schema.MIGRATIONS, fail])
        with pytest.raises(GalleryError, match="no such table: nowhere"):
            SqliteStore.open(path)
    assert version_of(path) == newest
    store = SqliteStore.open(path)
    assert store.check() == []
    with store._reader.use() as connection:
        assert "note" not in [row[1] for row in connection.rows("pragma table_info(class)")]
    store.close()


def test_a_file_without_checksums_is_read_as_it_is(tmp_path: Path) -> None:
    """Whoever may not write reads it; whoever may gives every row a checksum, and tokens."""
    path = unpack(1, tmp_path)
    store = SqliteStore.open(path, is_read_only=True)
    with store.reading() as reader:
        before = state_of(reader, ["hash 1"])
        del before["tokens"]
        assert reader.damaged() == []
        assert reader.token(5) is None
    assert (store.check(), version_of(path)) == ([], 1)
    SqliteStore.open(path).close()
    assert version_of(path) == schema.version()
    with store.reading() as reader:  # opened before
        assert state_of(reader, ["hash 1"]).items() >= before.items()
    store.close()
    store = SqliteStore.open(path)
    with store.reading() as reader, store._reader.use() as connection:
        assert state_of(reader, ["hash 1"]).items() >= before.items()
        assert len({reader.token(i) for i in range(1, 6)} - {None}) == 5
        for table in schema.EMBEDDED:
            rows = connection.rows(f"select embedding, checksum from {table}")
            assert rows
            assert all(crc32(embedding) == checksum for embedding, checksum in rows)
    store.close()
