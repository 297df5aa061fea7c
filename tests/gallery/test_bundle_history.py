"""What a bundle brings beside what is enrolled: history, inbox, closed content."""

from __future__ import annotations

import json
import sqlite3
import zipfile
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ilk.artifact import ArtifactParts, class_hash, write_artifact
from ilk.errors import DamagedGallery, GalleryError
from ilk.gallery import Gallery
from ilk.gallery.bundle_file import BundleWriter
from ilk.store import Reader

MakeGallery = Callable[..., Gallery]


def at(*places: float) -> np.ndarray:
    return np.array([[place, 1.25] for place in places])


def live(gallery: Gallery) -> list[tuple[str, int]]:
    return [(row.label, row.num_exemplars) for row in gallery.labels()]


def everything(reader: Reader) -> list[Any]:
    """All that a reader says, without the rows that an erasure took."""
    return [
        reader.classes(is_live=None),
        reader.exemplars(is_live=None),
        [[str(value) for value in vars(row).values()] for row in reader.unknowns(is_live=None)],
        reader.strangers(is_live=None).groups,
        reader.strangers().ids.tolist(),
        reader.settings(),
        reader.changes(),
        reader.receipts(),
    ]


def lived_in(gallery: Gallery, *, erases: bool = True) -> Gallery:
    """Do one of everything."""
    gallery.enroll(["Ada", "Ada", "Bob"], at(1, 2, 30), crops=[b"a crop", None, None])
    gallery.enroll("Cleo", at(60, 61), expires=date(2990, 1, 2))
    gallery.enroll("Ada", at(3), role="not")
    gallery.enroll("", at(4), role="ignore")
    gallery.remove("Bob")
    gallery.enroll("Bob", at(30))
    gallery.rename("Ada", "Augusta")
    gallery.undo()
    gallery.keep_unknown(gallery.identify(at(500, 501)), at(500, 501), crops=[b"seen", None])
    gallery.discard_unknowns([2])
    gallery.calibrate(0.02, strangers=at(*range(100, 160)))
    gallery.enroll("Dora", at(90), content_hashes=["d" * 64])
    if erases:
        gallery.erase("Dora")
    gallery.merge("Cleo", "Bob")
    return gallery


def test_a_history_goes_on_in_the_import(make_gallery: MakeGallery, tmp_path: Path) -> None:
    first = lived_in(make_gallery())
    first.export(tmp_path / "b", with_history=True)
    answers = first.identify(at(1, 3, 61, 130))
    with Gallery.import_(tmp_path / "b", tmp_path / "copy", actor="carl") as second:
        with (
            first.access.store.reading() as one,
            second.access.store.reading() as other,
        ):
            assert everything(other) == everything(one)
            assert other.crop(1) == b"a crop"
            assert other.unknown_crop(1) == b"seen"
        assert second.threshold == first.threshold
        assert second.identify(at(1, 3, 61, 130)) == answers
        assert second.access.store.check() == []
        second.undo()
        assert live(second) == [("Ada", 2), ("Bob", 1), ("Cleo", 2)]
        assert second.history(last=1)[0].actor == "carl"
        with pytest.raises(GalleryError, match="erased for good and cannot be undone"):
            second.undo()
        (removed,) = [change.id for change in second.history() if change.action == "remove"]
        second.remove("Bob")
        second.undo(removed)
        second.enroll("Eve", at(200))
        assert second.exemplars("Eve")[0].id > max(row.id for row in first.exemplars())
        (again,) = second.enroll("Dora", at(90), content_hashes=["D" * 64])
        assert "erased from this gallery for good" in again.reason
        second.export(tmp_path / "again", with_history=True)
        told = [change.id for change in second.history()]
    with Gallery.import_(tmp_path / "again", tmp_path / "third") as third:
        assert [change.id for change in third.history()] == told


def test_a_bundle_without_history_brings_inbox_and_closed_content(
    make_gallery: MakeGallery, tmp_path: Path
) -> None:
    first = lived_in(make_gallery())
    first.export(tmp_path / "b")
    with Gallery.import_(tmp_path / "b", tmp_path / "copy") as second:
        assert [row.action for row in second.history()] == ["create", "import"]
        assert second.history(last=1)[0].actor == Gallery.open(tmp_path / "copy").access.actor
        assert [(row.name, row.distance, row.has_crop) for row in second.unknowns()] == [
            (row.name, row.distance, row.has_crop) for row in first.unknowns()
        ]
        (again,) = second.enroll("Dora", at(90), content_hashes=["d" * 64])
        assert not again.is_enrolled
    other = make_gallery("other")
    other.enroll_bundle(tmp_path / "b")
    assert (live(other), other.unknowns()) == (live(first), [])
    (mine,) = other.enroll("Dora", at(90), content_hashes=["d" * 64])
    assert mine.is_enrolled  # what others erased is theirs


def test_all_that_is_live_can_be_added_from_one_with_history(
    make_gallery: MakeGallery, tmp_path: Path
) -> None:
    first, other = lived_in(make_gallery()), make_gallery("other")
    first.export(tmp_path / "b", with_history=True)
    other.enroll_bundle(tmp_path / "b")
    assert live(other) == live(first)
    with other.access.reading() as reader:
        assert [reader.crop(row.id) for row in reader.exemplars() if row.has_crop] == [b"a crop"]


def test_an_import_brings_no_class_back_that_was_erased(
    parts: ArtifactParts, tmp_path: Path
) -> None:
    """Not by the cohort of the artifact that it is given."""
    artifact = write_artifact(tmp_path / "artifact", parts)
    with Gallery.create(tmp_path / "g", artifact) as gallery:
        gallery.enroll("owl", np.array([[1.0, 2, 3]]))
        gallery.erase("owl")
        gallery.export(tmp_path / "b")
    with Gallery.import_(tmp_path / "b", tmp_path / "copy", artifact) as copy:
        assert copy.binding.artifact is not None
        assert copy.binding.artifact.cohort.class_hashes == tuple(
            map(class_hash, ("wren", "crane", "stork", "swift"))
        )


def test_what_a_gallery_takes_its_bundle_brings_back(
    make_gallery: MakeGallery, tmp_path: Path
) -> None:
    gallery = make_gallery(strangers=False)
    long = "x" * 10_001
    gallery.enroll("a", at(1), names=[long], content_hashes=[long], expires=date(2990, 1, 2))
    gallery.calibrate(0.5, strangers=at(*range(5)), groups=[f"{long[:499]}{i}" for i in range(5)])
    with sqlite3.connect(tmp_path / "g" / "1" / "gallery.sqlite") as database:  # as once was kept
        database.execute("update exemplar set expires = '2990-01-02T05:00:00'")
    database.close()
    for name, options in (("b", {}), ("c", {"with_history": True})):
        gallery.export(tmp_path / name, **options)
        with Gallery.import_(tmp_path / name, tmp_path / f"{name} copy") as copy:
            (row,) = copy.exemplars()
            assert (row.name, row.content_hash, row.expires) == (long, long, "2990-01-02")
            assert copy.threshold == gallery.threshold


def test_what_may_not_be_kept_is_not_imported(
    make_gallery: MakeGallery, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gallery = make_gallery()
    gallery.enroll("Ada", at(1), expires=date(2990, 1, 2))
    gallery.enroll("Bob", at(10))
    gallery.export(tmp_path / "b")
    for place in ("access", "admission"):
        monkeypatch.setattr(f"ilk.gallery.{place}.this_day", lambda: "2990-01-02")
    other = make_gallery("other")
    ada, bob = other.enroll_bundle(tmp_path / "b")
    assert "its retention date 2990-01-02 has come" in ada.reason
    assert bob.is_enrolled


def _rewritten(path: Path, edit: Callable[[dict[str, Any]], object]) -> Path:
    """Write a bundle with other JSON and right hashes."""
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    manifest = json.loads(members.pop("manifest.json"))
    told = {name: json.loads(text) for name, text in members.items() if name.endswith(".json")}
    edit(told)
    target = path.with_name("edited")
    with BundleWriter.to(target, overwrite=True) as bundle:
        for name, content in members.items():
            if name in told:
                bundle.put_json(name, told[name])
            else:
                bundle.put(name, content)
        keys = ("contract", "artifact", "settings", "threshold", "counts")
        bundle.finish({key: manifest[key] for key in keys})
    return target


def _first(told: dict[str, Any], action: str) -> dict[str, Any]:
    found = next(row for row in told["history.json"] if row["action"] == action)
    assert isinstance(found, dict)
    return found


@pytest.mark.parametrize(
    "edit",
    [
        lambda told: told["history.json"].pop(),
        lambda told: told["history.json"].reverse(),
        lambda told: _first(told, "remove").update(effects=[]),
        lambda told: _first(told, "enroll").update(time=7),
        lambda told: _first(told, "undo").update(undoes=10**9),
        lambda told: _first(told, "rename")["effects"][0].update(field="content_hash"),
        lambda told: _first(told, "enroll")["effects"][0].update(rows=[[1, 10**12]]),
        lambda told: _first(told, "enroll")["effects"][0].update(rows=[[-5, -1]]),
        lambda told: _first(told, "create").update(effects=[]),
        lambda told: told["classes.json"][0].update(id=None),
        lambda told: told["classes.json"][0].update(id=2**60),
        lambda told: told["exemplars.json"][1].update(id=1),
        lambda told: told["exemplars.json"][0].update(is_live="yes"),
        lambda told: told["exemplars.json"][0].update(is_live=False),
        lambda told: told["unknowns.json"][0].update(distance=-1),
    ],
)
def test_a_history_that_does_not_fit_is_refused_whole(
    make_gallery: MakeGallery, tmp_path: Path, edit: Callable[[dict[str, Any]], object]
) -> None:
    lived_in(make_gallery(), erases=False).export(tmp_path / "b", with_history=True)
    with pytest.raises(DamagedGallery, match="nothing was imported"):
        Gallery.import_(_rewritten(tmp_path / "b", edit), tmp_path / "copy")
    assert not (tmp_path / "copy").exists()


@pytest.mark.parametrize(
    "edit",
    [
        lambda told: told["receipts.json"][0].update(num_classes="many"),
        lambda told: told["closed.json"].update(key="00"),
        lambda told: told["closed.json"].update(hashes=["zz"]),
    ],
)
def test_what_erasures_left_is_checked_too(
    make_gallery: MakeGallery, tmp_path: Path, edit: Callable[[dict[str, Any]], object]
) -> None:
    lived_in(make_gallery()).export(tmp_path / "b", with_history=True)
    with pytest.raises(DamagedGallery, match="nothing was imported"):
        Gallery.import_(_rewritten(tmp_path / "b", edit), tmp_path / "copy")
    assert not (tmp_path / "copy").exists()
