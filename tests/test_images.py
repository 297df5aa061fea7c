"""Pictures come out as a person sees them, whatever the file, and damage is one kind of error."""

from __future__ import annotations

import io
import os
import struct
import warnings
import zlib
from pathlib import Path

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


def png_header(width: int, height: int) -> bytes:
    """Write a PNG that claims a size and holds next to nothing."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
        )

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    data = zlib.compress(b"\0" * 100)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b"")
    )


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
    assert shown([np.nan, 1.0, np.inf], np.float32, 32, 3) == [0, 255, 255]
    assert shown([3e38, -3e38], np.float32, 32, 3) == [255, 0]


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


@pytest.mark.parametrize("file_format", ["JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF"])
@pytest.mark.parametrize("share", [0.02, 0.3, 0.6, 0.9])
def test_a_truncated_file_is_refused_by_name(file_format: str, share: float) -> None:
    data = saved(Image.fromarray(NOISE), file_format)
    with pytest.raises(UnreadableItem, match=r"^pets/Rex 1\.jpg: "):
        read_image(data[: int(len(data) * share)], name="pets/Rex 1.jpg")


def test_the_limit_on_pixels_holds_before_anything_is_decoded() -> None:
    with pytest.raises(UnreadableItem, match=r"100000 x 100000 is 10,000,000,000 pixels.*limit"):
        read_image(png_header(100_000, 100_000))
    bomb = saved(Image.new("1", (9000, 9000)), "PNG")
    assert len(bomb) < 20_000
    with pytest.raises(UnreadableItem, match="81,000,000 pixels"):
        read_image(bomb)
    with pytest.raises(UnreadableItem, match="limit of 1,199"):
        read_image(saved(Image.fromarray(NOISE), "JPEG"), max_pixels=1199)
    assert read_image(saved(Image.fromarray(NOISE), "JPEG"), max_pixels=1200).shape == NOISE.shape
    with pytest.raises(UnreadableItem, match="limit of 100"):
        read_image(NOISE, max_pixels=100)


def test_the_limit_of_the_process_does_not_take_the_place_of_ours(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    files = {f: saved(Image.fromarray(NOISE), f) for f in ("JPEG", "PNG", "GIF", "BMP", "TIFF")}
    webp = saved(Image.fromarray(NOISE), "WEBP")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10)
    for data in files.values():
        assert read_image(data).shape == NOISE.shape
    # here Pillow looks too, and where it refuses, so do we
    with pytest.raises(UnreadableItem, match="exceeds limit"):
        read_image(webp)
    with pytest.raises(UnreadableItem, match="exceeds limit"):
        read_image(NOISE, box=(0, 0, 30, 30))


@pytest.mark.parametrize(
    ("content", "reason"),
    [(b"", "the file is empty"), (b"<html>", "not a JPEG"), (b"RIFF0000WAVEfmt ", "not a JPEG"),
     (b"%!PS-Adobe-3.0 EPSF", "not a JPEG"), (b"\xff\xd8\xff", "damaged JPEG"),
     (b"GIF89a", "damaged GIF")],
)  # fmt: skip
def test_what_is_no_picture_is_refused(tmp_path: Path, content: bytes, reason: str) -> None:
    path = tmp_path / "猫 1.jpg"
    path.write_bytes(content)
    with pytest.raises(UnreadableItem, match=reason) as error:
        read_image(path)
    assert str(error.value).startswith(f"{path}: ")


def test_the_name_of_a_file_says_nothing_about_its_format(tmp_path: Path) -> None:
    path = tmp_path / "photo.jpg"
    path.write_bytes(saved(Image.fromarray(NOISE), "PNG"))
    np.testing.assert_array_equal(read_image(path), NOISE)


def test_paths_that_cannot_be_read_are_refused(tmp_path: Path) -> None:
    (tmp_path / "folder.jpg").mkdir()
    (tmp_path / "dangling.jpg").symlink_to(tmp_path / "gone.jpg")
    (tmp_path / "loop.jpg").symlink_to(tmp_path / "loop.jpg")
    os.mkfifo(tmp_path / "pipe.jpg")
    for name, reason in [
        ("folder.jpg", "is a folder"),
        ("dangling.jpg", "No such file"),
        ("loop.jpg", "symbolic link"),
        ("pipe.jpg", "not a regular file"),
        ("missing.jpg", "No such file"),
    ]:
        with pytest.raises(UnreadableItem, match=reason):
            read_image(tmp_path / name)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_without_permission_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "secret.png"
    path.write_bytes(saved(Image.fromarray(NOISE), "PNG"))
    path.chmod(0)
    with pytest.raises(UnreadableItem, match="Permission denied"):
        read_image(path)


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


@pytest.mark.parametrize(
    "array",
    [np.zeros(5), np.zeros((2, 2, 5)), np.zeros((0, 3)), np.zeros((2, 2), object),
     np.zeros((2, 2), complex)],
)  # fmt: skip
def test_arrays_that_are_no_picture_are_refused(array: np.ndarray) -> None:
    with pytest.raises(UnreadableItem, match=r"row 3: .*pixels"):
        read_image(array, name="row 3")


def test_a_box_is_cut_from_what_is_seen() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    data = saved(Image.fromarray(as_stored(NOISE, 6)), "PNG", exif=exif)
    np.testing.assert_array_equal(read_image(data, box=(5, 7, 25, 17)), NOISE[7:17, 5:25])
    np.testing.assert_array_equal(read_image(NOISE, box=(4.9, 6.1, 5.1, 6.2)), NOISE[6:7, 4:6])
    np.testing.assert_array_equal(read_image(NOISE, box=(-9, -9, 99, 99)), NOISE)


@pytest.mark.parametrize(
    "box", [(40, 0, 50, 10), (0, -5, 10, 0), (5, 5, 5, 9), (9, 9, 2, 12), (0, 0, np.nan, 5)]
)
def test_a_box_without_a_pixel_is_refused(box: tuple[float, float, float, float]) -> None:
    with pytest.raises(UnreadableItem, match="box"):
        read_image(NOISE, box=box)


def mutated(data: bytes, rng: np.random.Generator) -> bytes:
    """Overwrite, drop or insert a few bytes, near the start as often as anywhere."""
    changed = bytearray(data)
    for _ in range(rng.integers(1, 9)):
        at = int(rng.integers(0, len(changed) if rng.random() < 0.5 else min(64, len(changed))))
        kind = rng.integers(0, 3)
        if kind == 0:
            changed[at] = rng.integers(0, 256)
        elif kind == 1:
            del changed[at : at + int(rng.integers(1, 20))]
        else:
            changed[at:at] = rng.bytes(int(rng.integers(1, 20)))
        if not changed:
            break
    return bytes(changed)


def survive(num_mutations: int) -> int:
    """Read mutated files of every format; return how many were refused."""
    rng = np.random.default_rng(11)
    exif = Image.Exif()
    exif[0x0112] = 6
    small = Image.fromarray(SMOOTH[:16, :16])
    seeds = [
        *(saved(small, f, exif=exif) for f in ("JPEG", "PNG", "WEBP", "TIFF")),
        saved(small, "JPEG", progressive=True),
        saved(small.quantize(8), "PNG", transparency=b"\0\x80"),
        saved(small.quantize(8), "GIF", transparency=3),
        saved(small.convert("CMYK"), "JPEG"),
        saved(small.convert("RGBA"), "WEBP", lossless=True),
        saved(small, "BMP"),
        saved(small, "TIFF", compression="tiff_lzw"),
        saved(small.convert("I;16"), "PNG"),
        tiff(np.ones((8, 8), np.float32), 32, 3),
    ]
    refused = 0
    for trial in range(num_mutations):
        try:
            image = read_image(mutated(seeds[trial % len(seeds)], rng), max_pixels=1_000_000)
        except UnreadableItem:
            refused += 1
        else:
            assert image.ndim == 3
            assert image.dtype == np.uint8
    return refused


def test_damaged_bytes_raise_nothing_but_unreadable() -> None:
    assert 100 < survive(400) < 400


@pytest.mark.slow
def test_damaged_bytes_raise_nothing_but_unreadable_at_length() -> None:
    survive(10_000)
