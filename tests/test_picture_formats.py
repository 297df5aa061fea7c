"""Further formats: PNM, AVIF, HEIC; what their decoding takes of memory."""

from __future__ import annotations

import io
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, features

from ilk.errors import UnreadableItem
from ilk.images import read_image
from ilk.picture_formats import claimed_size, picture_format

COLUMNS = np.arange(0, 256, 4, dtype=np.uint8)
RAMP = np.stack([np.broadcast_to(COLUMNS, (48, 64)), np.full((48, 64), 90, np.uint8),
                 np.broadcast_to(COLUMNS[::-1], (48, 64))], axis=-1)  # fmt: skip


def test_pnm_is_read_at_every_depth_and_by_its_own_white() -> None:
    assert read_image(b"P5 2 1 15\n\0\x0f")[0, :, 0].tolist() == [0, 255]
    assert read_image(b"P2 # made\n2 1\n9 # nine is white\n9 0\n")[0, :, 0].tolist() == [255, 0]
    assert read_image(b"P3\n1 1 255 1 2 3\n").tolist() == [[[1, 2, 3]]]
    assert read_image(b"P4 8 1\n\xf0")[0, :, 0].tolist() == [0] * 4 + [255] * 4
    assert read_image(b"P1 2 1\n0 1\n")[0, :, 0].tolist() == [255, 0]
    wide = b"P5\r\n3 1\r\n65535\n" + struct.pack(">3H", 0, 25700, 65535)
    assert read_image(wide)[0, :, 0].tolist() == [0, 100, 255]
    for short in (b"P6 2 1 255\n12345", b"P3 2 1 255 1 2 3", b"P5 2 1 0\n\0\0"):
        with pytest.raises(UnreadableItem, match="damaged PPM"):
            read_image(short)


@pytest.mark.skipif(not features.check("avif"), reason="this Pillow reads no AVIF")
def test_avif_is_read_turned_and_past_damaged_exif() -> None:
    buffer, exif = io.BytesIO(), Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(RAMP).save(buffer, "AVIF", quality=95, subsampling="4:4:4", exif=exif)
    data = buffer.getvalue()
    upright = np.rot90(RAMP, -1).astype(int)
    assert abs(read_image(data) - upright).max() <= 8
    at = max(data.find(b"II*\0"), data.find(b"MM\0*"))
    assert abs(read_image(data[:at] + b"\xff" * 8 + data[at + 8 :]) - upright).max() <= 8


def heic(**options: object) -> bytes:
    pillow_heif = pytest.importorskip("pillow_heif", reason='needs pip install "ilk[heif]"')
    buffer = io.BytesIO()
    pillow_heif.from_pillow(Image.fromarray(RAMP)).save(buffer, quality=95, chroma=444, **options)
    return buffer.getvalue()


def test_heic_is_read_and_turned_once() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    assert abs(read_image(heic()).astype(int) - RAMP).max() <= 12
    turned = read_image(heic(exif=exif.tobytes())).astype(int)
    assert abs(turned - np.rot90(RAMP, -1)).max() <= 12
    with pytest.raises(UnreadableItem, match="damaged HEIC"):
        read_image(heic()[:600])


def test_heic_names_its_extra_where_it_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ilk.picture_formats.find_spec", lambda name: None)
    start = b"\0\0\0\x18ftypmif1\0\0\0\0mif1heic" + bytes(40)
    with pytest.raises(UnreadableItem, match=r'phone.heic: HEIC .*pip install "ilk\[heif\]"'):
        read_image(start, name="phone.heic")


def test_containers_are_told_apart_by_the_brands_in_them() -> None:
    def found(brands: bytes) -> str:
        size = struct.pack(">I", 8 + len(brands))
        known = picture_format(size + b"ftyp" + brands + b"\0\0\0\x20metaavif")
        return known.name if known is not None else ""

    assert found(b"avif\0\0\0\0") == found(b"mif1\0\0\0\0mif1miafavif") == "AVIF"
    assert found(b"heic\0\0\0\0mif1heic") == found(b"mif1\0\0\0\0mif1heic") == "HEIC"
    assert found(b"isom\0\0\0\0isomavc1") == found(b"qt  \0\0\0\0qt  ") == ""


def test_a_webp_is_refused_by_what_it_claims_before_it_is_opened() -> None:
    for options in ({"lossless": True}, {}, {"exif": b"Exif\0\0II*\0"}):
        buffer = io.BytesIO()
        Image.fromarray(RAMP).save(buffer, "WEBP", **options)
        assert claimed_size(buffer.getvalue()[:64]) == (64, 48)
    claims = b"RIFF\x1a\0\0\0WEBPVP8L\x0d\0\0\0\x2f" + struct.pack("<I", 16382 | 16382 << 14)
    for data in (claims + bytes(9), claims[:12] + b"JUNK\0\0\0\0" + claims[12:] + bytes(9)):
        with pytest.raises(UnreadableItem, match=r"16383 x 16383|tells no size"):
            read_image(data)


def test_a_file_is_not_read_whole_when_it_is_larger_than_any_picture(tmp_path: Path) -> None:
    path = tmp_path / "sparse.webp"
    with path.open("wb") as file:
        file.write(b"RIFF\0\0\0\0WEBPVP8L")
        file.truncate(2 << 30)
    with pytest.raises(UnreadableItem, match=r"2,147,483,648 bytes, more than the limit of"):
        read_image(path)


_PEAK = """
import sys
from pathlib import Path
from PIL import AvifImagePlugin, GifImagePlugin, JpegImagePlugin, PngImagePlugin, PpmImagePlugin
from PIL import TiffImagePlugin, WebPImagePlugin
from ilk.images import read_image
def peak():
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024 * int(next(line for line in lines if line.startswith("VmHWM")).split()[1])
Path("/proc/self/clear_refs").write_text("5")
before = peak()
pixels = read_image(Path(sys.argv[1]))
print((peak() - before) / (pixels.shape[0] * pixels.shape[1]))
"""


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="needs Linux's /proc")
@pytest.mark.parametrize(
    ("mode", "file_format", "options"),
    [("RGB", "JPEG", {"progressive": True, "subsampling": 0}), ("CMYK", "JPEG", {}),
     ("LA", "PNG", {"compress_level": 1}), ("I;16", "PNG", {"compress_level": 1}),
     ("RGBA", "WEBP", {"method": 0}), ("RGB", "WEBP", {"lossless": True, "method": 0}),
     ("F", "TIFF", {"compression": "tiff_lzw"}), ("I", "TIFF", {}), ("P", "GIF", {}),
     ("I;16", "PPM", {}), ("RGBA", "AVIF", {"speed": 10})],
)  # fmt: skip
def test_decoding_takes_at_most_18_bytes_for_each_pixel(
    tmp_path: Path, mode: str, file_format: str, options: dict[str, object]
) -> None:
    if file_format == "AVIF" and not features.check("avif"):
        pytest.skip("this Pillow reads no AVIF")
    path = tmp_path / "large"
    Image.new(mode, (3000, 3000)).save(path, file_format, **options)
    ran = subprocess.run(
        [sys.executable, "-c", _PEAK, str(path)], capture_output=True, text=True, check=True
    )
    assert 3 < float(ran.stdout) <= 18
