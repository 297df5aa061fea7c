"""One code turns pictures into inputs: what can be computed by hand, and always the same."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from PIL import Image

from ilk.errors import InvalidInput, UnreadableItem
from ilk.images import read_image
from ilk.items import Item
from ilk.preprocess import Preprocess, sides_of

RNG = np.random.default_rng(3)
PHOTO = RNG.integers(0, 256, (37, 53, 3), np.uint8)

sides = st.integers(1, 24)
pictures = st.tuples(sides, sides).flatmap(lambda hw: arrays.arrays(np.uint8, (*hw, 3)))
sizes = st.integers(1, 24) | st.tuples(st.integers(1, 24), st.integers(1, 24))
ways = st.builds(
    Preprocess,
    size_pixels=sizes,
    channels=st.sampled_from([1, 3]),
    resize=st.sampled_from(["squash", "crop"]),
    crop_fraction=st.floats(0.1, 1.0),
    trim=st.booleans(),
) | st.builds(
    Preprocess,
    size_pixels=sizes,
    channels=st.sampled_from([1, 3]),
    resize=st.just("pad"),
)


@settings(deadline=None)
@given(ways, pictures)
def test_a_frame_has_its_shape_and_a_batch_its_own(way: Preprocess, picture: np.ndarray) -> None:
    before = picture.copy()
    frame = way.frame(picture)
    assert frame.shape == (*sides_of(way.size_pixels), way.channels)
    assert frame.dtype == np.uint8
    batch = way.inputs([frame, frame])
    assert batch.shape == (2, *(way.input_shape or ()))
    assert batch.dtype == np.float32
    np.testing.assert_array_equal(picture, before)


@settings(deadline=None)
@given(ways, st.tuples(sides, sides), st.tuples(*[st.integers(0, 255)] * 3))
def test_a_plain_picture_stays_plain(
    way: Preprocess, size: tuple[int, int], colour: tuple[int, int, int]
) -> None:
    picture = np.broadcast_to(np.array(colour, np.uint8), (*size, 3))
    frame = way.frame(picture)
    red, green, blue = colour
    seen = [round(0.299 * red + 0.587 * green + 0.114 * blue)] if way.channels == 1 else colour
    colours = [seen, [255] * way.channels] if way.resize == "pad" else [seen]
    distances = [abs(frame.astype(int) - np.array(c)).max(-1) for c in colours]
    assert np.minimum.reduce(distances).max() <= 1


@settings(deadline=None)
@given(ways)
def test_settings_make_the_same_again_through_json(way: Preprocess) -> None:
    assert Preprocess.from_settings(json.loads(json.dumps(way.settings))) == way


def test_shrinking_by_a_whole_factor_averages_and_is_antialiased() -> None:
    stripes = np.zeros((64, 64, 3), np.uint8)
    stripes[:, ::2] = 255
    frame = Preprocess(size_pixels=8).frame(stripes)
    assert abs(frame[:, 1:-1].astype(int) - 127.5).max() <= 3


def test_the_size_of_the_encoder_goes_through_unchanged() -> None:
    square = PHOTO[:32, :32]
    for resize in ("squash", "crop", "pad"):
        np.testing.assert_array_equal(
            Preprocess.from_settings({"size_pixels": 32, "resize": resize}).frame(square), square
        )


def test_crop_keeps_the_middle_and_squash_keeps_the_edges() -> None:
    picture = np.zeros((32, 96, 3), np.uint8)
    picture[:, 32:64] = 255
    assert Preprocess(size_pixels=32, resize="crop").frame(picture).min() == 255
    squashed = Preprocess(size_pixels=32, resize="squash").frame(picture)
    assert squashed[:, :8].max() == squashed[:, -8:].max() == 0
    assert squashed[:, 14:18].min() == 255
    half = np.zeros((32, 32, 3), np.uint8)
    half[8:24, 8:24] = 255
    for resize in ("crop", "squash"):
        way = Preprocess.from_settings({"size_pixels": 16, "resize": resize, "crop_fraction": 0.5})
        assert way.frame(half).min() == 255


def test_pad_keeps_everything_and_fills_up_with_white() -> None:
    frame = Preprocess(size_pixels=32, resize="pad").frame(np.zeros((16, 64, 3), np.uint8))
    assert frame[:12].min() == 255
    assert frame[12:20].max() == 0
    assert frame[20:].min() == 255


def test_what_a_rectangle_keeps_and_where() -> None:
    """Thirds of 32 x 96: black, white, black; then the same upright."""
    lying = np.zeros((32, 96, 3), np.uint8)
    lying[:, 32:64] = 255
    for picture, tall, wide in ((lying, 32, 64), (lying.swapaxes(0, 1), 64, 32)):
        along = 1 if wide > tall else 0

        def profile(resize: str, picture: np.ndarray = picture, along: int = along) -> list[int]:
            way = Preprocess.from_settings({"size_pixels": list(SIZES[along]), "resize": resize})
            frame = way.frame(picture)
            assert frame.shape == (*SIZES[along], 3)
            line = frame[16, :, 0] if along else frame[:, 16, 0]
            return [int(line[i]) for i in (0, 12, 20, 32, 44, 52, 63)]

        assert profile("squash") == [0, 0, 0, 255, 0, 0, 0]  # white from 21 to 43
        assert profile("crop") == [0, 0, 255, 255, 255, 0, 0]  # the middle 64 of 96
        assert profile("pad")[1:-1] == [0, 0, 255, 0, 0]
        padded = Preprocess(size_pixels=SIZES[along], resize="pad").frame(picture)
        outside = padded[0] if along else padded[:, 0]
        assert outside.min() == 255  # 32 x 96 becomes 21 x 64: white above and below


SIZES = {1: (32, 64), 0: (64, 32)}


def test_a_size_is_a_number_or_height_and_width() -> None:
    square = Preprocess(size_pixels=(4, 4))
    assert (square, square.settings["size_pixels"]) == (Preprocess(size_pixels=4), 4)
    person = Preprocess.from_settings({"size_pixels": [256, 128]})
    assert person.input_shape == (3, 256, 128)
    assert person.settings["size_pixels"] == [256, 128]
    frames = RNG.integers(0, 256, (2, 256, 128, 3), np.uint8)
    assert person.normalize(frames).shape == (2, 3, 256, 128)
    with pytest.raises(InvalidInput, match=r"must be \(N, H, W, C\) with \(256, 128, 3\), got"):
        person.normalize(frames.swapaxes(1, 2))
    for size in ([256], [1, 2, 3], (0, 4), 5000, True, 4.0, "4", [4, "4"], None):
        with pytest.raises(InvalidInput, match=r"one whole number or \(height, width\), from 1 to"):
            Preprocess.from_settings({"size_pixels": size})


def test_trim_makes_a_drawing_independent_of_where_it_stands() -> None:
    way = Preprocess(size_pixels=24, channels=1, resize="pad", trim=True)
    frames = []
    for top, left in ((10, 10), (40, 60)):
        page = np.full((105, 105, 3), 255, np.uint8)
        page[top : top + 20, left : left + 30] = PHOTO[:20, :30] // 4
        frames.append(way.frame(page))
    np.testing.assert_array_equal(frames[0], frames[1])
    assert frames[0].min() < 64
    blank = np.full((9, 9, 3), 255, np.uint8)
    assert way.frame(blank).min() == 255


def test_grey_is_the_luminance_of_television() -> None:
    frame = Preprocess(size_pixels=32, channels=1).frame(PHOTO[:32, :32])
    luminance = PHOTO[:32, :32] @ np.array([0.299, 0.587, 0.114])
    assert abs(frame[..., 0] - luminance).max() <= 0.51


def test_normalize_agrees_with_its_formula() -> None:
    mean, std = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
    way = Preprocess(size_pixels=4, mean=mean, std=std)
    frames = RNG.integers(0, 256, (5, 4, 4, 3), np.uint8)
    expected = ((frames / 255 - mean) / std).transpose(0, 3, 1, 2)
    batch = way.normalize(frames)
    np.testing.assert_allclose(batch, expected, atol=2e-6)
    np.testing.assert_array_equal(batch, way.normalize(frames.astype(np.float32)))
    assert batch.flags.c_contiguous
    assert way.normalize(frames[:0]).shape == (0, 3, 4, 4)


def test_a_row_does_not_depend_on_its_batch() -> None:
    way = Preprocess(size_pixels=4)
    frames = RNG.integers(0, 256, (5, 4, 4, 3), np.uint8)
    np.testing.assert_array_equal(way.normalize(frames)[3:4], way.normalize(frames[3:4]))


@pytest.mark.parametrize("mode", ["RGB", "L", "1", "P", "RGBA", "LA", "CMYK", "I;16"])
@pytest.mark.parametrize("channels", [1, 3])
def test_load_is_read_and_frame(tmp_path: Path, mode: str, channels: int) -> None:
    image = Image.fromarray(PHOTO)
    image = image.convert("L").convert(mode) if mode == "I;16" else image.convert(mode)
    path = tmp_path / "x.tif"
    image.save(path)
    item = Item(path, "a", "x.tif", box=(3, 4, 50, 30))
    way = Preprocess(size_pixels=16, channels=channels, resize="crop")
    expected = way.frame(read_image(path, box=item.box))
    np.testing.assert_array_equal(way.load(item), expected)
    np.testing.assert_array_equal(way.load(item), way.load(item))


def test_a_file_and_its_pixels_in_memory_give_the_same() -> None:
    buffer = io.BytesIO()
    Image.fromarray(PHOTO).save(buffer, "PNG")
    way = Preprocess(size_pixels=16)
    np.testing.assert_array_equal(
        way.frame(read_image(buffer.getvalue())), way.load(Item(PHOTO, "a", "row 0"))
    )


def test_arrays_go_through_as_they_are() -> None:
    way = Preprocess(modality="array", shape=(3,))
    rows = [np.array([1, 2, 3]), np.array([0.5, 0, -1])]
    loaded = [way.load(Item(row, "a", "row")) for row in rows]
    batch = way.inputs(loaded)
    assert batch.dtype == np.float32
    assert batch.tolist() == [[1, 2, 3], [0.5, 0, -1]]
    assert way.input_shape == (3,)
    with pytest.raises(UnreadableItem, match=r"row 7: expected an array of shape \(3,\)"):
        way.load(Item(np.zeros(4), "a", "row 7"))
    with pytest.raises(UnreadableItem, match=r"a\.wav: expected an array in memory"):
        way.load(Item(Path("a.wav"), "a", "a.wav"))


def test_an_unreadable_item_is_named(tmp_path: Path) -> None:
    (tmp_path / "x.png").write_bytes(b"")
    with pytest.raises(UnreadableItem, match=r"^Ωmega/x\.png: the file is empty$"):
        Preprocess().load(Item(tmp_path / "x.png", "a", "Ωmega/x.png"))


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"modality": "sound"}, "modality"),
        ({"resize": "stretch"}, "resize"),
        ({"channels": 4}, "channels"),
        ({"size_pixels": 0}, "size_pixels"),
        ({"crop_fraction": 0.0}, "crop_fraction"),
        ({"crop_fraction": 0.5, "resize": "pad"}, "crop_fraction"),
        ({"mean": [0.5, 0.5]}, "mean"),
        ({"mean": [float("nan")]}, "mean"),
        ({"std": [0.0]}, "std"),
        ({"std": 0.5}, "wrong type"),
        ({"colour": 3}, r"unknown \['colour'\]"),
    ],
)
def test_settings_that_make_no_sense_are_refused(changed: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        Preprocess.from_settings(changed)


def test_wrong_inputs_are_refused() -> None:
    way = Preprocess(size_pixels=4)
    for image in (np.zeros((4, 4)), np.zeros((4, 4, 3)), np.zeros((0, 4, 3), np.uint8)):
        with pytest.raises(InvalidInput, match="read_image"):
            way.frame(image)
    with pytest.raises(InvalidInput, match="frames"):
        way.normalize(np.zeros((1, 5, 4, 3), np.uint8))
    with pytest.raises(InvalidInput, match="one shape"):
        way.inputs([np.zeros((4, 4, 3), np.uint8), np.zeros((5, 4, 3), np.uint8)])
    with pytest.raises(InvalidInput, match="no inputs"):
        way.inputs([])


def test_an_encoder_may_want_blue_first() -> None:
    rgb = Preprocess(size_pixels=4, mean=(0.1, 0.2, 0.3), std=(0.5, 0.6, 0.7))
    bgr = Preprocess(size_pixels=4, mean=(0.3, 0.2, 0.1), std=(0.7, 0.6, 0.5), channel_order="bgr")
    frames = RNG.integers(0, 256, (2, 4, 4, 3), np.uint8)
    np.testing.assert_array_equal(bgr.normalize(frames), rgb.normalize(frames)[:, ::-1])
    np.testing.assert_array_equal(bgr.frame(PHOTO), rgb.frame(PHOTO))
    assert Preprocess.from_settings(json.loads(json.dumps(bgr.settings))) == bgr


def test_settings_of_before_there_was_an_order_have_the_same_hash() -> None:
    assert "channel_order" not in Preprocess().settings
    assert Preprocess.from_settings({"channel_order": "rgb"}).settings == Preprocess().settings


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"channel_order": "rbg"}, "channel_order must be rgb or bgr, got 'rbg'"),
        ({"channel_order": "bgr", "channels": 1}, "channels must be 3 with bgr, got 1"),
    ],
)
def test_an_order_that_cannot_be_is_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        Preprocess(**options)
