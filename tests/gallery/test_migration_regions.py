"""Migration of what a detector cut out: found again in its files, or taken from kept crops."""

from __future__ import annotations

import runpy
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from ilk.artifact import Artifact, ArtifactParts, write_artifact
from ilk.bound_encoder import embed_contents
from ilk.cli.main import ilk
from ilk.crops import crop_of
from ilk.datasets import open_source
from ilk.datasets.files import open_files
from ilk.detecting import open_detector, sight
from ilk.encoders.onnx import open_encoder
from ilk.errors import GalleryError, InvalidInput
from ilk.gallery import Gallery
from ilk.gallery.migration import migrate
from ilk.gallery.migration_report import MigrationReport
from ilk.gallery.sources import SourceFolder
from ilk.items import Item, Items
from ilk.plugins import load
from ilk.recognizer import Recognizer

TESTS = Path(__file__).parents[1]
tiles: Any = SimpleNamespace(**runpy.run_path(str(TESTS / "tiles.py")))
make_onnx: Any = runpy.run_path(str(TESTS / "conftest.py"))["make_linear_onnx"]
MakeArtifact = Callable[..., Path]
BIRDS = {"jay": 0, "tit": 1}
STRANGERS = 2


@pytest.fixture(autouse=True)
def tile_detector(monkeypatch: pytest.MonkeyPatch) -> None:
    def find(group: str, name: str) -> Any:
        return tiles.Tiles if (group, name) == ("detectors", "tiles") else load(group, name)

    monkeypatch.setattr("ilk.detecting.load", find)


@pytest.fixture
def artifact(tmp_path: Path, parts: ArtifactParts) -> MakeArtifact:
    """Make an artifact of the seed's network for a detector."""

    def make(seed: int, detector: dict[str, Any] | None) -> Path:
        weights = np.random.default_rng(seed).normal(size=(16, 3)).astype(np.float32)
        config = {} if detector is None else {"detector": detector}
        name = f"{seed} {(detector or {}).get('border', '')}"
        if (tmp_path / name).exists():
            return tmp_path / name
        return write_artifact(
            tmp_path / name, replace(parts, onnx=make_onnx(weights), config=config)
        )

    return make


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Two birds per picture, two pictures per class; six pictures of strangers."""
    for label, kind in BIRDS.items():
        for i in range(2):
            save(tmp_path / "photos" / label / f"{i}.png", (kind, 2 * i), None, (kind, 2 * i + 1))
    for i in range(6):
        save(tmp_path / "photos" / "strangers" / "rook" / f"{i}.png", None, (STRANGERS, i))
    return tmp_path / "photos"


def save(path: Path, *kinds: tuple[int, int] | None) -> Path:
    drawn = [None if kind is None else tiles.tile_of(*kind) for kind in kinds]
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(tiles.grid(drawn, 3)).save(path)
    return path


def save_anew(folder: Path) -> None:
    """Write the same pixels in other bytes."""
    for path in folder.rglob("*.png"):
        with Image.open(path) as picture:
            picture.save(path, compress_level=0)


@pytest.fixture
def gallery(artifact: MakeArtifact, photos: Path, tmp_path: Path) -> Path:
    """Every tile of both classes is enrolled, without crops; strangers calibrate."""
    items = open_source(photos)
    with Recognizer.create(tmp_path / "g", artifact(1, {"name": "tiles"})) as made:
        answers = made.enroll(items.of_classes(BIRDS), choice="all")
        assert [answer.name for answer in answers[:2]] == ["jay/0.png #1", "jay/0.png #2"]
        strangers = items.of_classes(["strangers/rook"])
        alone = tuple(replace(item, label="") for item in strangers.items)
        made.calibrate(0.2, strangers=replace(strangers, items=alone))
        made.identify_pictures([photos / "strangers" / "rook" / "0.png"], keep_unknown=True)
    return tmp_path / "g"


def move(
    place: Path, artifact: Path, sources: Path | None = None, **options: Any
) -> MigrationReport:
    """Migrate as the command does."""
    with Gallery.open(place) as opened:
        present = opened.binding.artifact
        assert present is not None
        detector = open_detector(present.detector)
        finder = open_detector(Artifact.load(artifact).detector)
        embed = partial(
            embed_contents, open_encoder(artifact), detector=finder, is_cut=not detector.is_whole
        )
        return migrate(
            opened.access, artifact, embed, sources=sources, detector=detector, **options
        )


def expect_at_home(place: Path, photos: Path) -> None:
    """Every enrolled tile is at distance 0 of itself, as the new detector cuts it out."""
    files = [photos / label / f"{i}.png" for label in BIRDS for i in range(2)]
    with Recognizer.open(place) as opened:
        answers = opened.identify(files)
        assert len(answers) == 8
        assert [answer.candidates[0].label for answer in answers] == ["jay"] * 4 + ["tit"] * 4
        for answer in answers:
            assert answer.distance == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("border", [0, 4])
def test_regions_are_cut_out_anew_from_their_files(
    gallery: Path, artifact: MakeArtifact, photos: Path, border: int
) -> None:
    report = move(gallery, artifact(2, {"name": "tiles", "border": border}), photos)
    assert (report.num_from_sources, report.num_from_crops, report.lost) == (8, 0, ())
    assert report.num_strangers == 6
    assert report.is_switched
    assert report.threshold_after is not None
    assert report.threshold_after.num_trials == 6
    expect_at_home(gallery, photos)
    with Gallery.open(gallery) as opened:
        assert len(opened.unknowns()) == 1


def test_files_that_were_moved_and_renamed_are_found_by_what_is_in_them(
    gallery: Path, artifact: MakeArtifact, photos: Path, tmp_path: Path
) -> None:
    elsewhere = tmp_path / "elsewhere"
    for i, path in enumerate(sorted(photos.rglob("*.png"))):
        target = elsewhere / str(i % 3) / f"{i}.png"
        target.parent.mkdir(parents=True, exist_ok=True)
        path.rename(target)
    (elsewhere / "notes.txt").write_text("no picture")
    report = move(gallery, artifact(2, {"name": "tiles"}), elsewhere)
    assert (report.num_from_sources, report.num_strangers, report.lost) == (8, 6, ())


def test_names_as_typed_lead_to_files_below_the_folder(
    artifact: MakeArtifact, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = tmp_path / "typed"
    with Recognizer.create(place, artifact(1, {"name": "tiles"})) as made:
        monkeypatch.chdir(photos.parent)
        items = open_files(["photos/jay"], "jay")
        assert items.items[0].name == "photos/jay/0.png"
        made.enroll(items, choice="all")
        made.gallery.calibrate(0.2, basis="cohort")
    save_anew(photos)  # else the hash of the file would lead to it, too
    monkeypatch.setattr(SourceFolder, "_by_region", {})
    report = move(place, artifact(2, {"name": "tiles"}), photos / "jay", allow_missing=True)
    assert (report.num_from_sources, report.lost_of("exemplar")) == (4, ())


def test_a_detector_that_has_changed_since_does_not_matter(
    gallery: Path, artifact: MakeArtifact, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Exemplars remember their file and place; strangers remember nothing, and are named."""
    cut = tiles.Tiles.crop

    def brighter(self: Any, image: np.ndarray, region: Any) -> np.ndarray:
        return np.asarray(cut(self, image, region) + np.uint8(1))

    monkeypatch.setattr(tiles.Tiles, "crop", brighter)
    save(photos / "tit" / "1.png", (7, 0), None, (8, 0))  # others stand in the same places
    other = artifact(2, {"name": "tiles"})
    with pytest.raises(GalleryError, match=r"2 exemplars cannot be embedded again: tit/1\.png #1"):
        move(gallery, other, photos)
    report = move(gallery, other, photos, allow_missing=True)
    assert report.num_from_sources == 6
    assert {lost.name for lost in report.lost_of("exemplar")} == {"tit/1.png #1", "tit/1.png #2"}
    assert len(report.lost_of("stranger")) == 6


def test_a_file_that_was_saved_anew_is_found_by_its_pixels(
    gallery: Path, artifact: MakeArtifact, photos: Path
) -> None:
    save_anew(photos)
    report = move(gallery, artifact(2, {"name": "tiles"}), photos)
    assert (report.num_from_sources, report.num_strangers, report.lost) == (8, 6, ())


def test_kept_crops_are_enough_and_another_detector_is_told(
    artifact: MakeArtifact, photos: Path, tmp_path: Path
) -> None:
    place = tmp_path / "crops"
    with Recognizer.create(place, artifact(1, {"name": "tiles"})) as made:
        made.enroll(open_source(photos).of_classes(BIRDS), choice="all", keep_crops=True)
        made.gallery.calibrate(0.2, basis="cohort")
    report = move(place, artifact(2, {"name": "tiles"}), allow_missing=True)
    assert (report.num_from_crops, report.notes) == (8, ())
    expect_at_home(place, photos)
    report = move(place, artifact(2, {"name": "tiles", "border": 4}), allow_missing=True)
    (note,) = report.notes
    assert note.startswith(
        "the new artifact expects its pictures from tiles (border 4), the present one from tiles "
        "(border 0); 8 exemplars from kept crops"
    )


def test_whole_pictures_are_looked_at_by_the_new_detector(
    artifact: MakeArtifact, photos: Path, tmp_path: Path
) -> None:
    alone = save(photos / "tit" / "alone.png", None, (1, 9))
    for keep_crops, sources in ((False, photos), (True, None)):
        place = tmp_path / f"whole {keep_crops}"
        with Recognizer.create(place, artifact(1, None)) as made:
            answers = made.enroll(open_source(photos).of_classes(BIRDS), keep_crops=keep_crops)
            assert [answer.is_enrolled for answer in answers] == [True] * 5
            made.gallery.calibrate(0.2, basis="cohort")
        report = move(place, artifact(2, {"name": "tiles"}), sources, allow_missing=True)
        assert report.num_from_sources + report.num_from_crops == 1
        assert "from tiles, the present one from whole_image" in report.notes[0]
        lost = report.lost_of("exemplar")
        assert len(lost) == 4
        assert all("the picture shows 2 tiles" in row.reason for row in lost)
        with Recognizer.open(place) as opened:
            (answer,) = opened.identify([alone])
            assert answer.distance == pytest.approx(0, abs=1e-6)


def test_a_detector_that_was_told_where_to_look_is_told_again(
    artifact: MakeArtifact, photos: Path, tmp_path: Path
) -> None:
    place, box = tmp_path / "asked", (35.0, -40.0, 46.0, 15.0)
    with Recognizer.create(place, artifact(1, {"name": "tiles"})) as made:
        item = Item(photos / "jay" / "0.png", "jay", "jay/0.png (line 2)", box=box)
        (answer,) = made.enroll(Items((item,)))
        assert answer.is_enrolled
        made.gallery.calibrate(0.2, basis="cohort")
        (row,) = made.gallery.exemplars("jay")
    found = SourceFolder(photos, tiles.Tiles()).find(row.name, "", row.metadata["region"])
    assert isinstance(found, Item)
    assert (found.source, found.box) == (item.source, box)
    move(place, artifact(2, {"name": "tiles"}), photos)
    with Recognizer.open(place) as opened:
        assert opened.identify([item])[0].distance == pytest.approx(0, abs=1e-6)


def test_boxes_of_a_table_are_found_by_their_place(
    artifact: MakeArtifact, photos: Path, tmp_path: Path
) -> None:
    table = photos / "table.csv"
    rows = ["path,label,x1,y1,x2,y2", "jay/0.png,jay,0,0,16,16", "jay/0.png,jay,32,0,48,16"]
    table.write_text("\n".join(rows))
    place = tmp_path / "boxes"
    first, second = artifact(1, None), artifact(2, None)
    with Recognizer.create(place, first, detector="boxes") as made:
        answers = made.enroll(open_source(table))
        assert [answer.is_enrolled for answer in answers] == [True, True]
        made.gallery.calibrate(0.2, basis="cohort")
    report = move(place, second, photos, allow_missing=True, switch=False)
    assert (report.num_from_sources, report.lost_of("exemplar")) == (2, ())
    picture = np.array(Image.open(photos / "jay" / "0.png"))
    picture[:, :16] = 99
    Image.fromarray(picture).save(photos / "jay" / "0.png")
    left = move(place, second, photos, allow_missing=True, switch=False).lost_of("exemplar")
    assert [lost.name for lost in left] == ["jay/0.png (line 2)"]
    save(photos / "jay" / "0.png", (0, 0), None, (0, 1))
    move(place, second, photos, allow_missing=True)
    with Recognizer.open(place, detector="boxes") as opened:
        item = Item(photos / "jay" / "0.png", "", "again", box=(32, 0, 48, 16))
        assert opened.identify([item])[0].distance == pytest.approx(0, abs=1e-6)


def test_what_is_found_only_where_it_was_asked_about_is_asked_about_again(photos: Path) -> None:
    item = Item(photos / "jay" / "0.png", "jay", "jay/0.png", box=(32, 0, 48, 16))
    ((sighting,),) = sight(open_detector("boxes"), [item])
    assert sighting.crop is not None
    folder = SourceFolder(photos, open_detector("boxes"))
    content, region = sighting.crop.content_hash(), {"box": [32, 0, 48, 16], "score": 1.0}
    assert folder.find("jay/0.png", content) is None
    found = folder.find("jay/0.png", content, region)
    assert isinstance(found, Item)
    assert (found.source, found.box) == (item.source, item.box)


def test_kept_crops_are_what_was_cut_out_or_what_to_look_at(artifact: MakeArtifact) -> None:
    encoder, finder = open_encoder(artifact(1, None)), tiles.Tiles(border=4)
    tile = tiles.tile_of(0, 0)
    crop, inner = (crop_of(Item(pixels, "", "")) for pixels in (tile, tile[4:12, 4:12]))
    whole, inside = embed_contents(encoder, [crop, inner])
    (cut,) = embed_contents(encoder, [crop], detector=finder)
    (looked,) = embed_contents(encoder, [crop], detector=finder, is_cut=False)
    np.testing.assert_allclose(np.asarray(cut), np.asarray(whole))
    np.testing.assert_allclose(np.asarray(looked), np.asarray(inside))
    assert not np.allclose(np.asarray(cut), np.asarray(looked))


def test_metadata_that_look_like_a_place_are_no_error(photos: Path) -> None:
    folder = SourceFolder(photos, tiles.Tiles())
    (sightings,) = sight(tiles.Tiles(), [Item(photos / "jay" / "0.png", "", "")])
    assert sightings[1].crop is not None
    content = sightings[1].crop.content_hash()
    odd: list[Any] = [None, {}, {"box": 3}, {"box": [1, 2]}, {"box": ["a"] * 4, "score": 1}]
    for region in odd:
        found = folder.find("jay/0.png #2", content, region)
        assert isinstance(found, Item)
        assert found.box == (32.0, 0.0, 48.0, 16.0)
        assert folder.find("jay/0.png #2", "no such content", region) is None
    assert folder.find("../g", "x") is None
    assert folder.find("a\0b", "x") is None
    assert folder.find("long" * 100, "x") is None
    file = Item(photos / "jay" / "0.png", "", "").content_hash()
    assert isinstance(folder.find("", "x", {"box": [1, 1, 9, 9], "file": file}), Item)
    for box in ([9, 9, 1, 1], ["nan", 0, 9, 9], [0, 0, "inf", 9]):
        assert folder.find("", "x", {"box": box, "file": file}) is None
    with pytest.raises(InvalidInput, match="expected the folder of the sources"):
        SourceFolder(photos / "nowhere")


def test_the_command_moves_regions_and_compares_probes(
    gallery: Path, artifact: MakeArtifact, photos: Path, tmp_path: Path
) -> None:
    probe = save(tmp_path / "party.png", (0, 30), (1, 30), (9, 0))
    other = artifact(2, {"name": "tiles", "border": 4})
    words = ["gallery", "migrate", gallery, other, "--sources", photos, "--probes", probe, "--yes"]
    result = CliRunner().invoke(ilk, [str(word) for word in [*words, "--json"]])
    assert result.exit_code == 0, result.output
    assert f'"name": "{probe} #3"' in result.stdout
    assert '"is_switched": true' in result.stdout
    assert "tiles (border 4)" in result.stdout
    expect_at_home(gallery, photos)
    CliRunner().invoke(ilk, ["gallery", "rollback", str(gallery)])
    told = CliRunner().invoke(ilk, [str(word) for word in words])
    assert "note: the new artifact expects its pictures from tiles (border 4)" in told.stdout
    assert "8 exemplars of 2 classes: 8 from files, 0 from crops" in told.stdout


def test_faces_are_found_again_in_their_pictures(artifact: MakeArtifact, tmp_path: Path) -> None:
    pytest.importorskip("cv2", reason="the detector of faces needs OpenCV")
    from ilk.datasets.portraits import draw_portrait, draw_scene

    photos = tmp_path / "people"
    people = ["ann", "bob"]
    for person, label in enumerate(people):
        (photos / label).mkdir(parents=True)
        Image.fromarray(draw_portrait(person, 0)).save(photos / label / "alone.png")
    scene, _ = draw_scene([(2, 0), (3, 0), (4, 0)], face_pixels=70)
    (photos / "others").mkdir()
    Image.fromarray(scene).save(photos / "others" / "scene.jpg", quality=90)
    place = tmp_path / "faces"
    with Recognizer.create(place, artifact(1, {"name": "faces"})) as made:
        items = open_source(photos)
        answers = made.enroll(items.of_classes(people))
        assert [answer.is_enrolled for answer in answers] == [True, True]
        made.enroll(items.of_classes(["others"]), choice="all")
        made.calibrate(0.2, basis="cohort")
    larger = artifact(2, {"name": "faces", "size_pixels": 160})
    (photos / "others" / "scene.jpg").rename(photos / "moved.jpg")
    report = move(place, larger, photos)
    assert (report.num_from_sources, report.lost_of("exemplar")) == (5, ())
    assert (
        "from faces (size_pixels 160), the present one from faces (size_pixels 112)"
        in report.notes[0]
    )
    with Recognizer.open(place) as opened:
        answered = opened.identify([photos / "ann" / "alone.png", photos / "moved.jpg"])
        assert [a.candidates[0].label for a in answered] == ["ann", *["others"] * 3]
        for answer in answered:
            assert answer.distance == pytest.approx(0, abs=1e-5)
