"""Damaged and hostile pictures in front of a gallery: each gets an answer, and none gets in."""

from __future__ import annotations

import io
import os
import struct
import threading
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from ilk.items import Item, Items
from ilk.recognizer import Recognizer

_AT_ONCE = 100
_DECISIONS = {"identified", "ambiguous", "unknown", "not_assessable"}


@pytest.fixture
def recognizer(artifact_folder: Path, picture_folder: Path, tmp_path: Path) -> Iterator[Recognizer]:
    with Recognizer.create(tmp_path / "gallery", artifact_folder) as made:
        items = Items(
            tuple(Item(p, p.parent.name, p.name) for p in sorted(picture_folder.rglob("*.png")))
        )
        assert all(answer.is_enrolled for answer in made.enroll(items))
        made.calibrate(0.67, basis="leave-one-out")
        yield made


def within(seconds: float, act: Callable[[], Any]) -> Any:
    """Return what `act` returns; fail if it hangs."""
    results: list[Any] = []

    def work() -> None:
        try:
            results.append(act())
        except BaseException as error:
            results.append(error)

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    thread.join(seconds)
    assert results, "it hangs"
    if isinstance(results[0], BaseException):
        raise results[0]
    return results[0]


def saved(image: Image.Image, file_format: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, file_format, **options)
    return buffer.getvalue()


def whole_files() -> list[bytes]:
    """Return a small file of each format and of some variants."""
    small = Image.linear_gradient("L").resize((12, 10)).convert("RGB")
    formats = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF")
    return [saved(small, file_format) for file_format in formats] + [
        saved(small, "JPEG", progressive=True),
        saved(small.quantize(8), "PNG", transparency=b"\0\x80"),
        saved(small.convert("RGBA"), "WEBP", lossless=True),
        saved(small, "TIFF", compression="tiff_lzw"),
    ]


def mutated(data: bytes, generator: np.random.Generator) -> bytes:
    """Flip, cut off or insert something, near the start as often as anywhere."""
    changed = bytearray(data)
    for _ in range(int(generator.integers(1, 4))):
        end = len(changed) if generator.random() < 0.5 else min(64, len(changed))
        at = int(generator.integers(0, end))
        kind = generator.choice(["flip", "cut", "insert", "drop"], p=[0.5, 0.1, 0.2, 0.2])
        if kind == "flip":
            changed[at] ^= 1 << int(generator.integers(0, 8))
        elif kind == "cut":
            del changed[max(1, at) :]
        elif kind == "insert":
            changed[at:at] = generator.bytes(int(generator.integers(1, 20)))
        else:
            del changed[at : at + int(generator.integers(1, 20))]
        if not changed:
            return b""
    return bytes(changed)


def files_of(recognizer: Recognizer) -> dict[str, bytes]:
    """Return the bytes of all files of the gallery but the index of its log, which readers use."""
    folder = recognizer.gallery.access.location.folder
    paths = (p for p in folder.rglob("*") if p.is_file() and not p.name.endswith("-shm"))
    return {str(p): p.read_bytes() for p in paths}


def answer_all(recognizer: Recognizer, folder: Path, num_pictures: int) -> Counter[str]:
    """Ask about mutated pictures and enroll some; return how many got which answer."""
    generator, seeds = np.random.default_rng(17), whole_files()
    before, seen = files_of(recognizer), Counter[str]()
    folder.mkdir()
    batches: list[list[Path]] = []
    for start in range(0, num_pictures, _AT_ONCE):
        paths = [folder / f"{i}.png" for i in range(start, min(start + _AT_ONCE, num_pictures))]
        for i, path in enumerate(paths):
            path.write_bytes(mutated(seeds[i % len(seeds)], generator))
        answers = within(120, partial(recognizer.identify, paths))
        assert [answer.name for answer in answers] == [str(path) for path in paths]
        for answer in answers:
            assert answer.decision in _DECISIONS
            assert answer.reason
            assert (answer.threshold is None) == (answer.decision == "not_assessable")
        seen.update(answer.decision for answer in answers)
        batches.append(paths)
    assert files_of(recognizer) == before, "identify wrote something"
    known = len(recognizer.gallery.exemplars())
    for paths in batches[::3]:
        items = Items(tuple(Item(path, "mutant", path.name) for path in paths))
        enrolled = within(120, partial(recognizer.enroll, items))
        assert len(enrolled) == len(paths)
        assert all(answer.is_enrolled or answer.reason for answer in enrolled)
        known += sum(answer.is_enrolled for answer in enrolled)
        seen["enrolled"] += sum(answer.is_enrolled for answer in enrolled)
        seen["refused"] += sum(not answer.is_enrolled for answer in enrolled)
    assert len(recognizer.gallery.exemplars()) == known
    assert recognizer.gallery.access.store.check() == []
    return seen


def test_mutated_pictures_get_an_answer(recognizer: Recognizer, tmp_path: Path) -> None:
    seen = answer_all(recognizer, tmp_path / "mutants", 300)
    assert 50 < seen["not_assessable"] < 290, seen
    assert min(seen["enrolled"], seen["refused"]) > 5, seen


@pytest.mark.slow
def test_10000_mutated_pictures_get_an_answer(
    recognizer: Recognizer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    seen = answer_all(recognizer, tmp_path / "mutants", 10_000)
    with capsys.disabled():
        print("\n", dict(seen))  # noqa: T201  the figures of a long run are wanted
    assert sum(seen[decision] for decision in _DECISIONS) == 10_000


def png(width: int, height: int, *extra: tuple[bytes, bytes]) -> bytes:
    """Write a PNG that claims a size, holds next to nothing, and has further chunks."""

    def chunk(name: bytes, data: bytes) -> bytes:
        seal = struct.pack(">I", zlib.crc32(name + data))
        return struct.pack(">I", len(data)) + name + data + seal

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunks = [(b"IHDR", header), *extra, (b"IDAT", zlib.compress(b"\0" * 100)), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*each) for each in chunks)


def hostile_files(folder: Path) -> dict[str, str]:
    """Write files that nothing good comes of, with a word of the reason for each."""
    folder.mkdir()
    long_text = b"comment\0\0" + zlib.compress(bytes(200_000_000), 9)
    contents = {
        "200-megapixels.png": saved(Image.new("1", (20_000, 10_000)), "PNG"),
        "bomb.png": png(100_000, 100_000),
        "text-bomb.png": png(5, 5, (b"zTXt", long_text)),
        "bomb.gif": saved(Image.new("1", (9_000, 9_000)), "GIF"),
        "bomb.tiff": saved(Image.new("1", (12_000, 12_000)), "TIFF", compression="group4"),
        "empty.jpg": b"",
    }
    for name, content in contents.items():
        assert len(content) < 1_000_000
        (folder / name).write_bytes(content)
    os.mkfifo(folder / "pipe.png")
    (folder / "folder.png").mkdir()
    return {
        "200-megapixels.png": "200,000,000 pixels",
        "bomb.png": "10,000,000,000 pixels",
        "text-bomb.png": "nothing to compare",
        "bomb.gif": "81,000,000 pixels",
        "bomb.tiff": "144,000,000 pixels",
        "empty.jpg": "empty",
        "pipe.png": "not a regular file",
        "folder.png": "is a folder",
    }


def test_hostile_files_are_refused_with_a_reason(recognizer: Recognizer, tmp_path: Path) -> None:
    reasons = hostile_files(tmp_path / "hostile")
    paths = [tmp_path / "hostile" / name for name in reasons]
    before = files_of(recognizer)
    answers = within(120, lambda: recognizer.identify(paths))
    items = Items(tuple(Item(path, "owl", path.name) for path in paths))
    enrolled = within(120, lambda: recognizer.enroll(items))
    assert [answer.decision for answer in answers] == ["not_assessable"] * len(paths)
    for answer, entry, reason in zip(answers, enrolled, reasons.values(), strict=True):
        assert reason in answer.reason
        assert reason in entry.reason
        assert not entry.is_enrolled
    assert files_of(recognizer) == before
