"""Pictures on which nothing is to be seen are refused with a reason, and faint ones are not."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ilk.check import check_items
from ilk.datasets import open_source
from ilk.embedding import embed_items
from ilk.encoders.onnx import open_encoder
from ilk.errors import DataError, UnreadableItem
from ilk.items import Item, Items
from ilk.preprocess import Preprocess
from ilk.recognizer import Recognizer
from ilk.unreadable import verify_readable

NOISE = np.random.default_rng(3).integers(0, 256, (20, 30, 4), np.uint8)


def transparent() -> np.ndarray:
    pixels = NOISE.copy()
    pixels[..., 3] = 0
    return pixels


BLANK = {
    "black": (np.zeros((9, 12, 3), np.uint8), r"all 12 x 9 pixels have the colour \(0, 0, 0\)"),
    "grey": (np.full((9, 12), 77, np.uint8), r"have the colour \(77, 77, 77\)"),
    "white": (np.full((9, 12), 255, np.uint8), "all 12 x 9 pixels are white"),
    "transparent": (transparent(), "all 30 x 20 pixels are white or transparent: there is nothing"),
    "single": (np.array([[[9, 99, 0]]], np.uint8), "is a single pixel"),
    "wide": (np.full((9, 12), 0.5), "have the colour"),
    "nan": (np.full((9, 12), np.nan), "108 of its 108 values are NaN or infinite"),
    "infinite": (np.array([[1.0, np.inf], [0.2, 0.4]]), "1 of its 4 values is NaN or infinite"),
}


def faint() -> Iterator[np.ndarray]:
    pixels = np.full((90, 120, 3), 128, np.uint8)
    pixels[71, 45, 2] += 1
    yield pixels
    yield pixels.max(axis=2)
    yield np.array([[0, 1]], np.uint8)
    line = np.full((200, 200), 255, np.uint8)
    line[:, 199] = 254
    yield line


@pytest.mark.parametrize(("pixels", "reason"), BLANK.values(), ids=BLANK)
@pytest.mark.parametrize("resize", ["squash", "crop", "pad"])
def test_what_shows_nothing_is_refused(pixels: np.ndarray, reason: str, resize: str) -> None:
    preprocess = Preprocess(size_pixels=8, resize=resize)  # type: ignore[arg-type]
    with pytest.raises(UnreadableItem, match=rf"^row 7: .*{reason}"):
        preprocess.load(Item(pixels, "a", "row 7"))


@pytest.mark.parametrize("pixels", list(faint()))
@pytest.mark.parametrize("trim", [False, True])
def test_faint_is_not_blank(pixels: np.ndarray, trim: bool) -> None:
    assert Preprocess(size_pixels=8, trim=trim).load(Item(pixels, "a", "faint")).shape == (8, 8, 3)


def test_what_counts_is_the_part_in_the_box() -> None:
    page = np.full((40, 40), 255, np.uint8)
    page[:20] = NOISE[:, :20, 0].repeat(2, axis=1)[:, :40]
    preprocess = Preprocess(size_pixels=8)
    preprocess.load(Item(page, "a", "page", box=(0, 0, 40, 20)))
    with pytest.raises(UnreadableItem, match="all 40 x 20 pixels are white"):
        preprocess.load(Item(page, "a", "page", box=(0, 20, 40, 40)))


def test_arrays_that_are_no_pictures_may_be_even() -> None:
    preprocess = Preprocess(modality="array", shape=(3,))
    assert preprocess.load(Item(np.zeros(3), "a", "row 0")).tolist() == [0, 0, 0]


@pytest.fixture
def recognizer(artifact_folder: Path, tmp_path: Path) -> Iterator[Recognizer]:
    generator = np.random.default_rng(5)
    labels = [f"class {i}" for i in range(30)]
    items = Items.from_arrays(generator.integers(0, 256, (30, 8, 8), np.uint8), labels)
    with Recognizer.create(tmp_path / "gallery", artifact_folder) as made:
        made.enroll(items.take(range(2)))
        made.calibrate(0.2, strangers=items.take(range(2, 30)))
        yield made


def test_nothing_blank_is_enrolled_or_named(recognizer: Recognizer) -> None:
    contents = [pixels for pixels, _ in BLANK.values()]
    names = list(BLANK)
    items = Items(tuple(Item(p, "void", n) for p, n in zip(contents, names, strict=True)))
    seen = Item(NOISE, "seen", "noise")
    answers = recognizer.enroll(Items((*items.items, seen)))
    assert [answer.is_enrolled for answer in answers] == [False] * len(BLANK) + [True]
    codes = ["unreadable" if name in ("nan", "infinite") else "blank" for name in names]
    assert [answer.code for answer in answers] == [*codes, ""]
    assert {row.label for row in recognizer.gallery.labels()} == {"class 0", "class 1", "seen"}
    found = recognizer.identify([*items.items, seen])
    assert [f.decision for f in found[:-1]] == ["not_assessable"] * len(BLANK)
    assert found[-1].label == "seen"
    assert [f.code for f in found] == [*codes, ""]
    assert "all 12 x 9 pixels are white" in found[names.index("white")].reason
    verified = recognizer.verify("seen", [contents[0], NOISE], target_fmr=0.5)
    assert [v.is_accepted for v in verified] == [False, True]


def test_a_detector_that_takes_boxes_refuses_what_is_blank_in_them(
    recognizer: Recognizer,
) -> None:
    page = np.full((40, 40), 255, np.uint8)
    page[:10, :10] = NOISE[:10, :10, 0]
    with Recognizer.of(recognizer.gallery, detector="boxes") as looking:
        items = [Item(page, "a", "page", box=box) for box in ((0, 0, 10, 10), (20, 20, 40, 40))]
        drawn, blank = looking.enroll(Items(tuple(items)))
        assert drawn.is_enrolled
        assert not blank.is_enrolled
        assert blank.code == "blank"


def test_sources_tell_what_is_blank(artifact_folder: Path, tmp_path: Path) -> None:
    for label in ("a", "b"):
        (tmp_path / label).mkdir()
        Image.fromarray(NOISE[..., :3]).save(tmp_path / label / "seen.png")
    buffer = io.BytesIO()
    Image.fromarray(transparent()).save(buffer, "PNG")
    (tmp_path / "a" / "clear.png").write_bytes(buffer.getvalue())
    items = open_source(tmp_path)
    assert len(items) == 3
    (problem,) = check_items(items).problems
    assert (problem.name, problem.code) == ("a/clear.png", "blank")
    with pytest.raises(DataError, match=r"1 of 3 items of .*a/clear.png \(all 30 x 20 pixels"):
        verify_readable(items, read=Preprocess(size_pixels=8).load)
    encoder = open_encoder(artifact_folder)
    with pytest.raises(UnreadableItem, match=r"a/clear\.png: all 30 x 20"):
        embed_items(encoder, items)
    assert [p.name for p in embed_items(encoder, items, on_unreadable="skip").items.problems] == [
        "a/clear.png"
    ]
