"""`ilk enroll`: each item by itself, conflicts first, and one call that is undone as one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result
from PIL import Image

from ilk.cli.main import ilk
from ilk.errors import GalleryError
from ilk.gallery import Gallery


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ILK_CACHE", str(tmp_path / "cache"))


def run(*arguments: object) -> Result:
    return CliRunner().invoke(ilk, [str(argument) for argument in arguments])


def done(*arguments: object) -> None:
    result = run(*arguments)
    assert result.exit_code == 0, f"{result.output}{result.exception!r}"


@pytest.fixture
def birds(tmp_path: Path) -> Path:
    generator = np.random.default_rng(4)
    for label in ("jay", "tit"):
        (tmp_path / "birds" / label).mkdir(parents=True)
        for i in range(6):
            pixels = generator.integers(0, 255, (4, 4)).astype(np.uint8)
            Image.fromarray(pixels).save(tmp_path / "birds" / label / f"{i}.png")
    return tmp_path / "birds"


@pytest.fixture
def gallery(artifact_folder: Path, birds: Path, tmp_path: Path) -> Path:
    done("gallery", "create", tmp_path / "g", artifact_folder)
    done("enroll", tmp_path / "g", birds)
    return tmp_path / "g"


def labels(place: Path) -> dict[str, int]:
    with Gallery.open(place) as opened:
        return {row.label: row.num_exemplars for row in opened.labels()}


def test_one_call_of_many_parts_is_told_and_undone_as_one(
    gallery: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (80, 80), dtype=np.uint8)
    Image.fromarray(noise).save(tmp_path / "many.png")
    labelled = [f"{i}\x1b[1m" if i == 290 else f"{i}" for i in range(600)]
    corners = [(i % 60, i // 60) for i in range(600)]
    rows = [
        f"many.png,{name},{x},{y},{x + 4},{y + 4}"
        for name, (x, y) in zip(labelled, corners, strict=True)
    ]
    table = tmp_path / "many.csv"
    table.write_text("\n".join(["path,label,x1,y1,x2,y2", *rows]))
    before = labels(gallery)
    result = run("enroll", gallery, table)
    assert result.exit_code == 0
    assert "enrolled 599 exemplars of 599 classes" in result.stdout
    assert "not enrolled: many.png: a label must have 1 to 500 characters" in result.stderr
    with Gallery.open(gallery) as opened:
        assert sum(change.action == "enroll" for change in opened.history()) > 2
    done("gallery", "undo", gallery)
    assert labels(gallery) == before

    add = Gallery.enroll

    def failing(opened: Gallery, *arguments: Any, **options: Any) -> Any:
        if len(opened.labels()) > 250:
            raise GalleryError("the disk is full")
        return add(opened, *arguments, **options)

    monkeypatch.setattr(Gallery, "enroll", failing)
    result = run("enroll", gallery, table)
    assert isinstance(result.exception, GalleryError)
    assert "stopped: 256 exemplars of 599 are enrolled; undo that with `ilk gal" in result.stderr
    done("gallery", "undo", gallery)
    assert labels(gallery) == before


def test_conflicts_come_first_and_strict_fails(gallery: Path, birds: Path, tmp_path: Path) -> None:
    copies = tmp_path / "copies"
    for name in ("jay", "wren"):
        (copies / name).mkdir(parents=True)
    for i in range(30):
        copy = (birds / "jay" / f"{i % 6}.png").read_bytes()
        (copies / "jay" / f"{i}.png").write_bytes(copy)
    (copies / "wren/0.png").write_bytes((birds / "tit/0.png").read_bytes())
    result = run("enroll", gallery, copies)
    told = "not enrolled: wren/0.png as exemplar 7: the same content is enrolled as 'tit'"
    assert told in result.stderr
    assert "1 item is there under another label" in result.stderr
    assert run("enroll", gallery, copies, "--strict").exit_code == 1
    counts = json.loads(run("enroll", gallery, copies, "--json").stdout)
    assert (counts["num_already"], counts["num_refused"]) == (30, 1)
    assert counts["num_by_code"] == {"conflict": 1}
    result = run("enroll", gallery, "--not", "jay", birds / "jay/0.png")
    assert result.exit_code == 1
    assert "the same content is enrolled as 'jay'; take that out first" in str(result.exception)
