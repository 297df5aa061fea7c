"""Damaged, hostile and misplaced files are one kind of error, with a name and a reason."""

from __future__ import annotations

import io
import os
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ilk.errors import UnreadableItem
from ilk.images import read_image

RNG = np.random.default_rng(5)
NOISE = RNG.integers(0, 256, (30, 40, 3), np.uint8)


def saved(image: Image.Image, file_format: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, file_format, **options)
    return buffer.getvalue()


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
    read = [saved(Image.fromarray(NOISE), f) for f in ("JPEG", "PNG", "GIF", "BMP")]
    refused = [saved(Image.fromarray(NOISE), f) for f in ("WEBP", "TIFF")]
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10)
    for data in read:
        assert read_image(data).shape == NOISE.shape
    for data in refused:  # here Pillow looks too, and its refusal is ours
        with pytest.raises(UnreadableItem, match="exceeds limit"):
            read_image(data)
    with pytest.raises(UnreadableItem, match="exceeds limit"):
        read_image(NOISE, box=(0, 0, 30, 30))


@pytest.mark.parametrize(
    ("content", "reason"),
    [(b"", "the file is empty"), (b"<html>", "not a JPEG"), (b"RIFF0000WAVEfmt ", "not a JPEG"),
     (b"%!PS-Adobe-3.0 EPSF", "not a JPEG"), (b"P5 is a marker", "not a JPEG"),
     (b"\xff\xd8\xff", "damaged JPEG"),
     (b"GIF89a", "damaged GIF"),
     (b"\0\0\0\x18ftypisom\0\0\0\0isommp42", "not a JPEG.* convert it")],
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


@pytest.mark.parametrize(
    "array",
    [np.zeros(5), np.zeros((2, 2, 5)), np.zeros((0, 3)), np.zeros((2, 2), object),
     np.zeros((2, 2), complex)],
)  # fmt: skip
def test_arrays_that_are_no_picture_are_refused(array: np.ndarray) -> None:
    with pytest.raises(UnreadableItem, match=r"row 3: .*pixels"):
        read_image(array, name="row 3")


@pytest.mark.parametrize(
    "box", [(40, 0, 50, 10), (0, -5, 10, 0), (5, 5, 5, 9), (9, 9, 2, 12), (0, 0, np.nan, 5)]
)
def test_a_box_without_a_pixel_is_refused(box: tuple[float, float, float, float]) -> None:
    with pytest.raises(UnreadableItem, match="box"):
        read_image(NOISE, box=box)


_FORKED = """
import os, threading, time, warnings
import numpy as np
from ilk import images
warnings.simplefilter("ignore")
held, pixels = threading.Event(), images.read_image(open(0, "rb").read())
def hold():
    with images._quiet_lock, images._large:
        held.set()
        time.sleep(60)
threading.Thread(target=hold, daemon=True).start()
held.wait()
child = os.fork()
if not child:
    os._exit(0 if images.read_image(DATA).shape == pixels.shape else 1)
print(os.waitpid(child, 0)[1])
os._exit(0)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_child_forked_while_another_thread_reads_reads_too() -> None:
    data = saved(Image.fromarray(NOISE), "PNG")
    code = _FORKED.replace("DATA", repr(data))
    ran = subprocess.run(
        [sys.executable, "-c", code], input=data, capture_output=True, timeout=50, check=True
    )
    assert ran.stdout.split() == [b"0"]


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
    small = Image.linear_gradient("L").resize((16, 16)).convert("RGB")
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
        saved(Image.fromarray(np.ones((8, 8), np.float32)), "TIFF"),
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
