"""Faces in all sorts of pictures."""

from __future__ import annotations

import sys
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image, ImageFilter

from ilk.datasets.portraits import draw_portrait, draw_scene
from ilk.detecting import open_detector, sight
from ilk.detector import Region
from ilk.detectors.faces import Faces
from ilk.detectors.faces.yunet import YuNet, overlaps
from ilk.errors import DamagedArtifact, InvalidInput, MissingExtra, MissingWeights
from ilk.images import Box
from ilk.items import Item

GROUP = [(person, person % 3) for person in range(12)]


def _common(region: Region, box: Box) -> float:
    return float(overlaps(np.array([region.box]), np.array(box))[0])


def _only(regions: tuple[Region, ...]) -> Region:
    assert len(regions) == 1, regions
    return regions[0]


def _resized(picture: np.ndarray, side: int) -> np.ndarray:
    return np.asarray(Image.fromarray(picture).resize((side, side), Image.Resampling.LANCZOS))


@pytest.mark.parametrize("person", range(0, 60, 4))
def test_a_portrait_has_one_face(faces: Faces, person: int) -> None:
    region = _only(faces.detect(draw_portrait(person, 1)))
    assert region.is_assessable, region
    assert region.score > 0.8


def test_everybody_in_a_group_is_found_where_they_are(faces: Faces) -> None:
    picture, boxes = draw_scene(GROUP, face_pixels=60)
    regions = faces.detect(picture)
    assert len(regions) == len(boxes)
    assert all(max(_common(region, box) for region in regions) > 0.5 for box in boxes)


def test_two_hundred_faces(faces: Faces) -> None:
    people = [(person, person % 5) for person in range(200)]
    picture, boxes = draw_scene(people, face_pixels=48)
    regions = faces.detect(picture)
    found = [max((_common(region, box) for region in regions), default=0) > 0.4 for box in boxes]
    assert np.mean(found) >= 0.99
    assert len(regions) <= 202


def test_small_and_very_large_faces_of_one_picture(faces: Faces) -> None:
    crowd, boxes = draw_scene([(1, 0), (2, 0), (3, 0)], face_pixels=50, num_columns=3)
    large = draw_portrait(4, 0, 1800)
    picture = np.full((1800, 1800 + crowd.shape[1], 3), 120, np.uint8)
    picture[:, :1800] = large
    picture[: crowd.shape[0], 1800:] = crowd
    regions = faces.detect(picture)
    sizes = [round(region.quality.size_pixels) for region in regions if region.quality]
    assert len(regions) == 1 + len(boxes), sizes
    assert max(sizes) > 500
    assert min(sizes) < 60


@pytest.mark.parametrize("side", [100, 200, 640, 1500, 3000])
def test_the_size_of_the_picture_does_not_matter(faces: Faces, side: int) -> None:
    region = _only(faces.detect(_resized(draw_portrait(5, 0, 800), side)))
    share = np.array(region.box) / side
    expected = np.array(_only(faces.detect(draw_portrait(5, 0, 800))).box) / 800
    np.testing.assert_allclose(share, expected, atol=0.04)


@pytest.mark.parametrize("turns", [1, 2, 3])
@pytest.mark.parametrize("person", [3, 8, 21])
def test_a_picture_that_lies_on_its_side(faces: Faces, person: int, turns: int) -> None:
    picture = draw_portrait(person, 2)
    upright = _only(faces.detect(picture))
    turned = np.rot90(picture, turns)
    region = _only(faces.detect(turned))
    assert upright.quality is not None
    assert region.quality is not None
    tilt = region.quality.tilted_degrees
    expected = (upright.quality.tilted_degrees or 0.0) - 90 * turns
    assert tilt is not None
    assert abs((tilt - expected + 180) % 360 - 180) < 8
    points = np.array(upright.landmarks)
    for _ in range(turns):
        points = np.stack([points[:, 1], 319 - points[:, 0]], 1)
    np.testing.assert_allclose(region.landmarks, points, atol=4)
    gap = np.abs(faces.crop(turned, region).astype(int) - faces.crop(picture, upright))
    assert gap.mean() < 12


def test_a_group_that_lies_on_its_side(faces: Faces) -> None:
    picture, boxes = draw_scene(GROUP, face_pixels=60)
    assert len(faces.detect(np.rot90(picture))) == len(boxes)


def test_a_mirrored_picture(faces: Faces) -> None:
    picture = draw_portrait(9, 0)
    here, there = (_only(faces.detect(p)) for p in (picture, picture[:, ::-1]))
    x1, _, x2, _ = here.box
    assert there.box[0] == pytest.approx(319 - x2, abs=6)
    assert there.box[2] == pytest.approx(319 - x1, abs=6)
    left, right = there.landmarks[:2]
    assert left[0] < right[0]


def test_a_grey_scan(faces: Faces) -> None:
    picture = draw_portrait(11, 0)
    grey = np.repeat(picture.mean(2, keepdims=True).astype(np.uint8), 3, 2)
    region = _only(faces.detect(grey))
    assert _common(region, _only(faces.detect(picture)).box) > 0.8


def test_a_face_of_four_pixels_is_none_or_too_small(faces: Faces) -> None:
    picture = np.full((300, 300, 3), 130, np.uint8)
    picture[100:111, 100:111] = _resized(draw_portrait(0, 0), 11)
    assert all(region.code == "too_small" for region in faces.detect(picture))
    assert faces.detect(_resized(draw_portrait(0, 0), 11)) == ()


def test_no_face(faces: Faces) -> None:
    random = np.random.default_rng(1)
    assert faces.detect(random.integers(0, 256, (400, 600, 3), np.uint8)) == ()
    assert faces.detect(np.zeros((400, 600, 3), np.uint8)) == ()
    assert faces.detect(np.zeros((0, 10, 3), np.uint8)) == ()
    assert faces.detect(np.full((1, 3000, 3), 255, np.uint8)) == ()


@pytest.mark.parametrize("is_tall", [False, True])
def test_a_panorama_is_searched_in_pieces(faces: Faces, is_tall: bool) -> None:
    """A face on the seam of two pieces is one face."""
    length = 6000
    picture = np.full((length, 400, 3) if is_tall else (400, length, 3), 90, np.uint8)
    places = [10, 1280, 2300 - 160, 2560 - 160, 4400, 5600]
    for number, start in enumerate(places):
        y, x = (start, 40) if is_tall else (40, start)
        picture[y : y + 320, x : x + 320] = draw_portrait(20 + number, 0)
    regions = faces.detect(picture)
    starts = [region.box[1 if is_tall else 0] for region in regions]
    assert len(starts) == len(places)
    assert all(place < start < place + 320 for start, place in zip(starts, places, strict=True))
    assert length / 2 > 2 * 1280  # pieces at the scale that faces of 40 pixels need


def test_reading_order(faces: Faces) -> None:
    people = [(person, 0) for person in range(9)]
    picture, boxes = draw_scene(people, face_pixels=70, num_columns=3)
    found = [
        max(range(9), key=lambda i: _common(region, boxes[i])) for region in faces.detect(picture)
    ]
    assert found == list(range(9))


def test_threads_find_what_one_finds(faces: Faces) -> None:
    pictures = [draw_portrait(person, 3, 160 + 10 * person) for person in range(8)]
    expected = [faces.detect(picture) for picture in pictures]
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(faces.detect, pictures * 3)) == expected * 3


def test_with_a_box_only_its_face_is_found(faces: Faces) -> None:
    picture, boxes = draw_scene(GROUP, face_pixels=60)
    for box in boxes:
        region = _only(faces.detect(picture, box=box))
        assert _common(region, box) > 0.5
    x1, y1, x2, y2 = boxes[5]
    whole_person = (x1 - 25, y1 - 25, x2 + 25, y2 + 60)
    assert _common(_only(faces.detect(picture, box=whole_person)), boxes[5]) > 0.5
    assert faces.detect(picture, box=(0, 0, 8, 8)) == ()
    assert faces.detect(picture, box=(9000, 9000, 9100, 9100)) == ()


def test_a_face_that_is_mostly_outside_the_box_is_not_meant(faces: Faces) -> None:
    picture = draw_portrait(4, 0)
    x1, y1, x2, y2 = _only(faces.detect(picture)).box
    assert faces.detect(picture, box=(x1, y1, x1 + 0.7 * (x2 - x1), y2)) != ()
    assert faces.detect(picture, box=(x1, y1, x1 + 0.3 * (x2 - x1), y2)) == ()


def test_a_face_on_its_side_must_be_surer(faces: Faces) -> None:
    sharp = Image.fromarray(draw_portrait(6, 0, 600))
    blurred = np.asarray(sharp.filter(ImageFilter.GaussianBlur(14)))
    assert 0.8 < _only(faces.detect(blurred)).score < 0.9
    assert faces.detect(np.rot90(blurred)) == ()
    _only(faces.detect(np.rot90(np.asarray(sharp))))


@pytest.mark.parametrize("box", [(5, 5, 5, 9), (9, 0, 3, 4), (0, 0, float("nan"), 4)])
def test_a_box_that_is_none_is_refused(faces: Faces, box: Box) -> None:
    with pytest.raises(InvalidInput, match="x1, y1, x2, y2"):
        faces.detect(draw_portrait(0, 0), box=box)


@pytest.mark.parametrize(
    "picture",
    [np.zeros((9, 9), np.uint8), np.zeros((9, 9, 4), np.uint8), np.zeros((9, 9, 3), np.float32)],
)
def test_what_is_no_picture_is_refused(faces: Faces, picture: np.ndarray) -> None:
    with pytest.raises(InvalidInput, match="expected a picture"):
        faces.detect(picture)


def test_only_faces_are_cut_out(faces: Faces) -> None:
    with pytest.raises(InvalidInput, match="five landmarks"):
        faces.crop(draw_portrait(0, 0), Region(box=(0, 0, 9, 9)))


@pytest.mark.parametrize("size", [64, 112, 160])
def test_crops_have_the_size_of_the_encoder(size: int) -> None:
    detector = Faces(size_pixels=size)
    picture = draw_portrait(2, 0)
    assert detector.crop(picture, _only(detector.detect(picture))).shape == (size, size, 3)


def test_crops_need_not_be_square() -> None:
    """The middle of the square crop: SphereFace's 112 x 96 is ArcFace's 112 without its edges."""
    detector = Faces(size_pixels=(112, 96))
    picture = draw_portrait(2, 0)
    region = _only(detector.detect(picture))
    square = Faces().crop(picture, region)
    crop = detector.crop(picture, region)
    assert crop.shape == (112, 96, 3)
    apart, shifted = (abs(crop - square[:, i : i + 96].astype(float)).mean() for i in (8, 9))
    assert apart < 1 < shifted
    assert open_detector(detector.settings).crop(picture, region).shape == (112, 96, 3)
    assert detector.settings["size_pixels"] == [112, 96]
    with pytest.raises(InvalidInput, match=r"one whole number or \(height, width\)"):
        Faces(size_pixels=(1, 2, 3))  # type: ignore[arg-type]


def test_settings_make_the_same_again() -> None:
    given: dict[str, Any] = {"size_pixels": 96, "min_size_pixels": 55.5, "min_sharpness": 0.01}
    detector = Faces(**given)
    assert given.items() <= detector.settings.items()
    again = open_detector(detector.settings)
    assert again.settings == detector.settings
    assert "weights" not in detector.settings


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("size_pixels", 0),
        ("size_pixels", 112.5),
        ("min_score", 1.1),
        ("min_size_pixels", float("nan")),
        ("max_turned_degrees", -1),
        ("min_brightness", "dark"),
        ("min_sharpness", True),
    ],
)
def test_options_out_of_range_are_refused(option: str, value: Any) -> None:
    with pytest.raises(InvalidInput, match=option):
        Faces(**{option: value})


def test_without_opencv_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cv2", None)
    with pytest.raises(MissingExtra, match=r'pip install "ilk\[faces\]"'):
        Faces()


def test_opencv_five_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cv2, "__version__", "5.0.0")
    with pytest.raises(MissingExtra, match=r"OpenCV 4\.14 or a later 4, got 5\.0\.0"):
        Faces()


def test_named_weights_that_are_not_there(tmp_path: Any) -> None:
    with pytest.raises(MissingWeights, match="expected the file of YuNet"):
        Faces(weights=str(tmp_path / "absent.onnx"))


def test_a_picture_that_opencv_fails_on_stops_no_other(
    faces: Faces, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Failing:
        def __getattr__(self, name: str) -> Any:
            raise cv2.error("Insufficient memory")

    monkeypatch.setattr(YuNet, "_made", lambda self: Failing())
    broken = Faces()
    items = [Item(draw_portrait(0, 0), "", "first")]
    ((sighting,),) = sight(broken, items)
    assert (sighting.code, sighting.crop) == ("unreadable", None)
    assert sighting.reason == "OpenCV failed looking for faces: Insufficient memory"
    ((fine,),) = sight(faces, items)
    assert fine.crop is not None


def test_a_corrupt_network_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    from ilk.detectors.faces.yunet import YuNet

    with pytest.raises(DamagedArtifact, match="cannot read the network YuNet"):
        YuNet(b"this is no network")
