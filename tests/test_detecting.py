"""From pictures to regions to crops: order, choice, and what goes wrong on the way."""

from __future__ import annotations

import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from ilk.datasets.portraits import draw_portrait, draw_scene
from ilk.detecting import Sighting, chosen, crops_of, open_detector, sight
from ilk.detector import Detector, Quality, Region
from ilk.detectors.faces import Faces
from ilk.errors import InvalidInput, PluginError, UnreadableItem
from ilk.images import Box
from ilk.items import Item, Items, Problem


class Columns:
    """Finds a region wherever the first row of a picture is white: a detector without a network."""

    noun = "column"
    is_whole = False
    settings: dict[str, Any] = {"name": "columns"}  # noqa: RUF012

    def __init__(self, *, is_slow_first: bool = False) -> None:
        self.is_slow_first = is_slow_first

    def detect(self, image: np.ndarray, *, box: Box | None = None) -> tuple[Region, ...]:
        if self.is_slow_first and image.shape[0] == 1:
            time.sleep(0.2)
        found = []
        for x in np.flatnonzero(image[0, :, 0] == 255).tolist():
            code = "too_small" if image.shape[0] == 2 else ""
            quality = Quality(size_pixels=1)
            where = (float(x), 0.0, float(x + 1 + x % 3), float(image.shape[0]))
            reason = "it is 1 pixel wide" if code else ""
            found.append(Region(box=where, code=code, reason=reason, quality=quality))
        return tuple(found if box is None else found[:1])

    def crop(self, image: np.ndarray, region: Region) -> np.ndarray:
        x = int(region.box[0])
        return image[:, x : x + 1]


def _picture(*columns: int, height: int = 4) -> np.ndarray:
    picture = np.zeros((height, 9, 3), np.uint8)
    picture[0, list(columns)] = 255
    return picture


def _items(*pictures: np.ndarray | Path) -> Items:
    rows = enumerate(pictures)
    return Items(tuple(Item(picture, f"class {i}", f"picture {i}") for i, picture in rows))


def _sightings(*pictures: np.ndarray | Path, **options: Any) -> list[tuple[Sighting, ...]]:
    return list(sight(Columns(**options), _items(*pictures).items))


def test_it_is_a_detector() -> None:
    assert isinstance(Columns(), Detector)


def test_sightings_come_in_the_order_of_pictures_and_regions() -> None:
    found = _sightings(_picture(3, height=1), _picture(1, 5), _picture(2), is_slow_first=True)
    assert [len(sightings) for sightings in found] == [1, 2, 1]
    assert [s.picture.name for s in found[1]] == ["picture 1", "picture 1"]
    assert [s.region.box[0] for part in found for s in part if s.region] == [3, 1, 5, 2]
    names = [s.crop.name for part in found for s in part if s.crop is not None]
    assert names == ["picture 0", "picture 1 #1", "picture 1 #2", "picture 2"]


def test_crops_keep_what_is_known_of_the_picture() -> None:
    item = Item(_picture(1), "who", "name", split="test", group="burst", box=(0, 0, 4, 4))
    ((sighting,),) = sight(Columns(), [item])
    crop = sighting.crop
    assert crop is not None
    assert (crop.label, crop.split, crop.group, crop.box) == ("who", "test", "burst", None)
    assert isinstance(crop.source, np.ndarray)
    assert crop.source.shape == (4, 1, 3)


def test_more_pictures_than_are_looked_at_at_once() -> None:
    pictures = [_picture(i % 9) for i in range(200)]
    steps: list[tuple[int, int]] = []
    found = list(sight(Columns(), _items(*pictures).items, progress=lambda *s: steps.append(s)))
    assert [s.region.box[0] for (s,) in found if s.region] == [i % 9 for i in range(200)]
    assert steps == [(i, 200) for i in range(1, 201)]


def test_no_pictures() -> None:
    assert list(sight(Columns(), [])) == []


def test_stopping_half_way_leaves_no_threads() -> None:
    sightings = sight(Columns(), _items(*[_picture(1)] * 100).items)
    next(sightings)
    sightings.close()  # type: ignore[attr-defined]
    names = [thread.name for thread in threading.enumerate()]
    assert not [name for name in names if name.startswith("ilk-detect")]


def test_what_is_not_found_or_not_assessable_has_code_and_reason() -> None:
    none, small = _sightings(_picture(), _picture(4, height=2))
    assert (none[0].code, none[0].region, none[0].crop) == ("no_column", None, None)
    assert none[0].reason == "no column was found in the picture"
    assert (small[0].code, small[0].reason) == ("too_small", "it is 1 pixel wide")
    assert small[0].region is not None
    assert small[0].crop is None


def test_nothing_in_a_box_is_said_so() -> None:
    item = Item(_picture(), "a", "a", box=(0, 0, 2, 2))
    ((sighting,),) = sight(Columns(), [item])
    assert sighting.reason == "no column was found where the box says"


def test_unreadable_files_stop_nothing(tmp_path: Path) -> None:
    Image.fromarray(_picture(4)).save(tmp_path / "good.png")
    (tmp_path / "torn.png").write_bytes((tmp_path / "good.png").read_bytes()[:40])
    (tmp_path / "words.jpg").write_text("not a picture")
    (tmp_path / "empty.png").write_bytes(b"")
    names = ["torn.png", "good.png", "words.jpg", "empty.png", "absent.png"]
    found = _sightings(*[tmp_path / name for name in names])
    codes = ["unreadable", "", "unreadable", "unreadable", "unreadable"]
    assert [sightings[0].code for sightings in found] == codes
    assert all(s.reason and not s.reason.startswith(s.picture.name) for (s,) in found if s.code)


def test_what_cannot_be_cut_out_stops_nothing() -> None:
    class Torn(Columns):
        def crop(self, image: np.ndarray, region: Region) -> np.ndarray:
            if region.box[0] == 4:
                raise UnreadableItem("picture 0: the region is torn")
            return super().crop(image, region)

    items = _items(_picture(1, 4), _picture(2))
    found = [s for sightings in sight(Torn(), items.items) for s in sightings]
    assert [(s.name, s.code) for s in found] == [("picture 0", "unreadable"), ("picture 1", "")]
    assert found[0].reason == "the region is torn"


def test_a_picture_of_a_hundred_megapixels_is_refused_with_its_size(tmp_path: Path) -> None:
    Image.new("1", (20_000, 5_000)).save(tmp_path / "panorama.png")
    ((sighting,),) = _sightings(tmp_path / "panorama.png")
    assert sighting.code == "unreadable"
    assert "100,000,000" in sighting.reason or "20,000" in sighting.reason, sighting.reason


def test_one_region_is_what_is_meant_whatever_the_choice() -> None:
    (sightings,) = _sightings(_picture(4))
    for choice in ("only", "largest", "all"):
        assert chosen(sightings, choice, noun="column") == sightings


def test_of_several_regions_none_is_picked_unasked() -> None:
    (sightings,) = _sightings(_picture(0, 2, 4))
    (refused,) = chosen(sightings, "only", noun="column")
    assert (refused.code, refused.region, refused.crop) == ("several_columns", None, None)
    assert refused.reason.startswith("the picture shows 3 columns")
    assert chosen(sightings, "all", noun="column") == sightings
    (largest,) = chosen(sightings, "largest", noun="column")
    assert largest is sightings[1]  # of x % 3 + 1 pixels


def test_what_is_too_small_to_be_compared_is_not_meant() -> None:
    (sightings,) = _sightings(_picture(0, 2, 4))
    small, other, blurred = (
        replace(s, crop=None, code=code) if code else s
        for s, code in zip(sightings, ("too_small", "", "blurred"), strict=True)
    )
    assert chosen([small, other], "only", noun="column") == (other,)
    for several in ([other, blurred], [small, small], [small, other, blurred]):
        (refused,) = chosen(several, "only", noun="column")
        assert refused.code == "several_columns"
    assert "2 columns" in chosen([small, other, blurred], "only", noun="column")[0].reason


def test_crops_of_items_and_problems_in_order() -> None:
    items = _items(_picture(1), _picture(), _picture(2, 3), _picture(5))
    earlier = Items(items.items, (Problem("earlier", "was torn"),), "here")
    crops = crops_of(Columns(), earlier)
    assert [crop.label for crop in crops.items] == ["class 0", "class 3"]
    assert [p.name for p in crops.problems] == ["earlier", "picture 1", "picture 2"]
    assert crops.origin == "here"
    every = crops_of(Columns(), items, "all")
    assert [c.name for c in every.items] == [
        "picture 0",
        "picture 2 #1",
        "picture 2 #2",
        "picture 3",
    ]


def test_whole_pictures_come_back_as_they_are() -> None:
    items = _items(_picture(1))
    assert crops_of(open_detector(), items) is items


def test_unknown_detectors_and_options_are_named() -> None:
    with pytest.raises(PluginError, match="did you mean 'faces'"):
        open_detector("face")
    with pytest.raises(InvalidInput, match=r"option that it does not have.*colour"):
        open_detector({"name": "boxes", "colour": "red"})
    with pytest.raises(InvalidInput, match="settings of a detector with its name"):
        open_detector({"min_size_pixels": 3})


def test_faces_of_a_group_picture_become_items_that_differ() -> None:
    picture, boxes = draw_scene([(0, 0), (1, 0), (2, 0)], face_pixels=60)
    faces = Faces()
    crops = crops_of(faces, _items(picture, draw_portrait(3, 0)), "all")
    assert len(crops) == len(boxes) + 1
    assert len({crop.content_hash() for crop in crops.items}) == 4
    only = crops_of(faces, _items(picture, draw_portrait(3, 0)))
    assert [crop.label for crop in only.items] == ["class 1"]
    assert "the picture shows 3 faces" in only.problems[0].reason
