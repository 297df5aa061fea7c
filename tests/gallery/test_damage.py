"""Bytes that change in the file, and files that are put in each other's place."""

from __future__ import annotations

import logging
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from ilk.errors import DamagedGallery
from ilk.gallery import Gallery, snapshot
from ilk.stores.sqlite import deltas

Make = Callable[..., Gallery]
Log = pytest.LogCaptureFixture


def damage(place: Path, table: str, row: int) -> None:
    """Flip one bit of an embedding where it lies in the file."""
    path = place / "1" / "gallery.sqlite"
    with closing(sqlite3.connect(path)) as database:
        (found,) = database.execute(f"select embedding from {table} where id = ?", [row]).fetchone()
    content = bytearray(path.read_bytes())
    at = content.find(found)
    assert at > 0
    assert content.find(found, at + 1) < 0
    content[at + 2] ^= 1
    path.write_bytes(content)


def fill(gallery: Gallery) -> None:
    """Enroll owls at 0, 1 and 2, wrens at 50 and 51."""
    points = np.array([[x, 0.5] for x in (0.0, 1.0, 2.0, 50.0, 51.0)])
    gallery.enroll(["owl"] * 3 + ["wren"] * 2, points, names=[f"{i}.png" for i in range(1, 6)])


@pytest.mark.parametrize("templates", ["every", "mean", "medoids:2"])
@pytest.mark.parametrize("basis", ["strangers", "leave-one-out"])
def test_a_damaged_exemplar_is_named_and_never_compared(
    make_gallery: Make, tmp_path: Path, caplog: Log, templates: str, basis: str
) -> None:
    """Opening, following, export and health leave it out or name it; removing it mends all."""
    gallery = make_gallery(templates=templates)
    fill(gallery)
    if basis != "strangers":
        gallery.calibrate(0.7, basis="leave-one-out")
    gallery.close()
    damage(tmp_path / "g", "exemplar", 2)
    with caplog.at_level(logging.WARNING), Gallery.open(tmp_path / "g") as damaged:
        assert "1 damaged exemplar of the gallery" in caplog.text
        assert "2 ('2.png')" in caplog.text
        assert f"`ilk gallery remove --exemplar 2 {tmp_path / 'g'}`" in caplog.text
        (at_it,) = damaged.identify(np.array([[1.0, 0.5]]))
        assert at_it.candidates[0].distance == pytest.approx(1.0 if templates != "mean" else 0.0)
        problems = damaged.health().problems
        assert len(problems) == 1
        assert "the embedding of exemplar 2 is damaged" in problems[0]
        damaged.export(tmp_path / "bundle")
        damaged.enroll("wren", np.array([[52.0, 0.5]]))  # what follows goes on
        with (
            damaged.access.reading() as reader,
            pytest.raises(DamagedGallery, match=r"exemplar 2 in .* is damaged"),
        ):
            reader.embeddings([1, 2])
        damaged.remove_exemplars([2])
        damaged.enroll("owl", np.array([[1.0, 0.5]]))
        (again,) = damaged.identify(np.array([[1.0, 0.5]]))
        assert again.candidates[0].distance == pytest.approx(0.0, abs=1e-6)
        damaged.erase(exemplars=[2])
        assert damaged.health().problems == ()
    with Gallery.import_(tmp_path / "bundle", tmp_path / "other", gallery.access.binding) as other:
        assert [row.name for row in other.exemplars()] == [f"{i}.png" for i in (1, 3, 4, 5)]


@pytest.mark.usefixtures("kept_at_once")
def test_a_row_damaged_behind_a_snapshot_is_noticed_when_it_is_read(
    make_gallery: Make, tmp_path: Path
) -> None:
    """The snapshot still has the sound row, so answers are right; what reads the file names it."""
    gallery = make_gallery()
    fill(gallery)
    gallery.close()
    assert (tmp_path / "g" / "1" / "snapshot").is_file()
    damage(tmp_path / "g", "exemplar", 2)
    with Gallery.open(tmp_path / "g") as damaged:
        (answer,) = damaged.identify(np.array([[1.0, 0.5]]))
        assert (answer.label, answer.distance) == ("owl", 0.0)
        assert "exemplar 2 is damaged" in damaged.health().problems[0]
        with pytest.raises(DamagedGallery, match=r"exemplar 2 .* remove the exemplar"):
            damaged.calibrate(0.7, basis="leave-one-out")
        damaged.remove_exemplars([2])
        damaged.calibrate(0.7, basis="leave-one-out")


@pytest.mark.usefixtures("kept_at_once")
def test_a_gallery_that_leaves_one_out_opens_beside_a_snapshot_of_a_row_damaged_since(
    make_gallery: Make, tmp_path: Path
) -> None:
    gallery = make_gallery()
    fill(gallery)
    gallery.calibrate(0.7, basis="leave-one-out")
    gallery.close()
    damage(tmp_path / "g", "exemplar", 2)
    with Gallery.open(tmp_path / "g") as damaged:
        (answer,) = damaged.identify(np.array([[1.0, 0.5]]))
        assert answer.candidates[0].distance == 1.0
        assert damaged.threshold.num_trials == 4


def test_damaged_strangers_and_unknown_probes_are_left_out(
    make_gallery: Make, tmp_path: Path
) -> None:
    gallery = make_gallery()
    fill(gallery)
    probes = np.array([[20.0, 500.0], [21.0, -700.0]])
    gallery.keep_unknown(gallery.identify(probes), probes)
    trials = gallery.threshold.num_trials
    gallery.close()
    damage(tmp_path / "g", "stranger", 7)
    damage(tmp_path / "g", "unknown", 1)
    with Gallery.open(tmp_path / "g") as damaged:
        assert [row.id for row in damaged.unknowns()] == [2]
        with damaged.access.reading() as reader:
            assert 7 not in reader.strangers().ids
            assert len(reader.strangers().ids) == 98
        assert damaged.access.store.check() == [
            f"the embedding of {what} is damaged: it is not what was written; it is left out of "
            "every comparison"
            for what in ("stranger 7", "unknown 1")
        ]
    assert trials == 99


@pytest.fixture
def kept_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Write a snapshot at every closing."""
    monkeypatch.setattr("ilk.gallery.state._SAVE_FROM", 1)


def backup(source: Path, target: Path) -> None:
    target.unlink(missing_ok=True)
    with closing(sqlite3.connect(source)) as here, closing(sqlite3.connect(target)) as there:
        here.backup(there)


def labels_near(place: Path, x: float) -> list[str | None]:
    with Gallery.open(place, actor="ada") as gallery:
        (answer,) = gallery.identify(np.array([[x, 0.5]]))
        return [answer.label, answer.candidates[0].label]


@pytest.mark.usefixtures("kept_at_once")
@pytest.mark.parametrize("num_later", [0, 1, 2])
def test_a_restored_backup_beside_a_later_snapshot(
    make_gallery: Make, tmp_path: Path, num_later: int
) -> None:
    """The snapshot is of another history, whether its number is beyond the end or not."""
    gallery = make_gallery()
    fill(gallery)
    gallery.close()
    store = tmp_path / "g" / "1" / "gallery.sqlite"
    backup(store, tmp_path / "backup")
    with Gallery.open(tmp_path / "g") as mistaken:
        mistaken.enroll("mistake", np.array([[1.0, 0.6]]))
        mistaken.enroll("mistake", np.array([[1.0, 0.4]]))
    kept = (tmp_path / "g" / "1" / "snapshot").read_bytes()
    backup(tmp_path / "backup", store)
    (tmp_path / "g" / "1" / "snapshot").unlink()
    for i in range(num_later):  # by somebody without the snapshot
        with Gallery.open(tmp_path / "g") as going_on:
            going_on.enroll(f"right {i}", np.array([[70.0 + i, 0.5]]))
    (tmp_path / "g" / "1" / "snapshot").write_bytes(kept)
    assert labels_near(tmp_path / "g", 1.0) == ["owl", "owl"]
    with Gallery.open(tmp_path / "g") as there:
        assert "mistake" not in [row.label for row in there.labels()]
        (answer,) = there.identify(np.array([[1.0, 0.61]]), num_candidates=9)
        assert "mistake" not in [candidate.label for candidate in answer.candidates]


@pytest.mark.usefixtures("kept_at_once")
def test_a_copy_that_went_on_beside_the_snapshot_of_the_original(
    make_gallery: Make, tmp_path: Path
) -> None:
    gallery = make_gallery()
    fill(gallery)
    gallery.close()
    shutil.copytree(tmp_path / "g", tmp_path / "copy")
    with Gallery.open(tmp_path / "g") as here:
        here.enroll("here", np.array([[1.0, 0.6]]))
    with Gallery.open(tmp_path / "copy") as there:
        there.enroll("there", np.array([[70.0, 0.5]]))
    backup(tmp_path / "copy" / "1" / "gallery.sqlite", tmp_path / "g" / "1" / "gallery.sqlite")
    assert labels_near(tmp_path / "g", 1.0) == ["owl", "owl"]
    assert labels_near(tmp_path / "g", 70.0) == ["there", "there"]


@pytest.mark.usefixtures("kept_at_once")
def test_an_unchanged_gallery_is_read_from_its_snapshot(
    make_gallery: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gallery = make_gallery()
    fill(gallery)
    gallery.close()
    reads: list[int] = []
    real = deltas.read_delta

    def noting(*arguments: object) -> object:
        delta = real(*arguments)  # type: ignore[arg-type]
        reads.append(len(delta.ids))
        return delta

    monkeypatch.setattr("ilk.stores.sqlite.reading.read_delta", noting)
    Gallery.open(tmp_path / "g").close()
    assert sum(reads) == 0


@pytest.mark.usefixtures("kept_at_once")
def test_an_erasure_writes_the_snapshot_without_the_rows(
    make_gallery: Make, tmp_path: Path
) -> None:
    gallery = make_gallery()
    fill(gallery)
    gallery.close()
    kept = tmp_path / "g" / "1" / "snapshot"
    row = np.array([50.0, 0.5], np.float32).tobytes()
    assert row in kept.read_bytes()
    with Gallery.open(tmp_path / "g") as erasing:
        erasing.erase("wren")
        assert kept.is_file()
        assert row not in kept.read_bytes()
        assert np.array([2.0, 0.5], np.float32).tobytes() in kept.read_bytes()
    assert labels_near(tmp_path / "g", 1.0) == ["owl", "owl"]


@pytest.mark.usefixtures("kept_at_once")
def test_others_write_while_a_snapshot_is_written_and_an_erasure_stops_it(
    make_gallery: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever closes does not hold up others, and brings nothing back that they erase."""
    gallery = make_gallery()
    fill(gallery)
    other = Gallery.open(tmp_path / "g", actor="bob")
    real = snapshot._write

    def meanwhile(change: Callable[[], object]) -> None:
        def write(*arguments: object) -> None:
            real(*arguments)  # type: ignore[arg-type]
            monkeypatch.setattr(snapshot, "_write", real)
            change()

        monkeypatch.setattr(snapshot, "_write", write)

    folder = tmp_path / "g" / "1"
    meanwhile(lambda: other.enroll("wren", np.array([[52.0, 0.5]])))
    gallery.access.save()
    assert (folder / "snapshot").is_file()
    assert labels_near(tmp_path / "g", 52.0) == ["wren", "wren"]
    row = np.array([50.0, 0.5], np.float32).tobytes()
    assert row in (folder / "snapshot").read_bytes()
    (folder / "snapshot").unlink()
    gallery.identify(np.array([[0.0, 0.0]]))
    meanwhile(lambda: other.erase("wren"))
    gallery.access.save()
    names = {path.name for path in folder.iterdir()}
    assert not [name for name in names if name.endswith(".partial")]
    assert row not in b"".join(p.read_bytes() for p in folder.iterdir() if p.is_file())
    other.close()
