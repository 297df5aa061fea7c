"""Pictures in, decisions out: with a small real encoder in front of a real gallery."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from ilk.artifact import ArtifactParts, write_artifact
from ilk.bound_encoder import embed_contents
from ilk.crops import crop_of, open_crop
from ilk.datasets import open_source
from ilk.detector import Region
from ilk.encoders.onnx import open_encoder
from ilk.errors import GalleryError, InvalidInput, UnreadableItem, WrongEncoder
from ilk.gallery import Gallery
from ilk.gallery.migration import migrate
from ilk.images import Box
from ilk.items import Item, Items, Problem
from ilk.preprocess import Preprocess
from ilk.recognizer import Recognizer


@pytest.fixture
def pictures_by_class(tmp_path: Path) -> Path:
    """Ten pictures of each of six classes, which hardly differ within a class."""
    generator = np.random.default_rng(3)
    for label in ("jay", "tit", "lark", "rook", "dunlin", "knot"):
        middle = generator.integers(0, 255, (4, 4))
        for i in range(10):
            pixels = np.clip(middle + generator.integers(-4, 5, (4, 4)), 0, 255).astype(np.uint8)
            path = tmp_path / "birds" / label / f"{i}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels).save(path)
    return tmp_path / "birds"


def apart(items: Items) -> Items:
    """Without labels each is a class of its own."""
    return replace(items, items=tuple(replace(item, label="") for item in items.items))


@pytest.fixture
def recognizer(
    artifact_folder: Path, pictures_by_class: Path, tmp_path: Path
) -> Iterator[Recognizer]:
    """Jays, tits and larks are enrolled, rooks and dunlins calibrate, knots are strangers."""
    items = open_source(pictures_by_class)
    with Recognizer.create(tmp_path / "gallery", artifact_folder) as made:
        enrolled = made.enroll(items.of_classes(["jay", "tit", "lark"]).take(range(0, 30, 2)))
        assert all(answer.is_enrolled for answer in enrolled)
        made.calibrate(0.2, strangers=apart(items.of_classes(["rook", "dunlin"])))
        yield made


def bad_files(folder: Path) -> dict[str, str]:
    """Files that cannot be read, with a word of the reason for each."""
    (folder / "empty.png").touch()
    (folder / "text.png").write_text("no picture")
    Image.new("1", (20_000, 10_000)).save(folder / "huge.png")
    whole = folder / "birds" / "jay" / "0.png"
    (folder / "cut.png").write_bytes(whole.read_bytes()[:50])
    os.mkfifo(folder / "pipe.png")
    return {
        "empty.png": "empty",
        "text.png": "not a JPEG",
        "huge.png": "pixels",
        "cut.png": "damaged",
        "pipe.png": "not a regular file",
        "none.png": "No such file",
        "birds": "is a folder",
    }


def test_classes_are_named_and_strangers_are_not(
    recognizer: Recognizer, pictures_by_class: Path
) -> None:
    for label in ("jay", "tit", "lark"):
        files = [pictures_by_class / label / f"{i}.png" for i in (1, 3, 5)]
        answers = recognizer.identify(files)
        assert [answer.label for answer in answers] == [label] * 3, answers
        assert [answer.name for answer in answers] == [str(file) for file in files]
        assert [a.is_accepted for a in recognizer.verify(label, files, target_fmr=0.1)] == [
            True
        ] * 3
        assert recognizer.identify_set(files).label == label
    knots = sorted((pictures_by_class / "knot").iterdir())
    assert sum(answer.label is not None for answer in recognizer.identify(knots)) <= 4


def test_what_cannot_be_read_is_answered_in_its_place(
    recognizer: Recognizer, pictures_by_class: Path, tmp_path: Path
) -> None:
    bad, jay = bad_files(tmp_path), pictures_by_class / "jay" / "1.png"
    sources: list[Path] = [p for name in bad for p in (tmp_path / name, jay)]
    answers = recognizer.identify(sources)
    assert [answer.name for answer in answers] == [str(source) for source in sources]
    assert [answer.label for answer in answers[1::2]] == ["jay"] * len(bad)
    for answer, word in zip(answers[::2], bad.values(), strict=True):
        assert answer.decision == "not_assessable"
        assert word in answer.reason
    checked = recognizer.verify("jay", sources, target_fmr=0.1)
    assert [answer.is_accepted for answer in checked] == [False, True] * len(bad)
    enrolled = recognizer.enroll(Items(tuple(Item(p, "jay", p.name) for p in sources)))
    assert [answer.is_enrolled for answer in enrolled] == [False, True] + [False, False] * (
        len(bad) - 1
    )


def test_what_was_cut_out_and_cannot_be_embedded_says_so(recognizer: Recognizer) -> None:
    class Empty:
        noun, is_whole = "corner", False
        settings: dict[str, Any] = {"name": "empty"}  # noqa: RUF012

        def detect(self, image: np.ndarray, *, box: Box | None = None) -> tuple[Region, ...]:
            return (Region(box=(0, 0, 9, 9)),)

        def crop(self, image: np.ndarray, region: Region) -> np.ndarray:
            return image[:0]

    opened = Recognizer(recognizer.gallery, recognizer.encoder, detector=Empty())
    item = Item(np.zeros((9, 9, 3), np.uint8), "", "a.png")
    (answer,), (verified,) = opened.identify([item]), opened.verify("jay", [item], target_fmr=0.2)
    assert (answer.code, verified.code) == ("unreadable", "unreadable")
    assert answer.reason == verified.reason != ""
    assert answer.region is not None


def test_a_set_leaves_out_what_cannot_be_read(
    recognizer: Recognizer, pictures_by_class: Path, tmp_path: Path
) -> None:
    files = [tmp_path / "none.png", *sorted((pictures_by_class / "tit").iterdir())[:3]]
    assert recognizer.identify_set(files, name="a tit").label == "tit"
    nothing = recognizer.identify_set(files[:1], name="nothing")
    assert (nothing.decision, nothing.name) == ("not_assessable", "nothing")
    assert "No such file" in nothing.reason
    assert "no pictures" in recognizer.identify_set([]).reason


def test_items_of_one_name_keep_their_own_answers(recognizer: Recognizer, tmp_path: Path) -> None:
    (tmp_path / "empty.png").touch()
    (tmp_path / "text.png").write_text("no picture")
    same = [Item(tmp_path / name, "jay", "same") for name in ("empty.png", "text.png", "none.png")]
    reasons = [answer.reason for answer in recognizer.identify(same)]
    assert [reason.split()[0] for reason in reasons] == ["the", "not", "No"]


def test_one_item_given_twice_is_enrolled_once(recognizer: Recognizer) -> None:
    item = Item(np.arange(16, dtype=np.uint8).reshape(4, 4), "jay", "twice")
    first, second = recognizer.enroll(Items((item, item)), metadata=[{"at": 1}, {"at": 2}])
    assert (first.is_enrolled, second.is_enrolled) == (True, False)
    assert second.exemplar_id == first.exemplar_id
    row = recognizer.gallery.exemplars("jay")[-1]
    assert row.metadata == {"at": 1}


def test_all_parts_are_one_call_and_problems_are_answered(
    recognizer: Recognizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ilk.recognizer._AT_ONCE", 4)
    generator = np.random.default_rng(0)
    items = Items(
        tuple(
            Item(generator.integers(0, 255, (4, 4), dtype=np.uint8), "new", str(i))
            for i in range(10)
        ),
        problems=(Problem("x.png", "the file is empty"),),
    )
    told: list[tuple[int, int]] = []
    answers = recognizer.enroll(items, label="owls", progress=lambda *at: told.append(at))
    assert told == [(4, 10), (8, 10), (10, 10)]
    assert [a.is_enrolled for a in answers] == [True] * 10 + [False]
    assert answers[-1].reason == "the file is empty"
    assert len(recognizer.gallery.exemplars("owls")) == 10
    undone = recognizer.gallery.undo_call()
    assert [change.action for change in undone] == ["enroll"] * 3
    assert "owls" not in {row.label for row in recognizer.gallery.labels()}


def test_kept_crops_show_what_was_embedded(recognizer: Recognizer) -> None:
    pixels = np.random.default_rng(1).integers(0, 255, (30, 40, 3), dtype=np.uint8)
    (answer,) = recognizer.enroll(
        Items((Item(pixels, "jay", "box", box=(10, 5, 20, 25)),)), keep_crops=True
    )
    assert answer.exemplar_id is not None
    with recognizer.gallery.access.reading() as reader:
        crop = reader.crop(answer.exemplar_id)
    assert crop is not None
    np.testing.assert_array_equal(open_crop(crop), pixels[5:25, 10:20])


def test_unknown_probes_are_kept_on_request(
    recognizer: Recognizer, pictures_by_class: Path, tmp_path: Path
) -> None:
    knots = sorted((pictures_by_class / "knot").iterdir())
    sources = [pictures_by_class / "jay" / "1.png", tmp_path / "none.png", *knots]
    assert not recognizer.gallery.unknowns()
    recognizer.identify(sources)
    assert not recognizer.gallery.unknowns()
    pictures = recognizer.identify_pictures(sources, keep_unknown=True, keep_crops=True)
    pairs = [(picture.answers[0], picture.unknown_ids[0]) for picture in pictures]
    kept = {row.id: row for row in recognizer.gallery.unknowns()}
    for source, (answer, unknown_id) in zip(sources, pairs, strict=True):
        assert (unknown_id is not None) == (answer.decision == "unknown")
        if unknown_id is not None:
            assert kept[unknown_id].name == str(source)
            assert kept[unknown_id].has_crop
    assert len(kept) == sum(unknown_id is not None for _, unknown_id in pairs) >= 6


def test_strangers_that_cannot_be_read_stop_or_are_skipped(
    recognizer: Recognizer, pictures_by_class: Path
) -> None:
    (pictures_by_class / "rook" / "0.png").write_bytes(b"no picture")
    strangers = apart(open_source(pictures_by_class).of_classes(["rook", "dunlin"]))
    before = recognizer.gallery.threshold
    with pytest.raises(UnreadableItem, match=r"rook/0\.png"):
        recognizer.calibrate(0.1, strangers=strangers)
    assert recognizer.gallery.threshold == before
    after = recognizer.calibrate(0.1, strangers=strangers, on_unreadable="skip")
    assert (before.num_trials, after.num_trials) == (20, 19)


@pytest.fixture
def other_folder(tmp_path: Path, parts: ArtifactParts) -> Path:
    """An artifact with another preprocessing, so of another encoder."""
    other = Preprocess(size_pixels=4, channels=1, mean=(0.1,), std=(0.9,))
    return write_artifact(tmp_path / "other", replace(parts, preprocess=other))


def test_the_encoder_of_another_gallery_is_refused(
    recognizer: Recognizer, other_folder: Path
) -> None:
    with pytest.raises(WrongEncoder, match="ilk gallery migrate"):
        Recognizer(recognizer.gallery, open_encoder(other_folder))


def test_it_follows_a_migration_by_somebody_else(
    recognizer: Recognizer, other_folder: Path, pictures_by_class: Path, tmp_path: Path
) -> None:
    jay = pictures_by_class / "jay" / "1.png"
    before = recognizer.identify([jay])[0]
    with Gallery.open(tmp_path / "gallery") as same:
        embed = partial(embed_contents, open_encoder(other_folder))
        migrate(same.access, other_folder, embed, sources=pictures_by_class)
    after = recognizer.identify([jay])[0]
    fingerprint = open_encoder(other_folder).fingerprint
    assert recognizer.encoder.fingerprint == fingerprint
    assert before.threshold is not None
    assert after.threshold is not None
    assert before.threshold.fingerprint != after.threshold.fingerprint
    assert after.label == "jay"
    with Recognizer.open(tmp_path / "gallery") as anew:
        assert anew.identify([jay])[0] == after
    enrolled = recognizer.enroll(Items((Item(jay, "jay", "one more"),)))
    assert enrolled[0].is_enrolled
    assert recognizer.identify([jay])[0].distance == pytest.approx(0, abs=1e-6)


def test_contents_are_embedded_or_answered_for(artifact_folder: Path, picture_folder: Path) -> None:
    encoder = open_encoder(artifact_folder)
    file = picture_folder / "owl" / "0.png"
    crop = crop_of(Item(file, "", ""))
    results = embed_contents(encoder, [file, b"no picture", crop, picture_folder / "none.png"])
    np.testing.assert_allclose(np.asarray(results[0]), np.asarray(results[2]), rtol=1e-5)
    assert "not a JPEG" in str(results[1])
    assert "No such file" in str(results[3])
    assert embed_contents(encoder, []) == []


def test_a_gallery_of_embeddings_has_no_encoder(tmp_path: Path) -> None:
    from ilk.distances import Cosine
    from ilk.gallery import Binding

    binding = Binding(distance=Cosine(), embedding_size=3, encoder_fingerprint="elsewhere")
    Gallery.create(tmp_path / "g", binding).close()
    with pytest.raises(GalleryError, match=r"ilk\.Gallery with embeddings"):
        Recognizer.open(tmp_path / "g")


def test_crops_and_metadata_are_checked_before_anything_is_enrolled(
    recognizer: Recognizer, tmp_path: Path, parts: ArtifactParts
) -> None:
    item = Item(np.zeros((1, 4, 4), np.float32), "jay", "array")
    with pytest.raises(InvalidInput, match="1 metadata"):
        recognizer.enroll(Items((item,)), metadata=[{}, {}])
    arrays = replace(parts, preprocess=Preprocess(modality="array", shape=(1, 4, 4)))
    folder = write_artifact(tmp_path / "arrays", arrays)
    with Recognizer.create(tmp_path / "of arrays", folder) as made:
        with pytest.raises(InvalidInput, match="crops are pictures"):
            made.enroll(Items((item,)), keep_crops=True)
        ones = np.ones((1, 4, 4), np.float32)
        odd: list[np.ndarray] = [np.full_like(ones, np.nan), np.ones((2, 2)), ones]
        answers = made.enroll(Items(tuple(Item(a, "jay", "odd") for a in odd)))
        assert [answer.is_enrolled for answer in answers] == [False, False, True]
        assert "finite" in answers[0].reason
        assert "shape" in answers[1].reason


def test_an_interrupted_block_keeps_no_search_state(
    recognizer: Recognizer, pictures_by_class: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ilk.gallery.state._SAVE_FROM", 0)
    snapshot = recognizer.gallery.access.generation.snapshot
    jay = pictures_by_class / "jay" / "1.png"
    for error, is_kept in ((KeyboardInterrupt, False), (RuntimeError, True)):
        opened = Recognizer.open(tmp_path / "gallery")
        opened.enroll(Items((Item(jay, "jay", error.__name__),)))
        with pytest.raises(error), opened:
            raise error
        assert snapshot.exists() == is_kept
