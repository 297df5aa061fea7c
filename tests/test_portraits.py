"""Drawn people: the same each time, different from each other, and where they are said to be."""

from __future__ import annotations

import hashlib
import subprocess
import sys

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ilk.datasets.people import look_of, person_of
from ilk.datasets.portraits import draw_portrait, draw_scene, portraits
from ilk.detectors.faces import Faces
from ilk.errors import DataError, InvalidInput
from ilk.model_files import model_file
from ilk.plugins import load


def test_parts_share_no_person() -> None:
    train, test = (portraits(part, items_per_class=1) for part in ("train", "test"))
    assert (len(train.classes), len(test.classes)) == (60, 40)
    assert not set(train.classes) & set(test.classes)
    assert {item.split for item in test.items} == {"test"}


def test_it_is_a_data_set_by_name() -> None:
    assert load("datasets", "portraits") is portraits


def test_both_parts_at_once() -> None:
    items = portraits(num_people=2, items_per_class=3)
    assert items.classes == ("person 000", "person 001", "person 500", "person 501")
    assert len(items) == 12
    assert len({item.name for item in items.items}) == 12
    assert len({item.content_hash() for item in items.items}) == 12


@pytest.mark.parametrize(
    ("options", "error", "said"),
    [
        ({"part": "val"}, DataError, "train and test, got 'val'"),
        ({"items_per_class": 0}, InvalidInput, "items_per_class must be at least 1, got 0"),
        ({"num_people": 501}, InvalidInput, "from 1 to 500, got 501"),
    ],
)
def test_what_there_is_not_is_refused(
    options: dict[str, object], error: type[Exception], said: str
) -> None:
    with pytest.raises(error, match=said):
        portraits(**options)  # type: ignore[arg-type]


def test_a_picture_is_the_same_in_another_process() -> None:
    code = (
        "import hashlib; from ilk.datasets.portraits import draw_portrait; "
        "print(hashlib.sha256(draw_portrait(4, 2).tobytes()).hexdigest())"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert run.stdout.strip() == hashlib.sha256(draw_portrait(4, 2).tobytes()).hexdigest()


def test_drawing_needs_the_base_install_only() -> None:
    code = (
        "import sys; from ilk.datasets.portraits import draw_portrait; draw_portrait(0, 0); "
        "print([m for m in ('cv2', 'torch', 'matplotlib', 'onnx') if m in sys.modules])"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"


@given(st.integers(0, 10_000), st.integers(0, 10_000))
@settings(deadline=None, max_examples=20)
def test_everybody_can_be_drawn(person: int, variation: int) -> None:
    picture = draw_portrait(person, variation, 48)
    assert picture.shape == (48, 48, 3)
    assert picture.dtype == np.uint8
    assert np.ptp(picture) > 60
    assert person_of(person) == person_of(person)
    assert look_of(person, variation) != look_of(person, variation + 1)
    assert person_of(person) != person_of(person + 1)


def test_numbers_below_nothing_are_refused() -> None:
    for call in (
        lambda: draw_portrait(-1, 0),
        lambda: draw_portrait(0, -1),
        lambda: draw_portrait(0, 0, 0),
        lambda: draw_scene([]),
        lambda: draw_scene([(0, -1)]),
        lambda: draw_scene([(0, 0)], face_pixels=0),
        lambda: draw_scene([(0, 0)], num_columns=-1),
    ):
        with pytest.raises(InvalidInput, match="got"):
            call()


@pytest.mark.parametrize(("people", "columns", "shape"), [(5, None, (2, 3)), (5, 5, (1, 5))])
def test_a_scene_has_rows_and_a_box_for_each(
    people: int, columns: int | None, shape: tuple[int, int]
) -> None:
    numbers = [(person, 0) for person in range(people)]
    picture, boxes = draw_scene(numbers, face_pixels=40, num_columns=columns)
    place = picture.shape[0] // shape[0]
    assert picture.shape == (place * shape[0], place * shape[1], 3)
    middles = np.array(boxes).reshape(-1, 2, 2).mean(1) // place
    expected = [(i % shape[1], i // shape[1]) for i in range(people)]
    np.testing.assert_array_equal(middles, expected)
    widths = np.diff(np.array(boxes)[:, ::2])[:, 0]
    assert 0.7 * 40 < widths.min() <= widths.max() < 1.4 * 40


def test_every_portrait_has_one_face_and_they_tell_people_apart(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    """With the real networks: a toy, but one on which recognising means something."""
    path = tmp_path_factory.mktemp("sface") / "sface.onnx"
    path.write_bytes(model_file("sface", may_download=False).content)
    sface = cv2.FaceRecognizerSF.create(str(path), "")
    items, faces = portraits("test", num_people=20, items_per_class=3), Faces()
    embeddings = []
    for item in items.items:
        assert isinstance(item.source, np.ndarray)
        regions = faces.detect(item.source)
        assert len(regions) == 1, item.name
        assert regions[0].is_assessable, regions[0]
        crop = faces.crop(item.source, regions[0])
        embeddings.append(sface.feature(np.ascontiguousarray(crop[:, :, ::-1]))[0])
    unit = np.array(embeddings) / np.linalg.norm(embeddings, axis=1, keepdims=True)
    likeness = unit @ unit.T - 2 * np.eye(len(unit))
    same = items.class_ids[:, None] == items.class_ids
    assert np.mean(same[np.arange(len(unit)), likeness.argmax(1)]) > 0.9
    # it is no task without mistakes: strangers look alike more than one person now and then does
    assert likeness[same & (likeness > -0.9)].min() < likeness[~same].max()
