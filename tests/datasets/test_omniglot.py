"""Omniglot from a folder or its zip file, as downloaded."""

from __future__ import annotations

import io
import os
import zipfile
from pathlib import Path

import pytest
from PIL import Image

from ilk.datasets import open_source
from ilk.datasets.omniglot import HELD_OUT, omniglot
from ilk.errors import DataError

NAMES = [
    f"images_background/{alphabet}/character0{character}/0{number}_{drawer:02}.png"
    for number, (alphabet, character) in enumerate(
        [("Greek", 1), ("Greek", 2), ("Latin", 1), ("Braille", 1), ("N_Ko", 3)], start=100
    )
    for drawer in (1, 20)
]


def png() -> bytes:
    buffer = io.BytesIO()
    Image.new("1", (105, 105), 1).save(buffer, "PNG")
    return buffer.getvalue()


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    path = tmp_path / "downloads" / "images_background.zip"
    path.parent.mkdir()
    with zipfile.ZipFile(path, "w") as packed:
        for name in [*NAMES, "../evil.png", "images_background/../../evil.png", "__MACOSX/x.png"]:
            packed.writestr(name, png())
    return path


def test_ten_of_thirty_alphabets_are_held_out() -> None:
    assert len(set(HELD_OUT)) == 10
    assert list(HELD_OUT) == sorted(HELD_OUT)


def test_the_parts_share_no_alphabet_and_are_the_whole(archive: Path) -> None:
    train, test, whole = (omniglot(part, root=archive.parent) for part in ("train", "test", None))
    assert train.classes == ("Latin/character01", "N_Ko/character03")
    assert test.classes == ("Braille/character01", "Greek/character01", "Greek/character02")
    assert len(train) + len(test) == len(whole) == 10
    assert {item.split for item in train.items} == {"train"}
    assert {item.split for item in test.items} == {"test"}
    assert {item.group for item in whole.items} == {"01", "20"}
    assert test.origin == "omniglot:test"


def test_folder_and_zip_file_are_found_wherever_named(archive: Path) -> None:
    from_zip = omniglot(root=archive)
    unpacked = archive.parent / "images_background"
    for root in (archive.parent, unpacked, archive, str(archive)):
        again = omniglot(root=root)
        assert [item.source for item in again.items] == [item.source for item in from_zip.items]
    assert all(str(item.source).startswith(str(unpacked)) for item in from_zip.items)
    assert sorted(os.listdir(archive.parent)) == ["images_background", "images_background.zip"]
    assert not list(archive.parent.parent.rglob("evil*"))


def test_where_nothing_can_be_written_the_cache_is_used(
    archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(os, "access", lambda path, mode: Path(path) != archive.parent)
    items = omniglot("test", root=archive)
    assert all(str(item.source).startswith(str(tmp_path / "cache/ilk")) for item in items.items)
    monkeypatch.setattr(zipfile, "ZipFile", None)  # not opened a second time
    assert len(omniglot("test", root=archive)) == len(items)


def test_by_name_with_a_part_and_a_folder(archive: Path) -> None:
    assert len(open_source(f"omniglot:test@{archive.parent}")) == 6
    assert len(open_source(f"omniglot@{archive}")) == 10


def test_what_is_missing_is_said(archive: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="needs its folder, as in omniglot:test@FOLDER"):
        open_source("omniglot:test")
    with pytest.raises(DataError, match="parts train and test, got 'valid'"):
        omniglot("valid", root=archive)
    with pytest.raises(DataError, match="found neither; take images_background"):
        omniglot(root=tmp_path)
    archive.write_bytes(archive.read_bytes()[:500])
    with pytest.raises(DataError, match="not a readable zip file"):
        omniglot(root=archive)
    with zipfile.ZipFile(archive, "w") as packed:
        packed.writestr("readme.txt", "nothing here")
    with pytest.raises(DataError, match="got none"):
        omniglot(root=archive)
    assert os.listdir(archive.parent) == ["images_background.zip"]
    (tmp_path / "images_background" / "Latin" / "character01").mkdir(parents=True)
    with pytest.raises(DataError, match="expected alphabets with drawings"):
        omniglot(root=tmp_path)


@pytest.mark.slow
def test_the_real_set_has_its_published_counts() -> None:
    if "ILK_DATA" not in os.environ:
        pytest.skip("ILK_DATA does not name the folder of real data")
    root = Path(os.environ["ILK_DATA"]) / "omniglot_background"
    whole = omniglot(root=root)
    alphabets = sorted({label.partition("/")[0] for label in whole.classes})
    assert len(whole) == 19_280
    assert len(whole.classes) == 964
    assert len(alphabets) == 30
    assert set(whole.class_sizes.values()) == {20}
    assert tuple(alphabets[2::3]) == HELD_OUT
