from __future__ import annotations

import subprocess
import sys
import unicodedata
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ilk.datasets import fonts
from ilk.datasets import glyphs as module
from ilk.datasets.fonts import FACES, Face, open_faces
from ilk.datasets.glyphs import SCRIPTS, glyphs
from ilk.errors import DataError, InvalidInput, MissingExtra
from ilk.items import Items

ELSEWHERE = """
import sys
from ilk.datasets.glyphs import glyphs
for item in glyphs("test", items_per_class=1).items:
    print(item.content_hash())
print([name for name in sys.modules if name.split(".")[0] in ("matplotlib", "torch")])
"""


@pytest.fixture(scope="module")
def drawn() -> Items:
    """Both parts with two items per class."""
    return glyphs(items_per_class=2)


def character_of(name: str) -> str:
    return chr(int(name.split()[0].removeprefix("U+"), 16))


def test_there_are_many_classes_in_both_parts(drawn: Items) -> None:
    classes = {p: {i.label for i in drawn.items if i.split == p} for p in ("train", "test")}
    assert len(classes["train"]) >= 1000
    assert len(classes["test"]) >= 300
    assert len(drawn.classes) == len(classes["train"]) + len(classes["test"])
    assert set(drawn.class_sizes.values()) == {2}


def test_parts_share_no_script_and_no_picture(drawn: Items) -> None:
    train, test = (drawn.where(lambda i, p=p: i.split == p) for p in ("train", "test"))  # type: ignore[misc]
    assert not {c.split("/")[0] for c in train.classes} & {c.split("/")[0] for c in test.classes}
    assert not {i.content_hash() for i in train.items} & {i.content_hash() for i in test.items}
    for part, of_part in (("train", train), ("test", test)):
        alone = glyphs(part, items_per_class=2)
        assert [i.content_hash() for i in alone.items] == [i.content_hash() for i in of_part.items]
        assert alone.origin == f"glyphs:{part}"


def test_items_are_black_on_white_and_whole(drawn: Items) -> None:
    for item in drawn.items:
        assert isinstance(item.source, np.ndarray)
        assert item.source.shape == (64, 64)
        assert item.source.dtype == np.uint8
        border = np.concatenate([item.source[[0, -1]].ravel(), item.source[:, [0, -1]].ravel()])
        assert (border == 255).mean() > 0.9, item.name
        assert item.source.min() < 128, item.name


def test_items_say_what_they_are(drawn: Items) -> None:
    ranges = {script.name: script for script in SCRIPTS}
    for item in drawn.items:
        character = character_of(item.name)
        script, name = item.label.split("/", 1)
        assert unicodedata.name(character).lower().endswith(name)
        assert any(a <= ord(character) <= b for a, b in ranges[script].ranges)
        assert item.split == ranges[script].part
        assert item.group == item.name.split()[1]
        assert item.group in FACES
    assert len({item.name for item in drawn.items}) == len(drawn)


def test_every_class_has_at_least_two_faces(drawn: Items) -> None:
    faces = Counter(label for label, _ in {(i.label, i.group) for i in drawn.items})
    assert set(faces.values()) == {2}


def test_no_item_is_the_box_of_a_missing_glyph(drawn: Items) -> None:
    """Independent of the font's table: what a face draws for a code point that no face has."""
    boxes = {face.name: face.shape("\U000e0ffe", 24) for face in open_faces()}
    for face in open_faces():
        for item in drawn.items:
            box = boxes[face.name]
            if item.group == face.name and box is not None:
                shape = face.shape(character_of(item.name), 24)
                assert shape is not None
                assert not np.array_equal(shape.pixels, box.pixels), item.name


def test_look_alikes_are_one_class(drawn: Items) -> None:
    kept = {character_of(item.name) for item in drawn.items}
    latin, greek, cyrillic = "AEHP", "ΑΕΗΡ", "АЕНР"
    assert set(latin) <= kept
    assert not kept & set(greek + cyrillic)
    assert len(kept & set("0OoΟοОо")) == 1
    assert set("ЖЯЩΩΞΨÀÈ") <= kept
    assert not kept & set("жящэч")


def test_no_two_classes_are_drawn_alike(drawn: Items) -> None:
    """By a measure of its own: the overlap of filled pixels in DejaVu Sans."""
    characters = sorted({character_of(item.name) for item in drawn.items})
    (sans,) = (face for face in open_faces() if face.name == "DejaVuSans")
    shapes = [shape for c in characters if (shape := sans.shape(c, 24)) is not None]
    assert len(shapes) == len(characters)
    filled = (np.stack([shape.pixels for shape in shapes]).reshape(len(shapes), -1) > 127).astype(
        np.float32
    )
    both = filled @ filled.T
    either = filled.sum(1)[:, None] + filled.sum(1) - both
    overlap = both / either
    aspects = np.log([shape.aspect for shape in shapes])
    overlap *= abs(aspects[:, None] - aspects) < np.log(1.4)
    np.fill_diagonal(overlap, 0)
    assert overlap.max() < 0.95


def test_the_same_in_another_process_without_matplotlib_or_torch() -> None:
    run = subprocess.run(
        [sys.executable, "-c", ELSEWHERE], capture_output=True, text=True, check=True
    )
    *hashes, foreign = run.stdout.splitlines()
    assert hashes == [i.content_hash() for i in glyphs("test", items_per_class=1).items]
    assert foreign == "[]"


def test_seed_changes_pictures_but_not_classes() -> None:
    first, other = (glyphs("test", seed=seed, items_per_class=1) for seed in (0, 1))
    assert first.classes == other.classes
    assert not {i.content_hash() for i in first.items} & {i.content_hash() for i in other.items}


def test_more_items_begin_with_the_fewer() -> None:
    few, many = (glyphs("test", items_per_class=n) for n in (1, 3))
    assert [i.content_hash() for i in few.items] == [i.content_hash() for i in many.items[::3]]


def test_a_face_that_draws_again_draws_differently() -> None:
    items = glyphs("test", items_per_class=5)
    assert len({i.content_hash() for i in items.items}) == len(items)


@pytest.mark.parametrize("part", ["valid", ""])
def test_refuses_other_parts(part: str) -> None:
    with pytest.raises(DataError, match=f"parts train and test, got '{part}'"):
        glyphs(part)


def test_refuses_no_items() -> None:
    with pytest.raises(InvalidInput, match="items_per_class must be at least 1, got 0"):
        glyphs(items_per_class=0)


def test_says_what_to_install_without_matplotlib(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fonts, "find_spec", lambda name: None)
    with pytest.raises(MissingExtra, match=r'pip install "ilk\[train\]"'):
        open_faces.__wrapped__()


def test_says_which_font_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spec = type("Spec", (), {"origin": str(tmp_path / "__init__.py")})()
    monkeypatch.setattr(fonts, "find_spec", lambda name: spec)
    with pytest.raises(DataError, match=r"DejaVuSans.ttf: expected a font of matplotlib"):
        open_faces.__wrapped__()


def test_a_space_has_no_ink() -> None:
    face = open_faces()[0]
    assert face.ink(" ", 42) is None
    assert face.shape(" ", 24) is None


@pytest.mark.parametrize("character", ["A", "g", "Ж", "W", "."])
def test_ink_is_about_as_large_as_asked(character: str) -> None:
    for face in open_faces()[:12]:
        ink = face.ink(character, 42)
        assert ink is not None
        if character == ".":
            assert max(ink.size) <= 30
        else:
            assert 34 <= max(ink.size) <= 50
        edges = np.asarray(ink)
        assert edges[0].any()
        assert edges[:, 0].any()


def test_shape_is_as_large_as_it_gets() -> None:
    face = Face(open_faces()[0].path)
    shape = face.shape("|", 24)
    assert shape is not None
    assert shape.pixels.shape == (24, 24)
    assert shape.pixels.mean() > 220
    assert shape.aspect < 0.2


def test_computer_modern_draws_only_what_ascii_says() -> None:
    for face in open_faces():
        if face.name.startswith("cm"):
            assert {c for c in face.characters if not (c.isascii() and c.isalnum())} == set()
            assert len(face.characters) == 62


def test_bending_is_mild() -> None:
    """Where corners are read from: near where they are, for every draw."""
    ticks = np.linspace(-32, 32, 5)
    still = np.stack(np.meshgrid(ticks, ticks), -1)
    moved = np.stack([module._bent_corners(np.random.default_rng(i)) for i in range(300)]) - still
    middle = moved[:, 2, 2]
    assert abs(middle.mean(0)).max() < 0.5
    assert 1.5 < middle.std() < 4
    assert abs(moved).max() < 30


def test_drawing_is_the_ink_where_nothing_bends(monkeypatch: pytest.MonkeyPatch) -> None:
    ticks = np.linspace(-32, 32, 5)
    still = np.stack(np.meshgrid(ticks, ticks), -1)
    monkeypatch.setattr(module, "_bent_corners", lambda random: still)
    face = open_faces()[0]
    drawing = 255 - module._drawing(face, "R", np.random.default_rng(0)).astype(int)
    ink = face.ink("R", 42)
    assert ink is not None
    expected = Image.new("L", (64, 64))
    corner = (32 - ink.width // 2, 32 - ink.height // 2)
    expected.paste(ink, corner)
    assert np.corrcoef(drawing.ravel(), np.asarray(expected).ravel())[0, 1] > 0.85
    assert drawing.sum() == pytest.approx(np.asarray(ink, int).sum(), rel=0.05)
