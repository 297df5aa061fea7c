"""Erasing takes exactly what was meant, wherever it is, and it stays erased."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from datetime import UTC, date, datetime
from pathlib import Path

import numpy as np
import pytest

from ilk.artifact import Artifact, Cohort, class_hash
from ilk.crop_cache import CropCache, Refusal
from ilk.distances import Euclidean
from ilk.embedding import EmbeddingCache
from ilk.errors import GalleryError, IlkError, InvalidInput, NoSuchClass
from ilk.gallery import Binding, Gallery, changes
from ilk.items import Item
from ilk.store import Chosen, NewExemplar, Reader, Writer

MakeGallery = Callable[..., Gallery]


def at(*places: float) -> np.ndarray:
    return np.array([[place, 1.25] for place in places])


def files_of(gallery: Gallery) -> bytes:
    files = sorted(p for p in gallery.access.location.folder.rglob("*") if p.is_file())
    return b"".join(file.read_bytes() for file in files)


def held(gallery: Gallery) -> dict[str, int]:
    return {row.label: row.num_exemplars for row in gallery.labels()}


def test_an_erasure_never_leaves_somebody_recognised_under_another_name(
    make_gallery: MakeGallery,
) -> None:
    gallery = make_gallery()
    gallery.enroll("Ada", at(1, 2))
    gallery.enroll("Bob", at(10, 11))
    merged = gallery.merge("Ada", "Bob")
    before = len(gallery.history())
    with pytest.raises(
        GalleryError, match=r"exemplars 1, 2 came from 'Ada' .* to 'Bob' now, by ch"
    ):
        gallery.erase("Ada")
    assert (held(gallery), len(gallery.history())) == ({"Bob": 4}, before)
    receipt = gallery.erase("Ada", moved="erase")
    assert (receipt.num_classes, receipt.num_exemplars) == (1, 2)
    assert held(gallery) == {"Bob": 2}
    assert at(1)[0].astype("<f4").tobytes() not in files_of(gallery)
    with pytest.raises(GalleryError, match=f"change {merged} lost content to an erasure"):
        gallery.undo(merged)


@pytest.mark.parametrize("how", ["reassign", "split"])
def test_what_was_moved_out_of_a_class_can_stay(make_gallery: MakeGallery, how: str) -> None:
    gallery = make_gallery()
    gallery.enroll("Ada", at(1, 2))
    gallery.enroll("Bob", at(10))
    if how == "split":
        gallery.split("Ada", [2], "Cleo")
    else:
        gallery.reassign([2], "Bob")
    with pytest.raises(GalleryError, match="exemplar 2 came from 'Ada' and belongs to"):
        gallery.erase("Ada")
    assert gallery.erase("Ada", moved="keep").num_exemplars == 1
    assert held(gallery) == ({"Bob": 1, "Cleo": 1} if how == "split" else {"Bob": 2})
    assert gallery.access.store.check() == []


def test_a_merge_that_was_undone_stands_in_nobodys_way(make_gallery: MakeGallery) -> None:
    gallery = make_gallery()
    gallery.enroll("Ada", at(1, 2))
    gallery.enroll("Bob", at(10, 11))
    gallery.merge("Ada", "Bob")
    gallery.undo()
    assert gallery.erase("Bob").num_exemplars == 2
    assert held(gallery) == {"Ada": 2}


def test_an_old_name_says_the_new_one(make_gallery: MakeGallery) -> None:
    gallery = make_gallery()
    gallery.enroll("Ada", at(1, 2))
    gallery.rename("Ada", "Augusta")
    with pytest.raises(NoSuchClass, match="'Ada' is called 'Augusta' now"):
        gallery.erase("Ada")
    with pytest.raises(InvalidInput, match="moved must be"):
        gallery.erase("Augusta", moved="both")  # type: ignore[arg-type]
    assert gallery.erase("Augusta").num_exemplars == 2


_ERASE = """
import sys
from ilk.errors import IlkError
from ilk.gallery import Gallery
gallery = Gallery.open(sys.argv[1])
gallery.labels()
print("ready", flush=True)
sys.stdin.readline()
try:
    receipt = gallery.erase(sys.argv[2])
    print(receipt.num_classes, receipt.num_exemplars)
except IlkError as error:
    print(error)
"""


def _rename(writer: Writer) -> None:
    changes.rename(writer, "Ada", "VIP")


def _merge(writer: Writer) -> None:
    changes.merge(writer, "Ada", "Bob")


def _swap(writer: Writer) -> None:
    for old, new in (("Ada", "x"), ("Bob", "Ada"), ("x", "Bob")):
        changes.rename(writer, old, new)


def _enroll(writer: Writer) -> None:
    (row,) = at(7).astype(np.float32)
    writer.update("class", [1], "is_live", False)
    writer.update("exemplar", [1, 2], "is_live", False)
    writer.add_exemplars(writer.add_class("Ada"), [NewExemplar(row, "f" * 64, "")])


@pytest.mark.parametrize(
    ("meanwhile", "answer", "left"),
    [
        (_rename, "is called 'VIP' now", {"Bob": 1, "VIP": 2}),
        (_merge, "belong to 'Bob' now", {"Bob": 3}),
        (_swap, "was given another label just now", {"Ada": 1, "Bob": 2}),
        (_enroll, "2 3", {"Bob": 1}),
    ],
)
def test_what_others_change_meanwhile_is_seen(
    make_gallery: MakeGallery,
    tmp_path: Path,
    meanwhile: Callable[[Writer], None],
    answer: str,
    left: dict[str, int],
) -> None:
    """Another process erases while a change of this one is going on."""
    gallery = make_gallery()
    gallery.enroll("Ada", at(1, 2))
    gallery.enroll("Bob", at(10))
    command = [sys.executable, "-c", _ERASE, str(tmp_path / "g"), "Ada"]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) as other:
        assert other.stdin is not None
        assert other.stdout is not None
        assert other.stdout.readline() == "ready\n"
        with gallery.access.store.changing("other", actor="other") as writer:
            other.stdin.write("\n")
            other.stdin.flush()
            time.sleep(0.5)  # it looks, and waits for the lock
            meanwhile(writer)
        said = other.communicate(timeout=60)[0]
    assert answer in said
    assert held(gallery) == left


def test_erasing_while_another_generation_comes_into_use(
    make_gallery: MakeGallery, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An erase that waited for a switch goes to where the gallery is now."""
    gallery = make_gallery()
    gallery.enroll("Ada", at(1, 2))
    other = Gallery.open(gallery.access.location.folder)
    stamps = iter([other.access.location.stamp(), "moved"])
    monkeypatch.setattr(other.access.location, "stamp", lambda: next(stamps, other.access._stamp))
    seen: list[int] = []

    def look(reader: Reader) -> Chosen:
        seen.append(1)
        raise GalleryError("looked")

    with pytest.raises(IlkError, match="looked"):
        other.access.erase(look)
    assert (seen, list(stamps)) == ([1], [])
    other.close()


def test_a_hash_has_one_form(make_gallery: MakeGallery) -> None:
    gallery = make_gallery()
    gallery.enroll("Ada", at(1), content_hashes=["a" * 64])
    (same,) = gallery.enroll("Ada", at(1), content_hashes=["A" * 64])
    assert "enrolled already" in same.reason
    gallery.erase("Ada")
    for form in ("a" * 64, "A" * 64, " sha256:" + "a" * 64):
        (again,) = gallery.enroll("Ada", at(1), content_hashes=[form])
        assert "erased from this gallery for good" in again.reason
    (bare,) = gallery.enroll("Ada", at(1))
    assert "erased from this gallery for good" in bare.reason
    with pytest.raises(InvalidInput, match="a content hash as text, got 7"):
        gallery.enroll("Ada", at(1), content_hashes=[7])  # type: ignore[list-item]


def test_erased_content_is_no_stranger_and_no_unknown_probe(make_gallery: MakeGallery) -> None:
    gallery = make_gallery()
    gallery.enroll("Ada", at(1), content_hashes=["a" * 64])
    gallery.erase("Ada")
    hashes = ["A" * 64, *(f"{i:064x}" for i in range(100))]
    threshold = gallery.calibrate(0.05, strangers=at(1, *range(50, 150)), content_hashes=hashes)
    assert threshold.num_trials == 100
    answers = gallery.identify(at(1))
    assert gallery.keep_unknown(answers, at(1), content_hashes=["A" * 64]) == [None]
    assert at(1)[0].astype("<f4").tobytes() not in files_of(gallery)


def test_consent_can_be_renewed_once_per_content(make_gallery: MakeGallery) -> None:
    gallery = make_gallery()
    gallery.enroll(["Ada", "Ada"], at(1, 2), content_hashes=["a" * 64, "b" * 64])
    gallery.erase("Ada")
    assert gallery.allow(["A" * 64, "c" * 64]) == 1
    assert gallery.allow(["a" * 64]) == 0
    first, second = gallery.enroll("Ada", at(1, 2), content_hashes=["a" * 64, "b" * 64])
    assert (first.is_enrolled, second.is_enrolled) == (True, False)
    (allowed,) = [change for change in gallery.history() if change.action == "allow"]
    assert (allowed.actor, allowed.effects[0].after) == ("ada", 1)
    with pytest.raises(GalleryError, match="erase it again to close it"):
        gallery.undo(allowed.id)
    assert gallery.erase("Ada").num_exemplars == 1
    (again,) = gallery.enroll("Ada", at(1), content_hashes=["a" * 64])
    assert not again.is_enrolled


def test_python_clears_the_caches_too(make_gallery: MakeGallery) -> None:
    """Of embeddings by any encoder, and of crops that training made of the same picture."""
    pixels = np.full((4, 4, 3), 7, np.uint8)
    crop = Item(pixels, "", "").content_hash()
    cache, crops = EmbeddingCache(), CropCache("faces, 112 pixels")
    cache.put("f" * 64, ["a" * 64, "b" * 64], np.ones((2, 3), np.float32))
    assert crops.put_crop("c" * 64, pixels)  # of a picture that was enrolled by its crop
    assert crops.put_crop("d" * 64, pixels + 1)
    crops.put_refusal("a" * 64, Refusal("no_face", "no face was found"))
    gallery = make_gallery()
    gallery.enroll("Ada", at(1, 2), content_hashes=["a" * 64, crop])
    gallery.erase("Ada")
    assert cache.contents() == {"b" * 64}
    assert [crops.get(name * 64) is not None for name in "acd"] == [False, False, True]


def test_the_class_goes_with_its_last_exemplar(make_gallery: MakeGallery) -> None:
    gallery = make_gallery()
    soon = date(2990, 1, 2)
    gallery.enroll("Zaphod", at(1, 2), expires=soon)
    gallery.enroll("Zaphod", at(3), expires=date(2990, 1, 9))
    gallery.enroll("Trillian", at(5), expires=datetime(2990, 1, 2, 23, 59))
    gallery.remove_exemplars([2])
    receipt = gallery.erase_expired(soon)
    assert receipt is not None
    assert (receipt.num_classes, receipt.num_exemplars) == (1, 3)
    assert (held(gallery), b"Trillian" in files_of(gallery)) == ({"Zaphod": 1}, False)
    assert gallery.erase_expired(date(2990, 1, 8)) is None
    assert gallery.erase_expired(date(2991, 1, 1)) is not None
    assert b"Zaphod" not in files_of(gallery)


def test_dates_come_by_themselves(
    make_gallery: MakeGallery, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At opening, and in a process that goes on when the day has come."""
    gallery = make_gallery()
    gallery.enroll("Ada", at(1), expires=date(2990, 1, 2))
    gallery.enroll("Bob", at(10), expires=date(2990, 1, 3))
    assert gallery.identify(at(1))[0].label == "Ada"
    day = ["2990-01-02"]
    monkeypatch.setattr("ilk.gallery.access.this_day", lambda: day[0])
    assert gallery.identify(at(1))[0].label != "Ada"
    assert held(gallery) == {"Bob": 1}
    day[0] = "2990-01-03"
    with Gallery.open(tmp_path / "g") as other:
        assert held(other) == {}
    assert [change.action for change in gallery.history(last=2)] == ["erase", "erase"]


def test_a_gallery_that_cannot_be_written_still_answers(
    make_gallery: MakeGallery, monkeypatch: pytest.MonkeyPatch
) -> None:
    gallery = make_gallery()
    gallery.enroll("Ada", at(1), expires=date(2990, 1, 2))
    monkeypatch.setattr("ilk.gallery.access.this_day", lambda: "2990-01-02")

    def fail(*_: object, **__: object) -> None:
        raise GalleryError("read-only")

    monkeypatch.setattr(gallery.access.store, "erase", fail)
    assert held(gallery) == {"Ada": 1}


def test_a_date_is_a_day_to_come_and_can_be_changed(make_gallery: MakeGallery) -> None:
    gallery = make_gallery()
    (late,) = gallery.enroll("Ada", at(1), expires=date(2020, 1, 1))
    assert "its retention date 2020-01-01 has come" in late.reason
    gallery.enroll("Ada", at(1, 2), expires=date(2990, 1, 2))
    gallery.set_expiry(datetime(2991, 3, 4, 5, tzinfo=UTC), "Ada")
    assert [row.expires for row in gallery.exemplars()] == ["2991-03-04"] * 2
    gallery.set_expiry(None, exemplars=[2])
    assert [row.expires for row in gallery.exemplars()] == ["2991-03-04", None]
    gallery.undo()
    assert [row.expires for row in gallery.exemplars()] == ["2991-03-04"] * 2
    with pytest.raises(InvalidInput, match="or None, got '2990-01-01'"):
        gallery.enroll("Ada", at(3), expires="2990-01-01")  # type: ignore[arg-type]
    with pytest.raises(InvalidInput, match="expected a day after today"):
        gallery.set_expiry(date(2020, 1, 1), "Ada")
    with pytest.raises(InvalidInput, match="a label or exemplars whose date"):
        gallery.set_expiry(None)


def _cohort() -> Cohort:
    names = tuple(class_hash(name) for name in ("Ada", "gull", "tern"))
    return Cohort(
        np.array([[1, 1.25], [40, 0], [7, 1.25], [50, 0]], np.float32),
        np.array([0, 1, 2, 2]),
        names,
    )


def test_an_erased_class_leaves_the_cohort_too(tmp_path: Path) -> None:
    """By its label, under every one that it had, and by embeddings of the same content."""
    bound = Binding(
        distance=Euclidean(), embedding_size=2, encoder_fingerprint="grid", cohort=_cohort()
    )
    gallery = Gallery.create(tmp_path / "g", bound)
    gallery.enroll("Ada", at(1.5))
    gallery.enroll("Bob", at(7.00001))
    gallery.rename("Ada", "Augusta")
    reader = Gallery.open(tmp_path / "g")
    gallery.erase("Augusta")
    for one in (gallery, reader):
        assert one.binding.cohort is not None
        assert one.binding.cohort.class_hashes == (class_hash("gull"), class_hash("tern"))
    gallery.erase("Bob")
    on_disk = Cohort.from_bytes((tmp_path / "g" / "1" / "cohort.npz").read_bytes())
    assert on_disk.embeddings.tolist() == [[40, 0], [50, 0]]
    assert class_hash("Ada").encode("utf-32-le") not in files_of(gallery)
    gallery.close()
    reader.close()


def test_the_cohort_in_the_copy_of_the_artifact_is_written_anew(
    artifact_folder: Path, tmp_path: Path
) -> None:
    with Gallery.create(tmp_path / "g", artifact_folder) as gallery:
        gallery.enroll("owl", np.array([[1.0, 2, 3]]))
        gallery.erase("owl")
        assert gallery.binding.cohort is not None
        assert gallery.binding.cohort.class_hashes == tuple(
            map(class_hash, ("wren", "crane", "stork", "swift"))
        )
    copy = Artifact.load(tmp_path / "g" / "1" / "artifact")
    original = Artifact.load(artifact_folder)
    assert (len(copy.cohort), len(original.cohort)) == (4, 5)
    assert copy.fingerprint == original.fingerprint
    assert copy.onnx() == original.onnx()
    with Gallery.open(tmp_path / "g") as gallery:
        assert gallery.labels() == []
