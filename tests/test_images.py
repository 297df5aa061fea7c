"""Pictures come out as a person sees them, whatever the file, and damage is one kind of error."""

from __future__ import annotations

import io
import struct
import warnings
import zlib

import numpy as np
import pytest
from PIL import Image

from ilk.errors import UnreadableItem
from ilk.images import read_image

RNG = np.random.default_rng(5)
SMOOTH = np.clip(
    np.stack(np.meshgrid(np.arange(40) * 5, np.arange(30) * 7), -1).sum(-1, keepdims=True)
    + np.array([0, 30, 60]),
    0,
    255,
).astype(np.uint8)
NOISE = RNG.integers(0, 256, (30, 40, 3), np.uint8)
WHITE = [255, 255, 255]


def saved(image: Image.Image, file_format: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, file_format, **options)
    return buffer.getvalue()


def tiff(values: np.ndarray, bits: int, sample_format: int = 1) -> bytes:
    """Write one uncompressed grey strip by hand, little-endian, as the TIFF 6.0 standard says."""
    height, width = values.shape
    if bits == 12:
        digits = "".join(f"{v:012b}" for v in values.ravel())
        strip = bytes(int(digits[i : i + 8], 2) for i in range(0, len(digits), 8))
    else:
        strip = values.tobytes()
    tags = [
        (256, width),
        (257, height),
        (258, bits),
        (259, 1),
        (262, 1),
        (273, 8),
        (277, 1),
        (278, height),
        (279, len(strip)),
        (339, sample_format),
    ]
    directory = struct.pack("<H", len(tags))
    directory += b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags)
    return b"II*\0" + struct.pack("<I", 8 + len(strip)) + strip + directory + b"\0\0\0\0"


@pytest.mark.parametrize(
    ("file_format", "options"),
    [("PNG", {}), ("BMP", {}), ("TIFF", {}), ("TIFF", {"compression": "tiff_lzw"}),
     ("WEBP", {"lossless": True})],
)  # fmt: skip
def test_lossless_formats_give_the_pixels_that_went_in(
    file_format: str, options: dict[str, object]
) -> None:
    data = saved(Image.fromarray(NOISE), file_format, **options)
    np.testing.assert_array_equal(read_image(data), NOISE)


@pytest.mark.parametrize(
    ("file_format", "options"),
    [("JPEG", {"quality": 95}), ("JPEG", {"quality": 95, "progressive": True}),
     ("WEBP", {"quality": 95})],
)  # fmt: skip
def test_lossy_formats_give_nearly_the_pixels_that_went_in(
    file_format: str, options: dict[str, object]
) -> None:
    image = read_image(saved(Image.fromarray(SMOOTH), file_format, **options))
    assert image.shape == SMOOTH.shape
    assert image.dtype == np.uint8
    assert abs(image.astype(int) - SMOOTH).max() <= 12


def test_of_an_animation_the_first_frame_is_read() -> None:
    frames = [Image.new("RGB", (6, 4), colour) for colour in ("#00ff00", "#ff0000", "#0000ff")]
    for file_format in ("GIF", "WEBP", "PNG", "TIFF"):
        options = {"lossless": True} if file_format == "WEBP" else {}
        data = saved(frames[0], file_format, save_all=True, append_images=frames[1:], **options)
        assert np.unique(read_image(data).reshape(-1, 3), axis=0).tolist() == [[0, 255, 0]]


def test_grey_one_bit_and_palette_become_rgb() -> None:
    grey = NOISE[..., 0]
    np.testing.assert_array_equal(
        read_image(saved(Image.fromarray(grey), "PNG")), np.repeat(grey[..., None], 3, 2)
    )
    bits = grey > 127
    for file_format in ("PNG", "BMP", "TIFF", "GIF"):
        image = read_image(saved(Image.fromarray(bits).convert("1"), file_format))
        np.testing.assert_array_equal(image, np.repeat(bits[..., None] * np.uint8(255), 3, 2))
    palette = Image.fromarray(NOISE).quantize(16)
    for file_format in ("PNG", "GIF", "BMP", "TIFF"):
        np.testing.assert_array_equal(
            read_image(saved(palette, file_format)), np.asarray(palette.convert("RGB"))
        )


def test_transparency_lies_on_white() -> None:
    alpha = np.linspace(0, 255, NOISE[..., 0].size).reshape(NOISE.shape[:2]).astype(np.uint8)
    share = alpha[..., None] / 255
    expected = NOISE * share + 255 * (1 - share)
    pixels = np.concatenate([NOISE, alpha[..., None]], 2)
    for file_format, options in (
        ("PNG", {}),
        ("WEBP", {"lossless": True, "exact": True}),
        ("TIFF", {}),
    ):
        image = read_image(saved(Image.fromarray(pixels), file_format, **options))
        assert abs(image - expected).max() <= 1
    grey = Image.merge("LA", [Image.fromarray(NOISE[..., 0]), Image.fromarray(alpha)])
    assert abs(read_image(saved(grey, "PNG"))[..., 0] - expected[..., 0]).max() <= 1


def test_a_transparent_palette_entry_or_colour_is_white() -> None:
    palette = Image.new("P", (2, 1))
    palette.putpalette([0, 0, 0, 200, 10, 10])
    palette.putdata([0, 1])
    for file_format in ("PNG", "GIF"):
        data = saved(palette, file_format, transparency=0)
        assert read_image(data).tolist() == [[WHITE, [200, 10, 10]]]
    half = saved(palette, "PNG", transparency=b"\x00\x80")
    assert read_image(half)[0, 0].tolist() == WHITE
    assert abs(read_image(half)[0, 1].astype(int) - [227, 132, 132]).max() <= 1
    rgb = Image.fromarray(np.array([[[1, 2, 3], [200, 10, 10]]], np.uint8))
    assert read_image(saved(rgb, "PNG", transparency=(1, 2, 3))).tolist() == [
        [WHITE, [200, 10, 10]]
    ]
    grey = Image.fromarray(np.array([[7, 8]], np.uint8))
    assert read_image(saved(grey, "PNG", transparency=7)).tolist() == [[WHITE, [8, 8, 8]]]
    bit = Image.fromarray(np.array([[True, False]])).convert("1")
    assert read_image(saved(bit, "PNG", transparency=0)).tolist() == [[WHITE, WHITE]]


def test_sixteen_bits_are_scaled_and_not_cut_off() -> None:
    ramp = np.linspace(0, 65535, 256).round().astype(np.uint16).reshape(16, 16)
    expected = (ramp / 257).round()
    for data in (
        saved(Image.fromarray(ramp), "PNG"),
        saved(Image.fromarray(ramp), "TIFF"),
        tiff(ramp, 16),
    ):
        np.testing.assert_array_equal(read_image(data)[..., 0], expected)
    big_endian = Image.frombytes("I;16B", (16, 16), ramp.astype(">u2").tobytes())
    np.testing.assert_array_equal(read_image(saved(big_endian, "TIFF"))[..., 0], expected)


def test_a_dark_sixteen_bit_picture_stays_dark() -> None:
    dark = np.full((4, 4), 2570, np.uint16)
    assert read_image(saved(Image.fromarray(dark), "PNG"))[..., 0].tolist() == [[10] * 4] * 4


def test_a_transparent_grey_of_sixteen_bits_is_white() -> None:
    data = saved(Image.fromarray(np.array([[257, 514]], np.uint16)), "PNG")
    chunk = b"tRNS" + struct.pack(">H", 257)
    chunk = struct.pack(">I", 2) + chunk + struct.pack(">I", zlib.crc32(chunk))
    at = data.index(b"IDAT") - 4
    assert read_image(data[:at] + chunk + data[at:])[0].tolist() == [WHITE, [2, 2, 2]]


def test_twelve_bits_are_scaled_by_twelve() -> None:
    ramp = np.linspace(0, 4095, 64).round().astype(np.uint16).reshape(8, 8)
    np.testing.assert_array_equal(read_image(tiff(ramp, 12))[..., 0], (ramp / 4095 * 255).round())


def test_integers_and_floats_without_a_white_of_their_own() -> None:
    def shown(values: list[float], dtype: type, bits: int, sample_format: int) -> list[int]:
        data = tiff(np.array([values], dtype), bits, sample_format)
        result: list[int] = read_image(data)[0, :, 0].tolist()
        return result

    assert shown([0, 0.5, 1], np.float32, 32, 3) == [0, 128, 255]
    assert shown([0, 51, 255], np.float32, 32, 3) == [0, 51, 255]
    assert shown([0, 257, 65535], np.float32, 32, 3) == [0, 1, 255]
    assert shown([-1, 0, 1], np.float32, 32, 3) == [0, 128, 255]
    assert shown([0, 25700, 65535], np.int32, 32, 2) == [0, 100, 255]
    assert shown([0, 1_000_000, 2_000_000], np.int32, 32, 2) == [0, 128, 255]
    assert shown([3e38, -3e38], np.float32, 32, 3) == [255, 0]


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_pixels_that_are_no_numbers_are_refused_and_counted(dtype: type) -> None:
    values: np.ndarray = np.zeros((3, 4), dtype)
    values[1, 1:3] = np.nan, -np.inf
    with pytest.raises(UnreadableItem, match=r"^depth: 2 of its 12 values are NaN or infinite$"):
        read_image(values, name="depth")
    data = tiff(np.array([[np.nan, 1.0]], np.float32), 32, 3)
    with pytest.raises(UnreadableItem, match="1 of its 2 values is NaN or infinite"):
        read_image(data)


def test_large_pictures_are_scaled_as_small_ones_are() -> None:
    values = np.arange(1500 * 1500, dtype=np.float64).reshape(1500, 1500)
    expected = np.floor(values / values.max() * 255 + 0.5)
    np.testing.assert_array_equal(read_image(values)[..., 0], expected)


@pytest.mark.parametrize("file_format", ["JPEG", "TIFF"])
def test_cmyk_becomes_rgb(file_format: str) -> None:
    inks = {(255, 0, 0, 0): [0, 255, 255], (0, 255, 255, 0): [255, 0, 0], (0, 0, 0, 0): WHITE,
            (0, 0, 0, 255): [0, 0, 0]}  # fmt: skip
    for ink, expected in inks.items():
        image = read_image(saved(Image.new("CMYK", (16, 16), ink), file_format))
        assert abs(image.astype(int) - expected).max() <= 3


def test_the_inverted_cmyk_of_adobe_is_seen_upright() -> None:
    data = saved(Image.new("CMYK", (16, 16), (255, 0, 0, 0)), "JPEG", quality=100)
    assert b"Adobe" in data[:40]
    with Image.open(io.BytesIO(data)) as stored:  # white paper is 255 in the file itself
        stored.draft("CMYK", stored.size)
        stored.tile = [tile._replace(args=("CMYK", "")) for tile in stored.tile]
        assert np.asarray(stored)[0, 0].tolist() == [0, 255, 255, 255]
    assert abs(read_image(data)[0, 0].astype(int) - [0, 255, 255]).max() <= 3


def as_stored(visual: np.ndarray, orientation: int) -> np.ndarray:
    """Lay out pixels as EXIF 2.3 says: which side row 0 and column 0 of the file are."""
    row_side, column_side = {
        1: ("top", "left"),
        2: ("top", "right"),
        3: ("bottom", "right"),
        4: ("bottom", "left"),
        5: ("left", "top"),
        6: ("right", "top"),
        7: ("right", "bottom"),
        8: ("left", "bottom"),
    }[orientation]
    height, width = visual.shape[:2]
    is_turned = row_side in ("left", "right")
    rows, columns = (width, height) if is_turned else (height, width)
    stored = np.zeros((rows, columns, 3), np.uint8)
    for row in range(rows):
        for column in range(columns):
            y, x = (column, row) if is_turned else (row, column)
            y_side, x_side = (column_side, row_side) if is_turned else (row_side, column_side)
            y = height - 1 - y if y_side == "bottom" else y
            x = width - 1 - x if x_side == "right" else x
            stored[row, column] = visual[y, x]
    return stored


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("file_format", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_all_orientations_come_out_upright(file_format: str, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    options: dict[str, object] = {"lossless": True} if file_format == "WEBP" else {}
    if file_format == "JPEG":
        options = {"quality": 100, "subsampling": 0}
    visual = SMOOTH[:16, :24]
    data = saved(Image.fromarray(as_stored(visual, orientation)), file_format, exif=exif, **options)
    image = read_image(data)
    assert image.shape == visual.shape
    assert abs(image.astype(int) - visual).max() <= (4 if file_format == "JPEG" else 0)


def test_damaged_exif_data_does_not_hide_the_picture() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    data = saved(Image.fromarray(SMOOTH), "JPEG", exif=exif)
    damaged = data.replace(b"II*\0", b"II*\xff").replace(b"MM\0*", b"MM\xff*")
    assert damaged != data
    assert read_image(damaged).shape == SMOOTH.shape
    assert read_image(saved(Image.fromarray(SMOOTH), "PNG", exif=b"Exif\0\0nonsense")).any()


def test_the_warnings_of_the_process_are_left_as_they_were() -> None:
    exif = saved(Image.fromarray(SMOOTH), "JPEG", exif=b"Exif\0\0II*\0\x08\0\0\0\x09\0\x12\x01")
    before = list(warnings.filters)
    read_image(exif)
    read_image(tiff(NOISE[..., 0], 8))
    assert warnings.filters == before


def test_arrays_in_memory() -> None:
    np.testing.assert_array_equal(read_image(NOISE), NOISE)
    np.testing.assert_array_equal(read_image(NOISE[::-1, ::2]), NOISE[::-1, ::2])
    np.testing.assert_array_equal(read_image(NOISE[..., :1]), np.repeat(NOISE[..., :1], 3, 2))
    assert read_image(np.array([[True, False]])).tolist() == [[WHITE, [0, 0, 0]]]
    clear = np.array([[[9, 9, 9, 0], [9, 9, 9, 255]]], np.uint8)
    assert read_image(clear).tolist() == [[WHITE, [9, 9, 9]]]
    assert read_image(clear[..., 2:]).tolist() == [[WHITE, [9, 9, 9]]]
    assert read_image(np.array([[0.0, 0.2, 1.0]]))[0, :, 0].tolist() == [0, 51, 255]
    copy = read_image(NOISE)
    copy[:] = 0
    assert NOISE.any()


def test_a_box_is_cut_from_what_is_seen() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    data = saved(Image.fromarray(as_stored(NOISE, 6)), "PNG", exif=exif)
    np.testing.assert_array_equal(read_image(data, box=(5, 7, 25, 17)), NOISE[7:17, 5:25])
    np.testing.assert_array_equal(read_image(NOISE, box=(4.9, 6.1, 5.1, 6.2)), NOISE[6:7, 4:6])
    np.testing.assert_array_equal(read_image(NOISE, box=(-9, -9, 99, 99)), NOISE)
