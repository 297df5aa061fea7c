"""After an erasure nothing of it is left: not in answers, not in the log, not in any byte."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from ilk.errors import GalleryError, InvalidInput
from ilk.store import NewExemplar, NewStranger, NewUnknown, Reader
from ilk.stores.sqlite import SqliteStore

MakeRows = Callable[..., list[NewExemplar]]
ReadBytes = Callable[[], bytes]


def enroll(store: SqliteStore, label: str, rows: list[NewExemplar]) -> int:
    with store.changing("enroll", actor="ada") as writer:
        class_id = writer.add_class(label)
        writer.add_exemplars(class_id, rows)
    return class_id


def traces(label: str, rows: list[NewExemplar]) -> list[bytes]:
    """What must be nowhere."""
    found = [label.encode()]
    for row in rows:
        assert row.crop is not None
        found += [
            row.embedding.tobytes(),
            row.crop[:60],
            row.name.encode(),
            row.content_hash.encode(),
        ]
        found += [str(note).encode() for note in row.metadata.values()]
    return found


def test_no_byte_is_left(store: SqliteStore, rows: MakeRows, read_files: ReadBytes) -> None:
    """With renames, moves, notes, an unknown probe, strangers and a name of the past."""
    gone, kept = rows(60, "gone"), rows(60, "kept")
    enroll(store, "kept-label", kept[:30])
    first = enroll(store, "gone-label", gone[:40])
    enroll(store, "kept-label-2", kept[30:])
    with store.changing("enroll") as writer:
        writer.add_exemplars(first, gone[40:])
        writer.add_unknowns(
            [NewUnknown(gone[3].embedding, gone[3].content_hash, "gone-probe", 1.0)]
        )
        generator = np.random.default_rng(1)
        stranger = generator.normal(size=8).astype(np.float32)
        writer.add_strangers([NewStranger(stranger, "gone-stranger-hash", "gone-label-renamed")])
        writer.add_strangers([NewStranger(stranger + 1, "kept-stranger-hash", "kept-group")])
    with store.changing("rename") as writer:
        writer.update("class", [first], "label", "gone-label-renamed")
        members = [row.id for row in writer.exemplars(first)]
        writer.update("exemplar", members[:9], "name", "gone-new-name")
        writer.update("exemplar", members[:5], "metadata", {"gone-key": "gone-value"})
        writer.update("exemplar", members[20:30], "is_live", False)
    words = [*traces("gone-label", gone), b"gone-", stranger.tobytes()]
    before = read_files()
    assert all(word in before for word in words)

    receipt = store.erase(class_ids=[first], actor="ada")
    after = read_files()
    assert [word for word in words if word in after] == []
    assert all(word in after for word in traces("kept-label", kept))
    store.close()
    after = read_files()
    assert [word for word in words if word in after] == []
    counts = (receipt.num_classes, receipt.num_exemplars, receipt.num_unknowns)
    assert counts == (1, 60, 1)
    assert (receipt.num_strangers, receipt.num_changes, receipt.change_id) == (1, 3, 6)


def test_the_file_is_rewritten(
    store: SqliteStore, rows: MakeRows, read_files: ReadBytes, path: Path
) -> None:
    """So that what SQLite itself did not overwrite is gone too, and the room is given back."""
    new = rows(60)
    enroll(store, "gone-label", new)
    store.close()
    size = path.stat().st_size
    store = SqliteStore.open(path)
    with store._writer.use() as connection:
        connection.run("pragma secure_delete=off")
    store.erase(class_ids=[1])
    assert [word for word in traces("gone-label", new) if word in read_files()] == []
    store.close()
    assert path.stat().st_size < size / 2


def test_what_stays_after_an_erasure(store: SqliteStore, path: Path, rows: MakeRows) -> None:
    new = rows(6)
    first, second = enroll(store, "first", new[:3]), enroll(store, "second", new[3:])
    with store.changing("annotate", actor="ada", call="c") as writer:
        writer.update("exemplar", range(1, 7), "expires", "2030-01-01")
    receipt = store.erase(class_ids=[first], actor="bob")
    with store.reading() as reader:
        assert [row.id for row in reader.exemplars(is_live=None)] == [4, 5, 6]
        one, two, three, four = reader.changes()
        assert (one.effects, one.is_erased, one.action, one.actor) == ((), True, "enroll", "ada")
        assert not two.is_erased
        assert [(e.field, e.rows) for e in three.effects] == [("expires", ((4, 6),))]
        assert (three.is_erased, three.call) == (True, "c")
        assert (four.action, four.actor, four.effects) == ("erase", "bob", ())
        hashes = [row.content_hash for row in new]
        assert reader.suppressed(hashes) == set(hashes[:3])
        assert reader.receipts() == [receipt]
        delta = reader.delta(2)
        assert delta.erased.tolist() == [1, 2, 3]
        assert delta.ids.tolist() == [4, 5, 6]
    with store._reader.use() as connection:
        key = connection.value("select value from internal where key = 'key'")
    digests = sorted(hmac.new(key, h.encode(), hashlib.sha256).digest() for h in hashes[:3])
    assert receipt.digest == hashlib.sha256(b"".join(digests)).hexdigest()
    assert enroll(store, "third", rows(1, "next")) == second + 1
    with store.reading() as reader:
        assert [row.id for row in reader.exemplars(second + 1)] == [7]
    assert store.check() == []


def test_ids_are_never_used_again(store: SqliteStore, path: Path, rows: MakeRows) -> None:
    for i in range(3):
        class_id = enroll(store, "label", rows(2, f"again-{i}"))
        assert class_id == i + 1
        store.erase(class_ids=[class_id])
    store.close()
    again = SqliteStore.open(path)
    assert enroll(again, "label", rows(1, "last")) == 4
    with again.reading() as reader:
        assert [row.id for row in reader.exemplars()] == [7]
    again.close()


def test_a_class_that_was_merged_goes_too(
    store: SqliteStore, rows: MakeRows, read_files: ReadBytes
) -> None:
    one, other = (
        enroll(store, "gone-one", rows(3, "one")),
        enroll(store, "gone-other", rows(3, "b")),
    )
    bystander = enroll(store, "bystander", rows(3, "c"))
    with store.changing("merge") as writer:
        writer.update("exemplar", [1, 2], "class_id", other)
        writer.update("exemplar", [3], "is_live", False)
        writer.update("class", [one], "is_live", False)
    with store.changing("reassign") as writer:
        writer.update("exemplar", [7], "class_id", other)
    with store.changing("remove") as writer:
        writer.update("exemplar", [8, 9], "is_live", False)
        writer.update("class", [bystander], "is_live", False)
    receipt = store.erase(class_ids=[other])
    assert (receipt.num_classes, receipt.num_exemplars) == (2, 7)
    assert b"gone-" not in read_files()
    with store.reading() as reader:
        assert [row.label for row in reader.classes(is_live=None)] == ["bystander"]
        assert [row.id for row in reader.exemplars(is_live=None)] == [8, 9]
    assert store.check() == []


def test_all_rows_of_the_same_content_go(
    store: SqliteStore, rows: MakeRows, read_files: ReadBytes
) -> None:
    (row,) = rows(1)
    first = enroll(store, "first", [row])
    with store.changing("move") as writer:
        writer.update("exemplar", [1], "is_live", False)
        writer.add_exemplars(writer.add_class("second"), [row])
        writer.add_exemplars(first, [row], role="not")
    assert store.erase(exemplar_ids=[2]).num_exemplars == 3
    assert row.embedding.tobytes() not in read_files()


def test_erasing_nothing_that_is_there(store: SqliteStore, rows: MakeRows) -> None:
    enroll(store, "owl", rows(2))
    with pytest.raises(InvalidInput, match="expected ids of table exemplar, not all of 2-3 are"):
        store.erase(class_ids=[1], exemplar_ids=[2, 3])
    with store.reading() as reader:
        assert (reader.sequence(), len(reader.exemplars())) == (1, 2)
    assert store.erase(class_ids=[1], exemplar_ids=[2]).num_exemplars == 2


def test_a_reader_of_an_old_state_delays_the_rewriting(
    store: SqliteStore, path: Path, rows: MakeRows, read_files: ReadBytes
) -> None:
    new = rows(20)
    first = enroll(store, "gone-label", new)
    other = SqliteStore.open(path)

    def erase_meanwhile() -> Reader:
        with other.reading() as reader:
            assert len(reader.exemplars()) == 20
            with pytest.raises(GalleryError, match="the rows are deleted for everybody, but bytes"):
                store.erase(class_ids=[first])
            assert len(reader.exemplars()) == 20
            return reader

    erase_meanwhile()
    with store.reading() as reader:
        assert (reader.exemplars(is_live=None), reader.receipts()[0].num_exemplars) == ([], 20)
    store.close()
    assert new[0].embedding.tobytes() in read_files()
    again = SqliteStore.open(path)
    assert [word for word in traces("gone-label", new) if word in read_files()] == []
    again.close()
    other.close()


def test_the_next_erasure_clears_what_was_left(
    store: SqliteStore, path: Path, rows: MakeRows, read_files: ReadBytes
) -> None:
    new = rows(20)
    enroll(store, "gone-label", new[:10])
    enroll(store, "gone-too", new[10:])
    other = SqliteStore.open(path)
    with other.reading() as reader:
        reader.classes()
        with pytest.raises(GalleryError, match="open the gallery again"):
            store.erase(class_ids=[1])
    store.erase(class_ids=[2])
    assert [word for word in traces("gone-", new) if word in read_files()] == []
    other.close()
