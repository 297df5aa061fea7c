"""Migration: everything goes along, nothing is lost on the way, and there is a way back."""

from __future__ import annotations

import random
import runpy
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from datetime import date
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from ilk.artifact import ArtifactParts, write_artifact
from ilk.bound_encoder import embed_contents
from ilk.datasets import open_source
from ilk.distances import Cosine, Distance, Euclidean, Hyperbolic
from ilk.encoders.onnx import open_encoder
from ilk.errors import GalleryError, InvalidInput, WrongEncoder
from ilk.gallery import Gallery
from ilk.gallery.migration import ComparedProbes, drop_previous, migrate, rollback
from ilk.gallery.migration_report import MigrationReport
from ilk.gallery.moving import Moving
from ilk.recognizer import Recognizer
from ilk.store import NewExemplar, NewUnknown, Reader
from ilk.stores.sqlite import SqliteStore

WORLD = Path(__file__).with_name("migration_world.py")
world: Any = SimpleNamespace(**runpy.run_path(str(WORLD)))


@pytest.fixture
def sources(tmp_path: Path) -> Path:
    return tmp_path / "sources"


@pytest.fixture
def make(tmp_path: Path, sources: Path) -> Iterator[Callable[..., Gallery]]:
    made: list[Gallery] = []

    def make(num_classes: int = 5, name: str = "g", **options: Any) -> Gallery:
        gallery = Gallery.create(
            tmp_path / name, world.binding("a"), actor="ada", searcher="exact", **options
        )
        made.append(gallery)
        for number in range(num_classes):
            world.enroll(gallery, sources, f"class {number}", world.contents_of(number, 3))
        target = 0.5 if num_classes > 2 else 0.67
        gallery.calibrate(target, basis="leave-one-out")
        return gallery

    yield make
    for gallery in made:
        gallery.close()


def move(gallery: Gallery, sources: Path | None, **options: Any) -> MigrationReport:
    return migrate(
        gallery.access, world.binding("b"), world.encoder("b"), sources=sources, **options
    )


def everything(reader: Reader, *, until: int) -> dict[str, Any]:
    """Return what has to be the same before and after."""
    settings = reader.settings()
    settings.pop("migrated_from", None)
    rows = reader.exemplars(is_live=None)
    return {
        "classes": reader.classes(is_live=None),
        "exemplars": rows,
        "crops": [reader.crop(row.id) for row in rows],
        "changes": [change for change in reader.changes() if change.id <= until],
        "settings": settings,
        "receipts": reader.receipts(),
        "strangers": [*reader.strangers().ids, *reader.strangers().groups],
        "unknowns": [(u.id, u.name, u.content_hash, u.time) for u in reader.unknowns()],
    }


def contents_in(gallery: Gallery) -> dict[str, set[str]]:
    with gallery.access.reading() as reader:
        labels = {row.id: row.label for row in reader.classes(is_live=None)}
        found: dict[str, set[str]] = {label: set() for label in labels.values()}
        for row in reader.exemplars():
            found[labels[row.class_id or 0]].add(row.content_hash)
    return found


def check_embeddings(gallery: Gallery, sources: Path) -> None:
    """Every row has the embedding of its file under the gallery's encoder."""
    with gallery.access.reading() as reader:
        rows = reader.exemplars(is_live=None)
        found = reader.embeddings([row.id for row in rows])
    files = [(sources / row.name).read_bytes() for row in rows]
    expected = world.embeddings(gallery.binding.encoder_fingerprint[0], files)
    if isinstance(gallery.binding.distance, Cosine):
        expected /= np.linalg.norm(expected, axis=1, keepdims=True)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)


def test_all_goes_along_and_embeddings_are_new(make: Callable[..., Gallery], sources: Path) -> None:
    gallery = make()
    crop = world.contents_of(50, 2)
    world.enroll(
        gallery,
        sources,
        "with more",
        crop,
        crops=crop,
        metadata=[{"a": [1, None]}, {}],
        expires=date(2031, 5, 1),
    )
    world.enroll(gallery, sources, "class 1", world.contents_of(51, 1), role="not")
    gallery.rename("class 0", "zero")
    gallery.merge("class 1", "class 2")
    gallery.remove("class 3")
    gallery.erase("class 4")
    with gallery.access.reading() as reader:
        sequence = reader.sequence()
        before = everything(reader, until=sequence)
        closed = reader.suppressed(world.hashes_of(world.contents_of(4, 3)))
    report = move(gallery, sources)
    assert report.is_switched
    assert (report.generation_before, report.generation_after) == (1, 2)
    assert (report.num_from_sources, report.num_from_crops, report.lost) == (15, 0, ())
    assert gallery.binding.encoder_fingerprint == "b" * 20
    with gallery.access.reading() as reader:
        assert everything(reader, until=sequence) == before
        assert reader.suppressed(world.hashes_of(world.contents_of(4, 3))) == closed
        assert len(closed) == 3
        assert reader.changes()[-1].action == "migrate"
        assert reader.changes()[-1].actor == "ada"
    assert gallery.access.store.check() == []
    check_embeddings(gallery, sources)
    (again,) = gallery.identify(world.embeddings("b", world.contents_of(0, 1)))
    assert again.label == "zero"
    assert again.threshold == gallery.threshold == report.threshold_after


def test_history_goes_on_so_that_changes_of_before_can_be_undone(
    make: Callable[..., Gallery], sources: Path
) -> None:
    gallery = make()
    gallery.remove("class 3")
    gallery.merge("class 1", "class 2")
    merged = gallery.history()[-1].id
    move(gallery, sources)
    with pytest.raises(GalleryError, match="moved the gallery to another encoder"):
        gallery.undo(gallery.history()[-1].id)
    with pytest.raises(GalleryError, match=rf"`ilk gallery rollback` leads.* {merged} \(merge\)"):
        gallery.undo()
    removed = gallery.history()[-3].id
    assert gallery.undo(merged).id == merged
    assert gallery.undo(removed).action == "remove"
    assert [row.label for row in gallery.labels()] == [f"class {i}" for i in range(5)]
    answers = gallery.identify(world.embeddings("b", [world.contents_of(i, 1)[0] for i in (1, 3)]))
    assert [answer.label for answer in answers] == ["class 1", "class 3"]


def test_an_exemplar_whose_enrollment_was_undone_stops_nothing(
    make: Callable[..., Gallery], sources: Path
) -> None:
    gallery = make()
    contents = world.contents_of(9, 2)
    world.enroll(gallery, sources, "class 9", contents)
    gallery.undo()
    (sources / "class 9/1.bin").unlink()
    report = move(gallery, sources)
    assert report.is_switched
    assert [(row.name, row.is_live) for row in report.lost] == [("class 9/1.bin", False)]
    gallery.remove_exemplars([1])
    gallery.undo()
    assert len(gallery.labels()) == 5


def test_what_is_missing_stops_it_unless_allowed(
    make: Callable[..., Gallery], sources: Path
) -> None:
    gallery = make()
    gallery.remove("class 3")
    (sources / "class 1/0.bin").unlink()
    (sources / "class 2/1.bin").write_bytes(b"another file")
    (sources / "class 3/2.bin").unlink()
    with gallery.access.reading() as reader:
        before = everything(reader, until=99)
    with pytest.raises(GalleryError, match=r"3 exemplars .* class 1/0.bin of 'class 1' \(no crop"):
        move(gallery, sources)
    assert sorted(p.name for p in Path(str(gallery.access.location)).iterdir()) == [
        ".migration",
        "1",
        "CURRENT",
    ]
    with gallery.access.reading() as reader:
        assert everything(reader, until=99) == before
    report = move(gallery, sources, allow_missing=True)
    assert [(row.name, row.is_live) for row in report.lost] == [
        ("class 1/0.bin", True),
        ("class 2/1.bin", True),
        ("class 3/2.bin", False),
    ]
    assert {row.label: row.num_exemplars for row in gallery.labels()} == {
        "class 0": 3,
        "class 1": 2,
        "class 2": 2,
        "class 4": 3,
    }
    gallery.undo(gallery.history()[-2].id)
    assert gallery.labels()[3].num_exemplars == 2
    assert gallery.access.store.check() == []
    check_embeddings(gallery, sources)


def test_a_file_counts_by_its_content_and_a_crop_stands_in(
    make: Callable[..., Gallery], sources: Path
) -> None:
    gallery = make(2)
    contents = world.contents_of(9, 3)
    ids = world.enroll(gallery, sources, "mixed", contents, crops=[None, *contents[1:]])
    (sources / "mixed/0.bin").rename(sources / "moved elsewhere")
    (sources / "mixed/1.bin").write_bytes(world.contents_of(10, 1)[0])
    report = move(gallery, sources)
    assert (report.num_from_sources, report.num_from_crops) == (8, 1)
    with gallery.access.reading() as reader:
        found = reader.embeddings(ids)
    np.testing.assert_allclose(found, world.embeddings("b", contents), rtol=1e-6)


def test_names_that_lead_out_of_the_folder_are_not_followed(
    make: Callable[..., Gallery], sources: Path, tmp_path: Path
) -> None:
    gallery = make()
    contents = world.contents_of(9, 1)
    (tmp_path / "outside.bin").write_bytes(contents[0])
    gallery.enroll(
        "out",
        world.embeddings("a", contents),
        names=["../outside.bin"],
        content_hashes=world.hashes_of(contents),
    )
    with pytest.raises(GalleryError, match=r"1 exemplar .*outside.bin"):
        move(gallery, sources)
    with pytest.raises(InvalidInput, match="the folder of the sources"):
        move(gallery, tmp_path / "nowhere")


def test_strangers_come_along_by_content_or_the_threshold_is_not_given_up_silently(
    make: Callable[..., Gallery], sources: Path, tmp_path: Path
) -> None:
    gallery = make()
    contents = [world.contents_of(100 + i, 1)[0] for i in range(12)]
    gallery.calibrate(
        0.2,
        strangers=world.embeddings("a", contents),
        groups=[f"stranger {i}" for i in range(12)],
        content_hashes=world.hashes_of(contents),
    )
    with pytest.raises(GalleryError, match=r"no threshold any more.*12 strangers"):
        move(gallery, sources)
    report = move(gallery, sources, allow_missing=True, switch=False)
    assert (report.threshold_after, report.num_strangers) == (None, 0)
    assert "cannot carry" in report.not_calibrated
    world.write(sources, "of strangers", contents)
    report = move(gallery, sources)
    assert report.num_strangers == 12
    assert gallery.threshold.num_trials == 12
    assert gallery.settings.basis == "strangers"


def test_a_change_of_lost_strangers_cannot_be_undone(
    make: Callable[..., Gallery], sources: Path
) -> None:
    gallery = make()
    contents = [world.contents_of(100 + i, 1)[0] for i in range(12)]
    gallery.calibrate(
        0.3,
        strangers=world.embeddings("a", contents),
        content_hashes=world.hashes_of(contents),
    )
    gallery.calibrate(0.4, basis="leave-one-out")
    move(gallery, sources)
    log = [change for change in gallery.history() if change.action == "calibrate"]
    assert [change.is_erased for change in log] == [False, True, False]
    assert gallery.undo(log[2].id).effects[0].table == "setting"
    with pytest.raises(GalleryError, match="lost content to an erasure or a migration"):
        gallery.undo(log[1].id)


def test_kept_unknowns_come_along_with_their_distance_measured_anew(
    make: Callable[..., Gallery], sources: Path
) -> None:
    gallery = make()
    known, lost = world.contents_of(60, 1), world.contents_of(61, 1)
    near = world.contents_of(0, 1)
    with gallery.access.store.changing("keep") as writer:
        for content, crop in ((known, known[0]), (lost, None), (near, near[0])):
            row = world.embeddings("a", content)[0].astype(np.float32)
            writer.add_unknowns(
                [NewUnknown(row, world.hashes_of(content)[0] + "u", "who", float("inf"), crop)]
            )
    report = move(gallery, sources, allow_missing=True)
    assert [row.id for row in report.lost_of("unknown")] == [2]
    far, close = gallery.unknowns()
    assert (far.id, close.id, close.distance) == (1, 3, 0.0)
    mine = world.embeddings("b", [c for i in range(5) for c in world.contents_of(i, 3)])
    expected = np.linalg.norm(mine - world.embeddings("b", known), axis=1).min()
    assert far.distance == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("templates", ["every", "mean", "medoids:2"])
@pytest.mark.parametrize("distance", [Cosine(), Euclidean(), Hyperbolic()])
def test_an_identical_encoder_changes_no_decision(
    tmp_path: Path, sources: Path, distance: Distance, templates: str
) -> None:
    bound = world.binding("a", distance)
    probes = world.embeddings("a", [world.contents_of(i, 4)[3] for i in range(60)]) / 300
    with Gallery.create(tmp_path / "g", bound, templates=templates) as gallery:
        for number in range(40):
            contents = world.contents_of(number, 3)
            gallery.enroll(
                f"class {number}",
                world.embeddings("a", contents) / 300,
                names=world.write(sources, f"class {number}", contents),
                content_hashes=world.hashes_of(contents),
            )
        gallery.remove("class 7")
        gallery.calibrate(0.1, basis="leave-one-out")
        before, threshold = gallery.identify(probes), gallery.threshold
        report = migrate(
            gallery.access,
            bound,
            lambda contents: [row / 300 for row in world.embed("a", contents)],
            sources=sources,
            probes=ComparedProbes([str(i) for i in range(60)], probes, probes),
        )
        assert report.changed == ()
        assert len(report.decisions) == 60
        assert {pair.after for pair in report.decisions} >= {"unknown", "class 3"}
        assert gallery.identify(probes) == before
        assert gallery.threshold == threshold == report.threshold_after


def test_the_report_tells_what_changes_before_anything_does(
    make: Callable[..., Gallery], sources: Path, tmp_path: Path
) -> None:
    gallery = make()
    probes = [world.contents_of(i, 4)[3] for i in range(8)]
    after = world.embeddings("b", probes)
    after[0] = 1e5
    compared = ComparedProbes([f"p{i}" for i in range(8)], world.embeddings("a", probes), after)
    asked: list[MigrationReport] = []

    def no(report: MigrationReport) -> bool:
        assert gallery.binding.encoder_fingerprint[0] == "a"
        asked.append(report)
        return False

    report = move(gallery, sources, probes=compared, confirm=no)
    assert asked == [report]
    assert not report.is_switched
    pair = report.changed[0]
    assert (pair.name, pair.before, pair.after) == ("p0", "class 0", "unknown")
    assert report.decisions[1].after == "class 1"
    report.write(tmp_path / "report.json")
    assert '"after": "unknown"' in (tmp_path / "report.json").read_text()
    assert move(gallery, sources, probes=compared, switch=False) == report
    assert gallery.binding.encoder_fingerprint[0] == "a"
    assert not list(Path(str(gallery.access.location)).glob(".*.partial"))


def test_changes_during_a_migration_are_caught_up(
    make: Callable[..., Gallery], sources: Path
) -> None:
    gallery = make(6)
    place = Path(str(gallery.access.location))
    with Gallery.open(place, actor="bob", searcher="exact") as other:
        steps: list[Callable[[], Any]] = [
            lambda: world.enroll(other, sources, "during", world.contents_of(20, 2)),
            lambda: world.enroll(other, sources, "during", world.contents_of(21, 2)[:1]),
        ]
        last: list[Callable[[], Any]] = [
            lambda: (other.rename("class 0", "x"), other.rename("class 1", "class 0")),
            lambda: other.rename("x", "class 1"),
            lambda: other.merge("class 2", "class 3"),
            lambda: other.remove("during"),
            lambda: other.undo(),
            lambda: world.enroll(other, sources, "late", world.contents_of(22, 2)),
        ]

        def embed(contents: Any) -> Any:
            if steps:
                steps.pop(0)()
            (answer,) = other.identify(world.embeddings("a", world.contents_of(5, 1)))
            assert answer.label == "class 5"
            return world.embed("b", contents)

        def confirm(report: MigrationReport) -> bool:
            while last:
                last.pop(0)()
            return True

        (sources / "during").mkdir()
        migrate(gallery.access, world.binding("b"), embed, sources=sources, confirm=confirm)
        for one in (gallery, other):
            assert {k: len(v) for k, v in contents_in(one).items()} == {
                "class 0": 3,
                "class 1": 3,
                "class 2": 0,
                "class 3": 6,
                "class 4": 3,
                "class 5": 3,
                "during": 3,
                "late": 2,
            }
            assert contents_in(one)["class 0"] == set(world.hashes_of(world.contents_of(1, 3)))
        assert other.binding.encoder_fingerprint[0] == "b"
        assert other.undo(other.history()[-2].id).action == "enroll"
    assert gallery.access.store.check() == []


def test_what_comes_between_embedding_and_copying_is_not_lost(
    make: Callable[..., Gallery], sources: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gallery, copy, labels = make(), Moving.copy, iter(["first"])
    place = Path(str(gallery.access.location))
    with Gallery.open(place, searcher="exact") as other:

        def copy_late(moving: Moving) -> None:
            for label in labels:
                world.enroll(other, sources, label, world.contents_of(40, 2))
            copy(moving)

        monkeypatch.setattr(Moving, "copy", copy_late)
        move(gallery, sources)
    assert len(contents_in(gallery)["first"]) == 2
    assert len(gallery.exemplars()) == 17


def test_an_erasure_during_a_migration_reaches_what_was_copied(
    make: Callable[..., Gallery], sources: Path
) -> None:
    gallery = make(6)
    place = Path(str(gallery.access.location))
    with Gallery.open(place, searcher="exact") as other:

        def confirm(report: MigrationReport) -> bool:
            other.erase("class 2")
            return True

        move(gallery, sources, confirm=confirm)
        assert "class 2" not in contents_in(gallery)
        (answer,) = gallery.enroll(
            "again",
            world.embeddings("b", world.contents_of(2, 1)),
            content_hashes=world.hashes_of(world.contents_of(2, 1)),
        )
        assert "erased" in answer.reason
    gallery.close()
    everywhere = b"".join(path.read_bytes() for path in place.rglob("*") if path.is_file())
    assert b"class 1" in everywhere
    assert b"class 2" not in everywhere
    assert world.embeddings("b", world.contents_of(2, 1)).astype("<f4").tobytes() not in everywhere


def test_an_erasure_after_a_migration_reaches_the_generation_before(
    make: Callable[..., Gallery], sources: Path
) -> None:
    gallery = make()
    place = Path(str(gallery.access.location))
    other_way = world.contents_of(30, 1)
    (first,) = world.enroll(gallery, sources, "class 1", other_way)
    (lost,) = world.enroll(gallery, sources, "spare", world.contents_of(31, 1))
    (sources / "spare/0.bin").unlink()
    move(gallery, sources, allow_missing=True)
    gallery.rename("class 2", "new name")
    world.enroll(gallery, sources, "fresh", world.contents_of(31, 1))
    gallery.erase("new name")
    gallery.erase("fresh")
    assert lost > first
    gallery.close()
    old = (place / "1" / "gallery.sqlite").read_bytes()
    for gone in ("class 2", "new name"):
        for path in place.rglob("*"):
            assert not path.is_file() or gone.encode() not in path.read_bytes()
    row = world.embeddings("a", world.contents_of(31, 1))
    kept = world.embeddings("a", world.contents_of(0, 1))
    for one, is_there in ((row, False), (kept, True)):
        unit = (one / np.linalg.norm(one)).astype("<f4")[0]
        assert (unit.tobytes() in old) is is_there


def test_rollback_leads_back_and_what_was_erased_stays_so(
    make: Callable[..., Gallery], sources: Path
) -> None:
    gallery = make()
    place = Path(str(gallery.access.location))
    with pytest.raises(GalleryError, match="no earlier generation"):
        rollback(place)
    probes = world.embeddings("a", [world.contents_of(i, 4)[3] for i in range(8)])
    before = gallery.identify(probes)
    move(gallery, sources)
    assert rollback(place) == 1
    with pytest.raises(WrongEncoder, match="bound to encoder aaaa"):
        gallery.identify(world.embeddings("b", world.contents_of(1, 1)))
    assert gallery.identify(probes) == before
    assert not (place / "2").exists()
    move(gallery, sources)
    world.enroll(gallery, sources, "late", world.contents_of(22, 2))
    gallery.erase("late")
    gallery.erase("class 4")
    gallery.rename("class 0", "zero")
    with pytest.raises(GalleryError, match=r"by change 9 \(enroll\), 12 \(rename\)"):
        rollback(place)
    assert gallery.binding.encoder_fingerprint[0] == "b"
    rollback(place, discard=True)
    assert [row.label for row in gallery.labels()] == [f"class {i}" for i in range(4)]
    for number in (4, 22):
        contents = world.contents_of(number, 2)
        answers = gallery.enroll(
            "x", world.embeddings("a", contents), content_hashes=world.hashes_of(contents)
        )
        assert ["erased" in answer.reason for answer in answers] == [True, True]
    assert gallery.access.store.check() == []


def test_dropping_the_previous_generation_disturbs_nobody(
    make: Callable[..., Gallery], sources: Path
) -> None:
    gallery = make()
    place = Path(str(gallery.access.location))
    with Gallery.open(place, searcher="exact") as writes, Gallery.open(place) as reads:
        move(gallery, sources)
        assert drop_previous(place) == [1]
        writes.remove("class 1")
        assert reads.binding.encoder_fingerprint[0] == "b"
        (answer,) = reads.identify(world.embeddings("b", world.contents_of(2, 1)))
        assert answer.label == "class 2"
    assert drop_previous(place) == []
    assert [row.label for row in gallery.labels()] == ["class 0", "class 2", "class 3", "class 4"]
    with pytest.raises(GalleryError, match="no earlier generation"):
        rollback(place)


def test_embeddings_of_the_old_encoder_are_refused_once_it_is_gone(
    make: Callable[..., Gallery], sources: Path
) -> None:
    gallery = make()
    row = world.embeddings("a", world.contents_of(1, 1))
    acts: list[Callable[[Gallery], Any]] = [
        lambda g: g.identify(row),
        lambda g: g.identify_set(row),
        lambda g: g.verify("class 1", row),
        lambda g: g.enroll("class 1", row + 1, guard="off"),
        lambda g: g.calibrate(0.5, strangers=np.repeat(row, 9, 0)),
        lambda g: g.keep_unknown([], row[:0]),
    ]
    others = [Gallery.open(str(gallery.access.location), searcher="exact") for _ in acts]
    same_size = replace(world.binding("b"), embedding_size=4)
    migrate(gallery.access, same_size, world.encoder("a"), sources=sources)
    for other, act in zip(others, acts, strict=True):
        with other, pytest.raises(WrongEncoder, match=r"bound to encoder bbbb.*got aaaa"):
            act(other)
    assert gallery.history()[-1].action == "migrate"


def test_only_one_migration_at_a_time(make: Callable[..., Gallery], sources: Path) -> None:
    gallery = make()
    place = Path(str(gallery.access.location))

    def confirm(report: MigrationReport) -> bool:
        with Gallery.open(place, searcher="exact") as other:
            for act in (lambda: move(other, sources), lambda: rollback(place)):
                with pytest.raises(GalleryError, match="being migrated or rolled back"):
                    act()
        return True

    assert move(gallery, sources, confirm=confirm).is_switched


def test_encoders_keep_to_their_gallery(
    tmp_path: Path, parts: ArtifactParts, picture_folder: Path
) -> None:
    """Two real artifacts, real pictures: from crops alone, and from files."""
    make_onnx = runpy.run_path(str(Path(__file__).parents[1] / "conftest.py"))["make_linear_onnx"]
    weights = np.random.default_rng(8).normal(size=(16, 3)).astype(np.float32)
    first = write_artifact(tmp_path / "first", parts)
    second = write_artifact(tmp_path / "second", replace(parts, onnx=make_onnx(weights)))
    for name, keep_crops, folder in (("a", True, None), ("b", False, picture_folder)):
        with Recognizer.create(tmp_path / name, first) as recognizer:
            items = open_source(picture_folder)
            assert all(a.is_enrolled for a in recognizer.enroll(items, keep_crops=keep_crops))
            recognizer.gallery.calibrate(0.67, basis="leave-one-out")
            report = migrate(
                recognizer.gallery.access,
                second,
                partial(embed_contents, open_encoder(second)),
                sources=folder,
            )
            assert (report.num_from_crops, report.num_from_sources) == (
                (6, 0) if keep_crops else (0, 6)
            )
        with Recognizer.open(tmp_path / name) as recognizer:
            assert recognizer.encoder.fingerprint == report.encoder_after
            path = picture_folder / "owl" / "0.png"
            (answer,) = recognizer.identify([path])
            assert answer.candidates[0].label == "owl"
            assert answer.distance == pytest.approx(0, abs=1e-6)


def test_a_copy_is_brought_up_to_date_whatever_happened_since(tmp_path: Path) -> None:
    store = SqliteStore.create(tmp_path / "a.sqlite", {"embedding_size": 2, "x": 1})
    asked: list[tuple[str, list[int]]] = []

    def make(table: str, ids: Any) -> dict[int, np.ndarray]:
        asked.append((table, list(ids)))
        return {row: np.full(3, row, np.float32) for row in ids if row != 2}

    def rows(*numbers: int) -> list[NewExemplar]:
        return [NewExemplar(np.zeros(2, np.float32), f"h{n}", crop=b"c") for n in numbers]

    with store.changing("enroll") as writer:
        one, two = writer.add_class("one"), writer.add_class("two")
        writer.add_exemplars(one, rows(1, 2, 3))
    facts = {"embedding_size": 3, "x": 2}
    assert store.copy_to(tmp_path / "b.sqlite", facts, make) == 1
    with store.changing("swap") as writer:
        writer.update("class", [one], "label", "new")
        writer.update("class", [two], "label", "one")
        writer.update("class", [one], "label", "two")
        writer.update("exemplar", [3], "class_id", two)
        writer.add_exemplars(two, rows(4))
    asked.clear()
    assert store.copy_to(tmp_path / "b.sqlite", facts, make) == 2
    assert asked == [("exemplar", [3, 4])]
    with closing(SqliteStore.open(tmp_path / "b.sqlite")) as copy:
        assert dict(copy.facts) == facts
        assert copy.check() == []
        with copy.reading() as reader, store.reading() as source:
            assert reader.classes(is_live=None) == [
                type(row)(row.id, row.label, row.is_live, 1 if row.id == one else 2)
                for row in source.classes(is_live=None)
            ]
            assert reader.embeddings([1, 3, 4]).tolist() == [[1] * 3, [3] * 3, [4] * 3]
            assert reader.crop(4) == b"c"
            assert reader.changes()[0].effects[1].rows == ((1, 1), (3, 3))
            assert reader.changes()[1] == source.changes()[1]
    store.erase(exemplar_ids=[1])
    assert store.copy_to(tmp_path / "b.sqlite", facts, make) == 3
    with closing(SqliteStore.open(tmp_path / "b.sqlite")) as copy:
        with copy.reading() as reader:
            assert [row.id for row in reader.exemplars(is_live=None)] == [3, 4]
            assert reader.suppressed(["h1", "h2"]) == {"h1"}
        assert copy.check() == []
    store.close()


def check_after_death(place: Path, sources: Path, enrolled: set[str]) -> str:
    """Look over a gallery whose migration died; return the encoder that it is bound to."""
    with Gallery.open(place, searcher="exact") as gallery:
        assert gallery.access.store.check() == []
        found = {row.label: row.num_exemplars for row in gallery.labels()}
        assert {f"class {i}" for i in range(20)} | enrolled <= found.keys()
        assert {label: found[label] for label in enrolled} == dict.fromkeys(enrolled, 2)
        check_embeddings(gallery, sources)
        assert gallery.threshold.value > 0
        return gallery.binding.encoder_fingerprint[0]


@pytest.mark.parametrize("point", world.POINTS)
def test_death_at_a_point_leaves_the_old_or_the_new(
    make: Callable[..., Gallery], sources: Path, point: str
) -> None:
    gallery = make(20)
    place = Path(str(gallery.access.location))
    gallery.close()
    done = subprocess.run(
        [sys.executable, str(WORLD), str(place), str(sources), point],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 9, done.stderr
    assert check_after_death(place, sources, set()) == ("b" if point == "in use" else "a")
    with Gallery.open(place, searcher="exact") as left:
        left.erase("class 3")
        for path in place.rglob("*"):
            is_partial = any(part.endswith(".partial") for part in path.parts)
            assert is_partial or not path.is_file() or b"class 3" not in path.read_bytes()
        which = "a" if point == "in use" else "b"
        migrate(left.access, world.binding(which), world.encoder(which), sources=sources)
    numbers = {"1", "2", "3"} if point == "in use" else {"1", "2"}
    assert {p.name for p in place.iterdir()} == numbers | {"CURRENT", ".migration"}


def run_and_kill(place: Path, sources: Path, seconds: float) -> tuple[set[str], list[str]]:
    """Let a process enroll and migrate for some time and kill it; return what it acknowledged."""
    command = [sys.executable, str(WORLD), str(place), str(sources)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        lines = [process.stdout.readline()]
        time.sleep(seconds)
        process.kill()
        lines += process.stdout.readlines()
    told = [line.strip().partition(" ") for line in lines if line.endswith("\n")]
    enrolled = {rest for word, _, rest in told if word == "enrolled"}
    return enrolled, [rest for word, _, rest in told if word == "migrated"]


def kill_again_and_again(gallery: Gallery, sources: Path, num_trials: int, seed: int) -> int:
    place = Path(str(gallery.access.location))
    gallery.close()
    chance, enrolled, num_migrated = random.Random(seed), set[str](), 0
    for _ in range(num_trials):
        told, migrated = run_and_kill(place, sources, chance.uniform(0.05, 0.8))
        enrolled |= told
        num_migrated += len(migrated)
        check_after_death(place, sources, enrolled)
    assert enrolled
    return num_migrated


def test_kills_during_migrations_lose_nothing_acknowledged(
    make: Callable[..., Gallery], sources: Path
) -> None:
    assert kill_again_and_again(make(20), sources, 2, seed=1) >= 0


@pytest.mark.slow
def test_many_kills_during_migrations_lose_nothing_acknowledged(
    make: Callable[..., Gallery], sources: Path
) -> None:
    assert kill_again_and_again(make(20), sources, 40, seed=2) > 10
