"""Drawings of answers: everything is said, nothing leaves the picture, nothing hides the rest."""

from __future__ import annotations

import os
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageDraw, ImageFont

from ilk.detector import Region
from ilk.drawing import draw_answers, write_drawing
from ilk.drawing.labels import Place, label_of, place_labels
from ilk.errors import InvalidInput
from ilk.images import Box
from ilk.lettering import font_for, printable, shortened, told, wrapped
from ilk.results import Candidate, Decision, Identification, PictureAnswer
from ilk.thresholds import Threshold

THRESHOLD = Threshold(
    value=0.42,
    distance={"name": "cosine"},
    target_fpir=0.01,
    num_trials=500,
    basis="cohort",
    gallery_size=20,
)
DISTANCES: dict[Decision, float] = {"identified": 0.3, "ambiguous": 0.4, "unknown": 0.7}
DECISIONS: tuple[Decision, ...] = ("identified", "ambiguous", "unknown", "not_assessable")


def answer(
    decision: Decision = "identified",
    box: Box | None = (10, 10, 50, 60),
    label: str = "Anna",
    distance: float | None = None,
) -> Identification:
    is_bad = decision == "not_assessable"
    region = None if box is None else Region(box=box, code="too_small" if is_bad else "")
    near = DISTANCES.get(decision, 0.0) if distance is None else distance
    candidates = (Candidate(label, near, (1,)), Candidate("Eva", near + 0.01, (2,)))
    return Identification(
        decision=decision,
        label=label if decision == "identified" else None,
        reason="12 pixels of it, at least 24 are needed" if is_bad else "in words",
        candidates=() if is_bad else candidates,
        threshold=None if is_bad else THRESHOLD,
        region=region,
        code="too_small" if is_bad else "",
    )


def picture_of(*answers: Identification, name: str = "party.jpg") -> PictureAnswer:
    return PictureAnswer(name=name, answers=answers)


@pytest.fixture
def written(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Every text that is drawn."""
    words: list[str] = []
    write = ImageDraw.ImageDraw.text

    def listen(self: Any, at: Any, text: str, *args: Any, **options: Any) -> None:
        words.append(text)
        write(self, at, text, *args, **options)

    monkeypatch.setattr(ImageDraw.ImageDraw, "text", listen)
    return words


GREY = np.full((300, 400, 3), 128, np.uint8)


def test_labels_and_strip_say_everything(written: list[str]) -> None:
    boxes: list[Box] = [
        (20, 40, 60, 90),
        (120, 40, 160, 90),
        (220, 40, 260, 90),
        (320, 40, 360, 90),
    ]
    shown = picture_of(*map(answer, DECISIONS, boxes))
    draw_answers(GREY, shown, noun="face")
    assert written == [
        "#1 Anna",
        "0.300 ≤ 0.420",
        "#2 ambiguous",
        "Anna or Eva",
        "0.400 ≤ 0.420",
        "#3 unknown",
        "0.700 > 0.420",
        "#4 not assessable",
        "too small",
        "party.jpg",
        "1 identified, 1 ambiguous, 1 unknown, 1 not assessable",
        "threshold 0.42 (cosine distance): at most 1 % of strangers' faces get a name",
        "if all 3 faces were strangers', at most 3 % of such pictures would show a name",
    ]


def test_one_region_has_no_number_and_no_promise_of_its_picture(written: list[str]) -> None:
    draw_answers(GREY, picture_of(answer()), title="the door, 8:15", noun="face")
    assert written[:3] == ["Anna", "0.300 ≤ 0.420", "the door, 8:15"]
    assert not any("such pictures" in words for words in written)


def test_a_crowd_is_promised_nothing(written: list[str]) -> None:
    rows = [
        answer("unknown", (x, y, x + 9, y + 9))
        for x in range(0, 400, 20)
        for y in (9, 99, 199, 150, 250)
    ]
    draw_answers(GREY, picture_of(*rows), noun="face")
    assert "with 100 faces nothing is promised of the picture: some of so many may well get a" in (
        " ".join(written)
    )


def test_a_distance_that_looks_like_the_threshold_gets_more_digits(written: list[str]) -> None:
    draw_answers(GREY, picture_of(answer("unknown", distance=0.42001)))
    assert "0.42001 > 0.42000" in written
    draw_answers(GREY, picture_of(answer("identified", distance=0.42)))
    assert "0.420 ≤ 0.420" in written


def test_nobody_found_is_said_below_an_untouched_picture(written: list[str]) -> None:
    nobody = Identification(
        decision="not_assessable", label=None, reason="no face was found", code="no_face"
    )
    drawing = draw_answers(np.full((1000, 1200, 3), 77, np.uint8), picture_of(nobody))
    assert written == ["party.jpg", "no face was found"]
    assert (np.asarray(drawing)[:1000] == 77).all()


def test_a_whole_picture_is_framed(written: list[str]) -> None:
    drawing = np.asarray(
        draw_answers(np.full((1000, 1000, 3), 77, np.uint8), picture_of(answer(box=None)))
    )
    assert written[0] == "Anna"
    assert not (drawing[0, :, :] == 77).any()
    assert (drawing[500, 100:900] == 77).all()


def test_colour_and_outline_tell_decisions_apart() -> None:
    """Also to somebody who sees no colours: by lightness, dashes or both."""
    labels = {decision: label_of(answer(decision), 1, 20) for decision in DECISIONS}
    assert len({label.colour for label in labels.values()}) == 4
    assert {labels["ambiguous"].dashes, labels["not_assessable"].dashes, None} == {
        label.dashes for label in labels.values()
    }
    for label in labels.values():
        assert contrast(label.colour, label.ink) >= 4.5  # WCAG 2.1, AA


def contrast(one: str, other: str) -> float:
    def luminance(colour: str) -> float:
        channels = np.array(Image.new("RGB", (1, 1), colour).getpixel((0, 0))) / 255
        linear = np.where(
            channels <= 0.04045, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4
        )
        return float(linear @ [0.2126, 0.7152, 0.0722])

    dark, light = sorted((luminance(one), luminance(other)))
    return (light + 0.05) / (dark + 0.05)


def rectangles(places: list[Place]) -> np.ndarray:
    return np.array(
        [(*p.corner, p.corner[0] + p.label.width, p.corner[1] + p.label.height) for p in places]
    )


def shared(one: np.ndarray, other: np.ndarray) -> float:
    low, high = np.maximum(one[:2], other[:2]), np.minimum(one[2:], other[2:])
    return float(np.clip(high - low, 0, None).prod())


@settings(deadline=None, max_examples=40)
@given(st.integers(1, 14), st.integers(0, 10_000))
def test_labels_stay_in_the_picture_and_off_each_other(count: int, seed: int) -> None:
    chance = random.Random(seed)
    size = (1000, 800)
    boxes: list[Box] = []
    for _ in range(count):
        x, y, side = chance.uniform(-20, 960), chance.uniform(-20, 760), chance.uniform(10, 120)
        boxes.append((x, y, x + side, y + side))
    kept = [(max(0, a), max(0, b), min(999, c), min(799, d)) for a, b, c, d in boxes]
    labels = [label_of(answer(chance.choice(DECISIONS), box), 1, 16) for box in boxes]
    rows = rectangles(place_labels(labels, kept, size, 3))
    assert (rows >= 0).all()
    assert (rows[:, 2] <= size[0]).all()
    assert (rows[:, 3] <= size[1]).all()
    for i in range(count):
        assert not any(shared(rows[i], rows[j]) for j in range(i))


def test_labels_keep_off_the_faces_of_others_where_there_is_room() -> None:
    boxes: list[Box] = [(100, 100, 200, 200), (100, 205, 200, 305), (205, 100, 305, 200)]
    labels = [label_of(answer(box=box, label="Bartholomew"), 1, 20) for box in boxes]
    rows = rectangles(place_labels(labels, boxes, (1000, 800), 3))
    for i, row in enumerate(rows):
        assert not any(shared(row, np.array(boxes[j])) for j in range(3) if j != i)


@pytest.mark.parametrize("shape", [(8, 8), (60, 2000), (2000, 60), (1, 1), (3000, 4000)])
@pytest.mark.parametrize("decision", DECISIONS)
def test_any_size_can_be_read(
    shape: tuple[int, int], decision: Decision, written: list[str]
) -> None:
    height, width = shape
    box = (0.2 * width - 5, -3.0, 0.8 * width, 0.7 * height)
    drawing = draw_answers(np.zeros((*shape, 3), np.uint8), picture_of(answer(decision, box)))
    assert 1000 <= max(drawing.size) <= 4600
    assert len(written) >= 4


def test_a_box_outside_the_picture_is_no_error() -> None:
    for box in ((500, 500, 600, 600), (-90, -90, -10, -10), (50, 50, 50, 50)):
        draw_answers(GREY, picture_of(answer(box=box)))


def test_what_is_no_picture_is_refused() -> None:
    for wrong in (np.zeros((4, 4), np.uint8), np.zeros((4, 4, 3)), np.zeros((0, 4, 3), np.uint8)):
        with pytest.raises(InvalidInput, match=r"expected a picture of \(H, W, 3\) uint8, got"):
            draw_answers(wrong, picture_of(answer()))


def test_the_input_is_not_drawn_on(tmp_path: Path) -> None:
    image = GREY.copy()
    drawing = draw_answers(image, picture_of(answer()))
    assert (image == GREY).all()
    (tmp_path / "a.png").write_bytes(b"before")
    os.link(tmp_path / "a.png", tmp_path / "old")  # replaced at once, and not written into
    write_drawing(drawing, tmp_path / "a.png")
    assert (tmp_path / "old").read_bytes() == b"before"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.png", "old"]
    with Image.open(tmp_path / "a.png") as read:
        assert np.array_equal(np.asarray(read), np.asarray(drawing))


def test_a_name_is_drawn_in_letters_or_as_escapes_never_as_boxes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("ilk.lettering._SYSTEM_FONTS", ("DejaVuSans.ttf",))
    font_for.cache_clear()
    for name in ("Anna", "José", "Ελένη", "Анна"):
        assert told(name, 20)[0] == name
    assert told("安娜", 20)[0] == "\\u5b89\\u5a1c"
    assert told("Li \U0001f389", 20)[0] == "Li \\U0001f389"
    assert told("a\x00b\nc", 20)[0] in ("a\ufffdb c", "a\\ufffdb c")
    for name in ("安娜", "अन्ना", "Ελένη"):
        line, font = told(name, 20)
        assert isinstance(font, ImageFont.FreeTypeFont)
        box = bytes(font.getmask("\uffff"))
        assert all(bytes(font.getmask(c)) != box for c in line)
    monkeypatch.undo()
    font_for.cache_clear()


def test_only_the_font_of_pillow_is_enough(
    monkeypatch: pytest.MonkeyPatch, written: list[str]
) -> None:
    monkeypatch.setattr("ilk.lettering._SYSTEM_FONTS", ())
    monkeypatch.setattr("ilk.lettering._bundled_fonts", list)
    font_for.cache_clear()
    assert told("José", 20)[0] == "Jos\\xe9"
    assert told("Анна", 20)[0] == "\\u0410\\u043d\\u043d\\u0430"
    draw_answers(GREY, picture_of(answer(label="Анна")))
    assert "0.300 <= 0.420" in written
    font_for.cache_clear()


def test_long_lines_are_shortened_or_wrapped() -> None:
    font = font_for("x", 20)
    for room in (30, 100, 300):
        line = shortened("a name that is far too long for this", font, room)
        assert font.getlength(line) <= room or len(line) <= 3
        assert line.startswith("a")
        lines = wrapped("words and words and a verylongwordwithoutanyspaceinit end", font, room)
        assert all(font.getlength(part) <= room or len(part) <= 3 for part in lines)
    assert " ".join(wrapped("one two three", font, 60)) == "one two three"
    assert shortened("short", font, 500) == "short"
    assert printable("a\tb\n c") == "a b c"
