"""Pictures by name: files, folders, patterns."""

from __future__ import annotations

from pathlib import Path

import pytest

from ilk.datasets.files import open_files


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("b.png", "a.png", "deep/c.png", "deep/[x].png", "deep/text.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    (tmp_path / "deep" / "empty.png").touch()
    return tmp_path


def names(folder: Path, *given: str) -> list[str]:
    items = open_files([folder / name for name in given], "owl").items
    assert {item.label for item in items} <= {"owl"}
    return [str(Path(item.name).relative_to(folder)) for item in items]


def test_files_come_in_the_order_of_their_names_and_once(folder: Path) -> None:
    assert names(folder, "b.png", "a.png", "b.png") == ["b.png", "a.png"]


def test_folders_and_patterns_give_the_pictures_below(folder: Path) -> None:
    assert names(folder, ".") == ["a.png", "b.png", "deep/[x].png", "deep/c.png"]
    assert names(folder, "*.png") == ["a.png", "b.png"]
    assert names(folder, "**/c.png", "a.*") == ["deep/c.png", "a.png"]


def test_what_is_there_is_no_pattern(folder: Path) -> None:
    assert names(folder, "deep/[x].png") == ["deep/[x].png"]


def test_what_is_not_there_is_told(folder: Path) -> None:
    assert names(folder, "none.png", "deep/text.txt") == ["none.png", "deep/text.txt"]
    found = open_files([folder / "*.jpg", folder / "deep"])
    reasons = {Path(problem.name).name: problem.reason for problem in found.problems}
    assert reasons == {"*.jpg": "there is no picture here", "empty.png": "the file is empty"}
