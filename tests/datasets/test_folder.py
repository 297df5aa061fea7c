"""A folder per class, with everything that real folders hold besides."""

from __future__ import annotations

import os
import re
import unicodedata
from pathlib import Path

import pytest
from PIL import Image

from ilk.datasets import open_source
from ilk.datasets.files import open_files
from ilk.datasets.folder import read_folder
from ilk.errors import DataError, InvalidInput, PluginError
from ilk.items import Items, Problem


def draw(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("L", (4, 3)).save(path)


def make(root: Path, *names: str) -> Path:
    for name in names:
        draw(root / name)
    return root


def reasons(items: Items) -> dict[str, str]:
    return {problem.name: problem.reason for problem in items.problems}


def test_the_class_is_the_path_of_the_parent_folder(tmp_path: Path) -> None:
    root = make(tmp_path, "Greek/c1/a.png", "Latin/c1/a.png", "Latin/c1/b.JPG", "Latin/x.png")
    items = open_source(str(root))
    assert [(item.name, item.label) for item in items.items] == [
        ("Greek/c1/a.png", "Greek/c1"),
        ("Latin/c1/a.png", "Latin/c1"),
        ("Latin/c1/b.JPG", "Latin/c1"),
        ("Latin/x.png", "Latin"),
    ]
    assert items.classes == ("Greek/c1", "Latin", "Latin/c1")
    assert items.origin == str(root)
    assert items.items[0].source == root / "Greek/c1/a.png"


@pytest.mark.parametrize(
    "label",
    ["two words", "a  b", "猫", "Ελληνικά", "हिन्दी", "עברית", "🦆", "a'b\"c", "50 %", "a.b"],
)
def test_labels_of_any_script(tmp_path: Path, label: str) -> None:
    items = open_source(make(tmp_path, f"{label}/1.png"))
    assert items.classes == (label,)
    assert items.problems == ()


def test_composed_and_decomposed_names_are_one_class(tmp_path: Path) -> None:
    composed, decomposed = (unicodedata.normalize(form, "Käfer") for form in ("NFC", "NFD"))
    items = open_source(make(tmp_path, f"{composed}/1.png", f"{decomposed}/2.png"))
    assert items.classes == (composed,)
    assert {item.name for item in items.items} == {f"{composed}/1.png", f"{decomposed}/2.png"}


def test_the_order_does_not_depend_on_the_file_system(tmp_path: Path) -> None:
    names = ["b/2.png", "a/9.png", "b/10.png", "a/1.png", "B/1.png"]
    first = read_folder(make(tmp_path / "one", *names))
    second = read_folder(make(tmp_path / "two", *reversed(names)))
    assert [item.name for item in first.items] == [item.name for item in second.items]


def test_hidden_and_foreign_files_are_passed_over(tmp_path: Path) -> None:
    root = make(tmp_path, "a/1.png", "a/.2.png", ".thumbs/3.png", "__MACOSX/a/1.png")
    for name in ("README.md", "a/Thumbs.db", "a/notes.txt", "labels.csv", "a/.DS_Store"):
        (root / name).write_text("text")
    items = open_source(root)
    assert [item.name for item in items.items] == ["a/1.png"]
    assert items.problems == ()


def test_a_picture_without_a_suffix_is_known_by_its_first_bytes(tmp_path: Path) -> None:
    root = make(tmp_path, "a/1.png")
    (root / "a/1.png").rename(root / "a/n02_1")
    assert [item.name for item in open_source(root).items] == ["a/n02_1"]


def test_a_folder_without_a_picture_tells_what_it_holds(tmp_path: Path) -> None:
    for name in ("a/1.npy", "a/2.NPY", "b/1.npy", "b/notes.txt", "b/README", "b/.hidden.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("1")
    told = (
        "found no picture, but 3 files of .npy, 1 of .txt and 1 without an ending; a picture is a"
    )
    with pytest.raises(DataError, match=re.escape(told)):
        open_source(tmp_path)
    (problem,) = open_files([tmp_path / "a"]).problems
    assert problem.reason == "there is no picture here, but 2 files of .npy"
    for i in range(6):
        (tmp_path / f"a/{i}.x{i}").touch()
    with pytest.raises(DataError, match=r"3 files of \.npy, .* and 4 of other endings; a picture"):
        open_source(tmp_path)


def test_heic_is_taken_where_its_extra_is_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = make(tmp_path, "a/1.png", "a/2.pnm", "a/3.pgm")
    (root / "a/phone.HEIC").write_bytes(b"heic")
    monkeypatch.setattr("ilk.datasets.folder.is_heic_read", lambda: True)
    assert [i.name for i in open_source(root).items] == [
        "a/1.png", "a/2.pnm", "a/3.pgm", "a/phone.HEIC"
    ]  # fmt: skip
    monkeypatch.setattr("ilk.datasets.folder.is_heic_read", lambda: False)
    with pytest.raises(DataError, match=r'phone.HEIC \(HEIC is .* pip install "ilk\[heif\]"'):
        open_source(root)


def test_everything_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    root = make(tmp_path, "a/1.png", "lost.png")
    (root / "a/empty.jpg").touch()
    (root / "a/drawing.SVG").write_bytes(b"<svg/>")
    (root / "a/folder.jpg").mkdir()
    (root / "a/gone.png").symlink_to(root / "nowhere.png")
    (root / "a/gone").symlink_to(root / "nowhere")
    (root / "a/loop.png").symlink_to(root / "a/loop.png")
    os.mkfifo(root / "a/pipe.png")
    (root / "a/up").symlink_to(root, target_is_directory=True)
    items = open_source(root, on_unreadable="skip")
    assert [item.name for item in items.items] == ["a/1.png"]
    assert reasons(items) == {
        "a/empty.jpg": "the file is empty",
        "a/drawing.SVG": ".svg files are not read, convert it to JPEG or PNG",
        "a/folder.jpg": "is a folder",
        "a/gone.png": f"a link that leads nowhere, to {root}/nowhere.png",
        "a/gone": f"a link that leads nowhere, to {root}/nowhere",
        "a/loop.png": "Too many levels of symbolic links",
        "a/pipe.png": "is not a regular file",
        "a/up": "a link that leads back to a folder above it",
        "lost.png": "no folder names its class",
    }


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_files_and_folders_without_permission_are_named(tmp_path: Path) -> None:
    root = make(tmp_path, "a/1.png", "a/2.png", "b/1.png")
    (root / "a/2.png").chmod(0)
    (root / "b").chmod(0)
    items = open_source(root, on_unreadable="skip")
    (root / "b").chmod(0o700)
    assert reasons(items) == {
        "a/2.png": "permission denied",
        "b": "the folder cannot be listed: Permission denied",
    }


def test_a_name_that_is_not_utf8_is_named(tmp_path: Path) -> None:
    make(tmp_path, "a/1.png")
    odd = os.fsencode(tmp_path) + b"/a/caf\xe9.png"
    os.rename(os.fsencode(tmp_path / "a/1.png"), odd)
    draw(tmp_path / "a/2.png")
    items = open_source(tmp_path, on_unreadable="skip")
    assert items.problems == (Problem(r"a/caf\xe9.png", "its name is not UTF-8"),)


def test_links_to_folders_are_followed(tmp_path: Path) -> None:
    make(tmp_path / "elsewhere", "1.png")
    make(tmp_path / "root", "a/1.png")
    (tmp_path / "root/b").symlink_to(tmp_path / "elsewhere", target_is_directory=True)
    assert open_source(tmp_path / "root").classes == ("a", "b")


def test_split_folders_are_no_part_of_the_label(tmp_path: Path) -> None:
    root = make(tmp_path, "x/train/a/1.png", "x/train/b/c/1.png", "x/Test/a/2.png")
    items = open_source(root)
    assert [(item.label, item.split) for item in items.items] == [
        ("x/a", "test"),
        ("x/a", "train"),
        ("x/b/c", "train"),
    ]


def test_a_split_of_another_name_stays_beside_those_that_are_known(tmp_path: Path) -> None:
    items = open_source(make(tmp_path, "Train/a/1.png", "DEV/b/1.png", "holdout/a/1.png"))
    assert [(item.label, item.split) for item in items.items] == [
        ("b", "val"),
        ("a", "train"),
        ("a", "holdout"),
    ]


def test_blanks_around_a_folder_are_no_part_of_the_label(tmp_path: Path) -> None:
    items = open_source(make(tmp_path, "a/1.png", "a /1.png", "a\u00a0/1.png", "\u3000a/1.png"))
    assert items.classes == ("a",)
    assert {item.name for item in items.items} == {
        f"{n}/1.png" for n in ("a", "a ", "a\u00a0", "\u3000a")
    }


@pytest.mark.parametrize(
    "folder", ["two\nlines", " ", "\u2028", "one\u2028two", "a" * 251 + "/" + "b" * 251]
)
def test_a_folder_whose_name_is_no_label_fails_by_itself(tmp_path: Path, folder: str) -> None:
    items = open_source(make(tmp_path, "a/1.png", f"{folder}/1.png"), on_unreadable="skip")
    assert items.classes == ("a",)
    (problem,) = items.problems
    assert problem.name == f"{folder}/1.png"
    assert problem.reason.startswith("a label must have 1 to 500 characters and no control")


@pytest.mark.parametrize(
    "names",
    [
        ("train/1.png", "test/2.png"),
        ("train/a/1.png", "test/2.png"),
        ("train/a/1.png", "birds/a/3.png"),
        ("valid/a/1.png", "valid/b/1.png"),
        ("a/1.png", "a/train/b/2.png"),
    ],
)
def test_other_folders_are_part_of_the_label(tmp_path: Path, names: tuple[str, ...]) -> None:
    items = open_source(make(tmp_path, *names))
    assert set(items.classes) == {str(Path(name).parent) for name in names}
    assert {item.split for item in items.items} == {None}


def test_stopping_counts_names_and_says_how_to_go_on(tmp_path: Path) -> None:
    root = make(tmp_path, "a/0.png")
    for i in range(1, 9):
        (root / f"a/{i}.png").touch()
    with pytest.raises(DataError) as error:
        open_source(root)
    assert str(error.value) == (
        f"8 of 9 items of {root} cannot be used: a/1.png (the file is empty); a/2.png (the file is "
        "empty); a/3.png (the file is empty); a/4.png (the file is empty); a/5.png (the file is "
        "empty); and 3 more. Repair or remove them, or leave them out with --on-unreadable skip "
        '(on_unreadable="skip")'
    )
    assert len(open_source(root, on_unreadable="skip").problems) == 8


def test_nothing_to_use_is_an_error_either_way(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    with pytest.raises(DataError, match="expected labelled items, found none"):
        open_source(tmp_path)
    (tmp_path / "a/1.png").touch()
    with pytest.raises(DataError, match=r"none of its 1 items can be used; a/1\.png: the file"):
        open_source(tmp_path, on_unreadable="skip")


def test_sources_that_are_none(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such file or folder"):
        open_source(tmp_path / "missing")
    with pytest.raises(PluginError, match=r"glyph:test: no such file or folder, and .*glyphs"):
        open_source("glyph:test")
    (tmp_path / "model.onnx").touch()
    with pytest.raises(DataError, match=r"got a \.onnx file"):
        open_source(tmp_path / "model.onnx")
    with pytest.raises(InvalidInput, match="'stop' or 'skip'"):
        open_source(make(tmp_path / "r", "a/1.png"), on_unreadable="ignore")  # type: ignore[arg-type]


def test_items_come_back_as_they_are() -> None:
    items = Items((), (Problem("a", "b"),))
    assert open_source(items, on_unreadable="skip") is items
    with pytest.raises(DataError, match="1 of 1 items of memory"):
        open_source(items)
