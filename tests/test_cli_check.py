"""`ilk check` as it is typed."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from ilk.cli.check import check
from ilk.errors import DataError


@pytest.fixture
def source(tmp_path: Path) -> Path:
    rng = np.random.default_rng(1)
    for label in ("left [red]", "right", "上"):
        (tmp_path / label).mkdir()
        for i in range(3):
            pixels = rng.integers(0, 256, (16, 16, 3), np.uint8)
            Image.fromarray(pixels).save(tmp_path / label / f"{i}.png")
    (tmp_path / "right/copy.png").write_bytes((tmp_path / "上/1.png").read_bytes())
    (tmp_path / "right/half.png").write_bytes((tmp_path / "上/1.png").read_bytes()[:300])
    (tmp_path / "once").mkdir()
    Image.linear_gradient("L").save(tmp_path / "once/1.png")
    return tmp_path


def test_the_table_names_what_was_found(source: Path) -> None:
    result = CliRunner().invoke(check, [str(source)])
    assert result.exit_code == 0, result.output
    lines = [" ".join(line.split()) for line in result.stdout.splitlines()]
    assert "items 11" in lines
    assert "classes 4" in lines
    assert "items per class 1 to 4, median 3" in lines
    assert "equal files 1, 1 across classes, 0 across splits" in lines
    assert "right/copy.png = 上/1.png (across classes)" in lines
    assert any(line.startswith("right/half.png: damaged PNG file") for line in lines)
    assert lines[lines.index("Classes of one item") + 1] == "once"
    assert any("has 3 such classes of 4" in line for line in lines)
    bars = [line for line in lines if "█" in line]
    assert [(bar.split()[0], bar.split()[-1]) for bar in bars] == [
        ("1", "1"),
        ("3", "2"),
        ("4", "1"),
    ]


def test_json_is_all_there_is_on_stdout(source: Path) -> None:
    result = CliRunner().invoke(check, [str(source), "--json"])
    report = json.loads(result.stdout)
    assert report["class_sizes"] == {"left [red]": 3, "once": 1, "right": 4, "上": 3}
    assert report["duplicates"][0]["names"] == ["right/copy.png", "上/1.png"]


def test_long_lists_are_cut_and_say_so(source: Path) -> None:
    for i in range(5):
        (source / f"right/empty {i}.png").touch()
    short = CliRunner().invoke(check, [str(source), "--show", "2"]).stdout
    assert "and 4 more (--show -1 lists all)" in short
    everything = CliRunner().invoke(check, [str(source), "--show", "-1"]).stdout
    assert "empty 4.png" in everything
    assert "more (" not in everything


def test_a_source_that_is_none_is_an_error_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such file or folder"):
        CliRunner().invoke(check, [str(tmp_path / "none")], catch_exceptions=False)
    command = [sys.executable, "-m", "ilk", "check", str(tmp_path / "none")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr == f"ilk: {tmp_path}/none: no such file or folder\n"


def test_names_with_markup_are_printed_as_they_are(source: Path) -> None:
    (source / "left [red]/[bold].png").touch()
    assert (
        "left [red]/[bold].png: the file is empty"
        in CliRunner().invoke(check, [str(source)]).stdout
    )


def test_the_documentation_describes_every_key(source: Path) -> None:
    text = (Path(__file__).parents[1] / "docs" / "check.md").read_text(encoding="utf-8")
    Image.new("L", (4, 4)).save(source / "once/2.png")
    report = json.loads(CliRunner().invoke(check, [str(source), "--json"]).stdout)
    keys = [*report, *report["duplicates"][0], *report["unreadable"][0], *report["batch"]]
    assert [key for key in keys if f"`{key}`" not in text] == []


def test_strict_fails_for_the_same_picture_under_two_labels(source: Path) -> None:
    result = CliRunner().invoke(check, [str(source), "--strict"])
    assert isinstance(result.exception, DataError)
    assert "the same picture is there under two labels, 1 time" in str(result.exception)
    assert "right/copy.png = 上/1.png (across classes)" in result.stdout
    (source / "right/copy.png").unlink()
    assert CliRunner().invoke(check, [str(source), "--strict"]).exit_code == 0


def test_labels_that_look_alike_and_classes_in_several_splits_are_told(tmp_path: Path) -> None:
    rng = np.random.default_rng(2)
    names = ("train/Ada", "train/ada", "val/ada", "val/b\u200bob", "val/bob")
    for i, name in enumerate((*names, "train/k\u043et", "val/kot")):
        (tmp_path / name).mkdir(parents=True)
        Image.fromarray(rng.integers(0, 256, (16, 16), np.uint8)).save(tmp_path / name / f"{i}.png")
    lines = CliRunner().invoke(check, [str(tmp_path), "--show", "-1"]).stdout.splitlines()
    told = [line.strip() for line in lines]
    assert "'Ada' and 'ada' differ by case only" in told
    assert r"'bob' and 'b\u200bob' differ by invisible characters only" in told
    assert r"'kot' and 'k\u043et' differ by letters that look alike only" in told
    assert told[told.index("Labels with invisible characters") + 1] == r"'b\u200bob'"
    assert "1 of 6 classes is in more than one split (train, val)" in told
    assert any("ilk train SOURCE --set data.merge_splits=true" in line for line in told)
    report = json.loads(CliRunner().invoke(check, [str(tmp_path), "--json"]).stdout)
    assert report["shared_classes"] == ["ada"]
    assert {"labels": ["Ada", "ada"], "differ_by": "case"} in report["look_alikes"]
    assert report["invisible"] == ["b\u200bob"]
    assert report["conflicts"] == 0
