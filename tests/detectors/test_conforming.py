"""The kit for detectors: ours pass, and what is broken does not."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from ilk.datasets.portraits import draw_portrait, draw_scene
from ilk.detecting import open_detector
from ilk.detector import Region
from ilk.detectors.boxes import Boxes
from ilk.detectors.faces import Faces
from ilk.detectors.whole_image import WholeImage
from ilk.images import Box
from ilk.testing import check_detector


def test_the_whole_picture_conforms() -> None:
    check_detector(WholeImage(), [draw_portrait(0, 0, 60)])


def test_boxes_conform() -> None:
    check_detector(Boxes())
    check_detector(Boxes(min_size_pixels=30))


def test_faces_conform() -> None:
    pictures = [draw_portrait(0, 0), draw_scene([(1, 0), (2, 0), (3, 0)])[0]]
    check_detector(Faces(), pictures)
    check_detector(Faces(size_pixels=64, min_size_pixels=20, min_score=0.6), pictures[:1])


@pytest.mark.parametrize("name", ["whole_image", "boxes", "faces"])
def test_ours_are_plugins_that_are_made_again_of_their_settings(name: str) -> None:
    detector = open_detector(name)
    assert detector.settings["name"] == name
    assert open_detector(detector.settings).settings == detector.settings


class Broken:
    """A detector with one fault."""

    noun = "thing"
    is_whole = False

    def __init__(self, fault: str = "") -> None:
        self.fault = fault
        self.calls = 0

    @property
    def settings(self) -> dict[str, Any]:
        return {"name": "broken", "fault": self.fault} if self.fault != "settings" else {}

    def detect(self, image: np.ndarray, *, box: Box | None = None) -> tuple[Region, ...]:
        self.calls += 1
        height, width = image.shape[:2]
        if self.fault == "changes":
            image[0, 0] += 1
        given = box or (0.0, 0.0, float(width), float(height))
        region = Region(
            box=given[::-1] if self.fault == "box" else given,
            score=1.5 if self.fault == "score" else 1.0,
            code="odd" if self.fault == "code" else "",
            landmarks=((float("nan"), 0.0),) if self.fault == "landmarks" else (),
        )
        if self.fault == "elsewhere" and box is not None:
            region = Region(box=(1000.0, 1000.0, 1001.0, 1001.0))
        if self.fault == "moody":
            region = Region(box=given, score=1 / self.calls)
        return (region,) * (2 if self.fault == "many" and box is not None else 1)

    def crop(self, image: np.ndarray, region: Region) -> np.ndarray:
        return image.astype(float) if self.fault == "crop" else image


def test_a_sound_one_passes() -> None:
    check_detector(Broken())


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        ("settings", "must have a name"),
        ("changes", "must stay as it was"),
        ("box", "x1, y1, x2, y2"),
        ("score", "score"),
        ("code", "code and reason"),
        ("landmarks", "landmarks"),
        ("elsewhere", "must meet it"),
        ("moody", "must be the same"),
        ("many", "one region at most"),
        ("crop", "uint8"),
    ],
)
def test_a_broken_one_does_not(fault: str, said: str) -> None:
    with pytest.raises(AssertionError, match=said):
        check_detector(Broken(fault))


def test_a_picture_in_which_nothing_is_found_is_told() -> None:
    with pytest.raises(AssertionError, match="expected regions in picture 0"):
        check_detector(Faces(), [np.zeros((50, 50, 3), np.uint8)])
