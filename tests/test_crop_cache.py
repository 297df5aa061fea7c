"""What was seen in a picture comes back to the last bit, or not at all."""

from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from ilk.crop_cache import CropCache, KeptCrop, Refusal
from ilk.images import read_image
from ilk.items import Item

CONTENT, OTHER = "a" * 64, "b" * 64


def pixels_of(seed: int, height: int = 9, width: int = 7) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3)).astype(np.uint8)


@pytest.fixture
def cache(tmp_path: Path) -> CropCache:
    return CropCache("faces at 112 pixels", tmp_path / "crops")


@settings(deadline=None, max_examples=30)
@given(seed=st.integers(0, 99), height=st.integers(1, 40), width=st.integers(1, 40))
def test_a_crop_is_kept_to_the_last_bit(
    seed: int, height: int, width: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    pixels = pixels_of(seed, height, width)
    cache = CropCache("x", tmp_path_factory.mktemp("crops"))
    cache.put_crop(CONTENT, pixels)
    kept = cache.get(CONTENT)
    assert isinstance(kept, KeptCrop)
    assert np.array_equal(read_image(kept.path), pixels)
    in_memory = Item(pixels, "label", "name")
    in_file = Item(kept.path, "label", "name", stated_hash=kept.content_hash)
    assert kept.content_hash == in_memory.content_hash() == in_file.content_hash()


def test_a_refusal_is_kept_with_its_reason(cache: CropCache) -> None:
    refusal = Refusal("too_small", "the face has 12 pixels, at least 24 are needed: “größer”")
    cache.put_refusal(CONTENT, refusal)
    assert cache.get(CONTENT) == refusal
    assert cache.get(OTHER) is None


def test_another_way_of_looking_knows_nothing(cache: CropCache, tmp_path: Path) -> None:
    cache.put_crop(CONTENT, pixels_of(0))
    assert CropCache("faces at 160 pixels", tmp_path / "crops").get(CONTENT) is None
    assert CropCache("faces at 112 pixels", tmp_path / "crops").get(CONTENT) is not None


@pytest.mark.parametrize("damage", ["cut", "empty", "flip", "other picture", "no hash", "folder"])
def test_a_damaged_crop_counts_as_missing(cache: CropCache, damage: str) -> None:
    kept = cache.put_crop(CONTENT, pixels_of(0, 30, 30))
    assert kept is not None
    content = kept.path.read_bytes()
    if damage == "cut":
        kept.path.write_bytes(content[: len(content) // 2])
    elif damage == "empty":
        kept.path.write_bytes(b"")
    elif damage == "flip":
        middle = len(content) // 2
        flipped = bytes([content[middle] ^ 64])
        kept.path.write_bytes(content[:middle] + flipped + content[middle + 1 :])
    elif damage == "other picture":
        other = cache.put_crop(OTHER, pixels_of(1, 30, 30))
        assert other is not None
        kept.path.write_bytes(content[:100] + other.path.read_bytes()[100:])
    elif damage == "no hash":
        Image.fromarray(pixels_of(0, 30, 30)).save(kept.path)
    else:
        kept.path.unlink()
        kept.path.mkdir()
    assert cache.get(CONTENT) is None
    if damage != "folder":
        assert cache.put_crop(CONTENT, pixels_of(0, 30, 30)) == kept
        assert cache.get(CONTENT) == kept


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"code": "x"}', b"\xff\xfe"])
def test_a_damaged_refusal_counts_as_missing(cache: CropCache, content: bytes) -> None:
    cache.put_refusal(CONTENT, Refusal("no_face", "none"))
    (path,) = cache.folder.rglob("*.json")
    path.write_bytes(content)
    assert cache.get(CONTENT) is None


def test_nowhere_to_write_is_no_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    cache = CropCache("x", tmp_path / "file")
    assert cache.put_crop(CONTENT, pixels_of(0)) is None
    cache.put_refusal(CONTENT, Refusal("no_face", "none"))
    assert cache.get(CONTENT) is None


def test_a_write_that_fails_leaves_nothing(
    cache: CropCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(self: Path, target: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", full)
        assert cache.put_crop(CONTENT, pixels_of(0)) is None
    assert cache.get(CONTENT) is None
    assert not [path for path in cache.folder.rglob("*") if path.is_file()]


def test_several_may_write_the_same_at_once(cache: CropCache) -> None:
    pixels = pixels_of(0, 112, 112)
    threads = [threading.Thread(target=cache.put_crop, args=(CONTENT, pixels)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    kept = cache.get(CONTENT)
    assert isinstance(kept, KeptCrop)
    assert [path for path in cache.folder.rglob("*") if path.is_file()] == [kept.path]


def test_it_is_in_the_folder_of_caches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ILK_CACHE", str(tmp_path))
    assert CropCache("x").folder.parent == tmp_path / "crops"
