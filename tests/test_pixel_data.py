"""Pictures whose pixels are whole are read, whatever is wrong beside them; others are not."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from PIL import Image, PngImagePlugin

from ilk.datasets.portraits import draw_portrait
from ilk.errors import UnreadableItem
from ilk.images import read_image

PORTRAIT = Image.fromarray(draw_portrait(0, 5)).resize((96, 80))
PIXELS = np.asarray(PORTRAIT)
EXIF = Image.Exif()
EXIF[0x0112] = 3
TURNED = PIXELS[::-1, ::-1]


def saved(file_format: str, image: Image.Image = PORTRAIT, **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, file_format, **options)
    return buffer.getvalue()


def chunk(name: bytes, data: bytes, *, is_sound: bool = True) -> bytes:
    total = zlib.crc32(name + data) ^ (not is_sound)
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", total)


def with_chunk(*chunks: bytes) -> bytes:
    png = saved("PNG")
    return png[:33] + b"".join(chunks) + png[33:]


def with_segment(marker: int, data: bytes, **options: Any) -> bytes:
    jpeg = saved("JPEG", **options)
    segment = bytes([0xFF, marker]) + struct.pack(">H", len(data) + 2) + data
    return jpeg[:2] + segment + jpeg[2:]


def pngs() -> Iterator[tuple[str, bytes]]:
    text = PngImagePlugin.PngInfo()
    text.add_text("workflow", "x" * 2_000_000, zip=True)
    yield "a profile of 1.2 MB", saved("PNG", icc_profile=bytes(1_200_000))
    yield "a text of 2 MB", saved("PNG", pnginfo=text)
    many = [chunk(b"zTXt", b"%d\0\0" % i + zlib.compress(bytes(1_000_000))) for i in range(70)]
    yield "70 texts of 1 MB", with_chunk(*many)
    whole = {
        b"tEXt": b"a\0b", b"zTXt": b"a\0\0" + zlib.compress(b"x"), b"iTXt": b"a\0\0\0\0\0b",
        b"gAMA": bytes(4), b"cHRM": bytes(32), b"sRGB": b"\0", b"pHYs": bytes(9),
        b"iCCP": b"p\0\0" + zlib.compress(b"x"), b"tRNS": bytes(6), b"eXIf": EXIF.tobytes()[6:],
        b"acTL": bytes(8), b"fcTL": bytes(26), b"caBX": b"1",
    }  # fmt: skip
    for name, data in whole.items():
        yield f"{name!r} with a bad sum", with_chunk(chunk(name, data, is_sound=False))
        yield f"{name!r} cut short", with_chunk(chunk(name, data[:1]))
        yield f"{name!r} empty", with_chunk(chunk(name, b""))
    yield "a profile packed by an unknown method", with_chunk(chunk(b"iCCP", b"p\0\1x"))
    png = saved("PNG")
    yield "texts between the data", b"".join(_with_texts_between_the_data(png))
    yield "no end", png[:-12]
    yield "a text that breaks off", png[:-12] + chunk(b"tEXt", b"a\0" + b"b" * 99)[:40]


def _with_texts_between_the_data(png: bytes) -> Iterator[bytes]:
    at = png.find(b"IDAT")
    (length,) = struct.unpack(">I", png[at - 4 : at])
    data = png[at + 4 : at + 4 + length]
    yield png[: at - 4] + chunk(b"IDAT", data[:99]) + chunk(b"tEXt", b"a\0b")
    yield chunk(b"IDAT", data[99:]) + png[at + 8 + length :]


def gifs() -> Iterator[tuple[str, bytes]]:
    gif = saved("GIF", PORTRAIT.quantize(16), comment=b"hello")
    at = gif.find(b"!\xfe")
    yield "no trailer", gif[:-1]
    for what in (b"!\xff\x0bNETSCAPE2.0\0", b"!\xff\0", b"!\xf9\0", b"!\xf9\1\0\0", b"\0\0"):
        yield f"{what!r}", gif[:at] + what + gif[at:]


def webps() -> Iterator[tuple[str, bytes]]:
    webp = saved("WEBP", lossless=True, exif=EXIF, icc_profile=b"x" * 100)
    exif, profile = webp.find(b"EXIF"), webp.find(b"ICCP")
    yield "cut in EXIF", webp[: exif + 20]
    yield "EXIF too long", webp[: exif + 4] + b"\0\0\1\0" + webp[exif + 8 :]
    yield "a profile one byte short", webp[: profile + 4] + b"\x63\0\0\0" + webp[profile + 8 :]
    for size in (0, len(webp) + 100, 2**32 - 1, len(webp) - 28):
        yield f"a size of {size}", webp[:4] + struct.pack("<I", size) + webp[8:]
    yield "unknown flags", webp[:20] + b"\xff" + webp[21:]
    plain = saved("WEBP", lossless=True)
    yield "an unknown chunk", plain[:12] + b"ABCD\4\0\0\0wxyz" + plain[12:]


def tiffs() -> Iterator[tuple[str, bytes]]:
    for order, letters in (("<", b"II*\0"), (">", b"MM\0*")):
        rows = [(256, 4, 1, 96), (257, 4, 1, 80), (262, 3, 1, 2), (277, 3, 1, 3), (273, 4, 1, 8),
                (258, 3, 3, 8 + PIXELS.size), (279, 4, 1, PIXELS.size)]  # fmt: skip
        for tag, kind, count, value in [(270, 2, 100, 10**8), (700, 4, 1, 5), (34675, 7, 9, 10**8)]:
            entries = sorted([*rows, (tag, kind, count, value)])
            body = b"".join(
                struct.pack(order + "HHI", t, k, n)
                + (
                    struct.pack(order + "HH", v, 0)
                    if k == 3 and n == 1
                    else struct.pack(order + "I", v)
                )
                for t, k, n, v in entries
            )
            at, bits = (
                struct.pack(order + "I", 14 + PIXELS.size),
                struct.pack(order + "3H", 8, 8, 8),
            )
            head = letters + at + PIXELS.tobytes() + bits + struct.pack(order + "H", len(entries))
            yield f"tag {tag} {letters!r}", head + body + bytes(4)


@pytest.mark.parametrize("data", [pytest.param(d, id=n) for n, d in [*pngs(), *webps(), *tiffs()]])
def test_pixels_are_read_past_what_is_wrong_beside_them(data: bytes) -> None:
    assert np.array_equal(read_image(data), PIXELS) or np.array_equal(read_image(data), TURNED)


@pytest.mark.parametrize("data", [pytest.param(d, id=n) for n, d in gifs()])
def test_gifs_are_read_past_damaged_extensions(data: bytes) -> None:
    np.testing.assert_array_equal(read_image(data), read_image(saved("GIF", PORTRAIT.quantize(16))))


@pytest.mark.parametrize(
    ("marker", "whole"),
    [(0xE0, b"JFIF\0\1\1\0\0\1\0\1\0\0"), (0xE1, b"Exif\0\0" + bytes(20)),
     (0xE2, b"ICC_PROFILE\0\1\1" + bytes(20)), (0xE2, b"MPF\0" + b"\xff" * 20),
     (0xED, b"Photoshop 3.0\x008BIM\3\xed\0\0\0\0\0\x10" + bytes(16)),
     (0xEE, b"Adobe\0\x64\0\0\0\0\1"), (0xFE, b"a comment")],
)  # fmt: skip
def test_jpegs_are_read_past_segments_of_any_length(marker: int, whole: bytes) -> None:
    expected = read_image(saved("JPEG"))
    for length in range(len(whole) + 1):
        data = with_segment(marker, whole[:length])
        np.testing.assert_array_equal(read_image(data), expected, str(length))


def test_the_orientation_outlives_what_is_dropped() -> None:
    exif = EXIF.tobytes()
    png = with_chunk(chunk(b"tEXt", b"a\0b", is_sound=False), chunk(b"eXIf", exif[6:]))
    np.testing.assert_array_equal(read_image(png), TURNED)
    jpeg = with_segment(0xE0, b"JFIF\0", exif=EXIF)
    np.testing.assert_array_equal(read_image(jpeg), read_image(saved("JPEG"))[::-1, ::-1])


JPEGS = {
    "baseline": {"quality": 95}, "full colour": {"subsampling": 0},
    "progressive": {"progressive": True}, "restarts": {"restart_marker_rows": 1},
    "grey": {"image": PORTRAIT.convert("L")}, "cmyk": {"image": PORTRAIT.convert("CMYK")},
}  # fmt: skip


@pytest.mark.parametrize("options", JPEGS.values(), ids=JPEGS)
def test_a_jpeg_may_lack_its_end_marker_and_nothing_else(options: dict[str, Any]) -> None:
    jpeg = saved("JPEG", **options)
    expected = read_image(jpeg)
    for ending in (b"", b"\xff", b"\0" * 40):
        np.testing.assert_array_equal(read_image(jpeg[:-2] + ending), expected)
    for share in (0.3, 0.5, 0.7, 0.9, 0.97):
        with pytest.raises(UnreadableItem, match="damaged JPEG"):
            read_image(jpeg[: int(len(jpeg) * share)])
    for num_lost in (4, 6, 10, 30):
        with pytest.raises(UnreadableItem, match="damaged JPEG"):
            read_image(jpeg[:-num_lost])


def test_a_progressive_jpeg_that_lacks_whole_scans_is_refused() -> None:
    jpeg = saved("JPEG", progressive=True)
    starts = [at for at in range(len(jpeg)) if jpeg[at : at + 2] == b"\xff\xda"]
    assert len(starts) > 5
    for at in starts[1:]:
        tables = jpeg.rfind(b"\xff\xc4", 0, at)
        with pytest.raises(UnreadableItem, match="damaged JPEG"):
            read_image(jpeg[: tables if tables > starts[0] else at])


@pytest.mark.parametrize("file_format", ["PNG", "WEBP", "GIF", "TIFF", "BMP", "PPM", "AVIF"])
def test_files_that_lack_pixels_stay_refused(file_format: str) -> None:
    image = PORTRAIT.quantize(16) if file_format == "GIF" else PORTRAIT
    data = saved(file_format, image)
    for share in (0.5, 0.8):
        with pytest.raises(UnreadableItem, match="damaged"):
            read_image(data[: int(len(data) * share)])
    png = saved("PNG")
    at = png.find(b"IDAT")
    with pytest.raises(UnreadableItem, match="damaged PNG"):
        read_image(png[:29] + b"1234" + png[33:])
    with pytest.raises(UnreadableItem, match="damaged PNG"):
        read_image(png[: at - 4] + chunk(b"tEXt", b"a\0b", is_sound=False) + png[at - 4 : at + 400])
