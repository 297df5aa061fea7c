"""Commands on pictures with several regions: who is where, what is promised, what is drawn."""

from __future__ import annotations

import json
import os
import runpy
import stat
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result
from PIL import Image

from ilk.artifact import ArtifactParts, write_artifact
from ilk.cli.main import ilk
from ilk.gallery import Gallery
from ilk.plugins import load

tiles: Any = SimpleNamespace(**runpy.run_path(str(Path(__file__).with_name("tiles.py"))))
check: Any = SimpleNamespace(
    **runpy.run_path(str(Path(__file__).with_name("test_cli_gallery_json.py")))
)
JAY, TIT, ROOK, KNOT = range(4)
DARK = np.full((16, 16, 3), 5, np.uint8)


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ILK_CACHE", str(tmp_path / "cache"))


@pytest.fixture(autouse=True)
def tile_detector(monkeypatch: pytest.MonkeyPatch) -> None:
    def find(group: str, name: str) -> Any:
        return tiles.Tiles if (group, name) == ("detectors", "tiles") else load(group, name)

    monkeypatch.setattr("ilk.detecting.load", find)


def run(*arguments: object) -> Result:
    return CliRunner().invoke(ilk, [str(argument) for argument in arguments])


def done(*arguments: object) -> str:
    result = run(*arguments)
    assert result.exit_code == 0, f"{result.output}{result.exception!r}"
    return result.stdout


def save(path: Path, *kinds: int | np.ndarray | None, columns: int = 3) -> Path:
    """Write a picture of tiles of these kinds."""
    drawn = [
        tiles.tile_of(kind, 50 + i) if isinstance(kind, int) else kind
        for i, kind in enumerate(kinds)
    ]
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(tiles.grid(drawn, columns)).save(path)
    return path


@pytest.fixture
def gallery(tmp_path: Path, parts: ArtifactParts) -> Path:
    """Jays and tits are enrolled, one tile per picture; rooks calibrate at 1 in 5."""
    artifact = write_artifact(
        tmp_path / "tiles.ilk", replace(parts, config={"detector": {"name": "tiles"}})
    )
    for label, kind in (("jay", JAY), ("tit", TIT), ("rook", ROOK)):
        for i in range(6):
            folder = tmp_path / ("strangers" if label == "rook" else "birds") / label
            folder.mkdir(parents=True, exist_ok=True)
            picture = tiles.grid([None, tiles.tile_of(kind, i)], 2)
            Image.fromarray(picture).save(folder / f"{i}.png")
    place = tmp_path / "g"
    done("gallery", "create", place, artifact)
    done("enroll", place, tmp_path / "birds")
    strangers = tmp_path / "strangers" / "rook"
    done("gallery", "calibrate", place, "--target-fpir", 0.2, "--strangers", strangers)
    return place


@pytest.fixture
def party(tmp_path: Path) -> Path:
    return save(tmp_path / "in" / "party.png", JAY, None, KNOT, DARK, TIT, None)


def test_the_table_groups_by_picture_and_states_both_promises(
    gallery: Path, party: Path, tmp_path: Path
) -> None:
    alone = save(tmp_path / "in" / "alone.png", None, TIT)
    nobody = save(tmp_path / "in" / "nobody.png", None, None)
    lines = done("identify", gallery, party, alone, nobody).splitlines()
    assert lines[0].split() == ["picture", "tile", "answer", "distance", "p", "closest", "example"]
    assert lines[1].split()[:3] == [str(party), "1", "jay"]
    assert lines[2].split()[:2] == ["2", "unknown"]
    assert lines[3].split()[:3] == ["3", "not", "assessable"]
    assert "the brightness is 0.02" in lines[3]
    assert lines[4].split()[:2] == ["4", "tit"]
    assert lines[5].split()[:2] == [str(alone), "tit"]
    assert "no tile was found in the picture" in lines[6]
    assert "at most 20 % of strangers get a name" in lines[-2]
    assert lines[-1] == (
        f"{party}: if all 3 tiles were strangers', at most 60 % of such pictures would show a name"
    )


def test_json_lists_answers_by_picture(gallery: Path, party: Path, tmp_path: Path) -> None:
    alone = save(tmp_path / "in" / "alone.png", None, TIT)
    out = tmp_path / "out"
    told = check.told("identify", gallery, party, alone, tmp_path / "none.png", "--draw", out)
    first, second, third = told["pictures"]
    assert (first["num_regions"], first["num_compared"]) == (4, 3)
    assert first["most_false_names"] == pytest.approx(0.6)
    assert (first["answers"], second["answers"], third["answers"]) == ([0, 1, 2, 3], [4], [5])
    assert (third["num_regions"], third["most_false_names"], third["drawn"]) == (0, None, None)
    assert Path(first["drawn"]) == out / "party.png"
    answers = told["answers"]
    assert [a["code"] for a in answers] == ["", "", "badly_lit", "", "", "unreadable"]
    assert answers[3]["name"] == f"{party} #4"
    assert answers[3]["region"]["box"] == [16.0, 16.0, 32.0, 32.0]
    assert answers[2]["region"]["quality"]["brightness"] == pytest.approx(5 / 255)
    assert answers[5]["region"] is None
    verified = check.told("verify", gallery, "jay", alone, party, "--target-fmr", 0.2)
    assert [a["code"] for a in verified["answers"]] == ["", "several_tiles"]
    assert not check.told("identify", gallery, alone, "--set")["pictures"]


def test_a_drawing_tells_the_name_of_the_file_and_no_folder(
    gallery: Path, party: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    titles: list[str] = []

    def listen(image: Any, answers: Any, *, title: str, noun: str) -> Image.Image:
        titles.append(f"{title} of {len(answers.answers)} {noun}s")
        return Image.new("RGB", (9, 9))

    monkeypatch.setattr("ilk.drawing.draw_answers", listen)
    done("identify", gallery, party, "--draw", tmp_path / "out.png")
    assert titles == ["party.png of 4 tiles"]


def test_one_drawing_is_a_file_and_several_are_a_folder(
    gallery: Path, party: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out.png"
    assert f"drew {out}" in done("identify", gallery, party, "--draw", out)
    with Image.open(out) as drawn:
        assert drawn.format == "PNG"
        assert drawn.width >= 1000
    same = [save(tmp_path / name, JAY) for name in ("x/a.png", "X2/a.png", "y/x/a.png", "z/A.png")]
    folder = tmp_path / "new" / "folder"
    done("identify", gallery, *same, party, "--draw", folder)
    assert sorted(path.name for path in folder.iterdir()) == [
        "X2 a.png",
        "a.png",
        "party.png",
        "x a.png",
        "z A.png",
    ]
    done("identify", gallery, party, "--draw", folder)
    assert not list(tmp_path.rglob("*.partial"))


def test_a_drawing_replaces_no_input(gallery: Path, party: Path, tmp_path: Path) -> None:
    before = party.read_bytes()
    os.link(party, tmp_path / "linked.png")
    for out in (party, tmp_path / "linked.png", party.parent):
        result = run("identify", gallery, party, "--draw", out)
        assert result.exit_code == 1
        assert "would replace the picture" in str(result.exception)
    other = save(tmp_path / "in" / "other.png", JAY)
    result = run("identify", gallery, party, other, "--draw", party.parent)
    assert "would replace the picture" in str(result.exception)
    assert party.read_bytes() == before


def test_where_nothing_can_be_drawn_is_said_before_the_work(
    gallery: Path, party: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ilk.recognizer.Recognizer.open", None)
    (tmp_path / "file").touch()
    other = save(tmp_path / "in" / "other.png", JAY)
    for arguments, word in (
        ((party, "--draw", tmp_path / "nowhere" / "out.png"), "does not exist; make it first"),
        ((party, "--draw", tmp_path / "out.jpg"), "expected a .png file"),
        ((party, other, "--draw", tmp_path / "out.png"), "expected a folder for the drawings of 2"),
        ((party, other, "--draw", tmp_path / "file"), "cannot be made"),
        ((party, "--draw", "/proc/out.png"), "cannot be written to /proc"),
    ):
        result = run("identify", gallery, *arguments)
        assert result.exit_code == 1
        assert word in str(result.exception)
        assert "\n" not in str(result.exception)
    usage = run("identify", gallery, party, "--set", "--draw", tmp_path / "out.png")
    assert (usage.exit_code, "does not go with --set" in usage.stderr) == (2, True)


def test_a_full_disk_leaves_no_half_drawing(
    gallery: Path, party: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out.png"
    out.write_bytes(b"as it was")

    def full(self: Image.Image, path: Path, *_: Any, **__: Any) -> None:
        Path(path).write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Image.Image, "save", full)
    result = run("identify", gallery, party, "--draw", out)
    assert isinstance(result.exception, OSError)
    assert out.read_bytes() == b"as it was"
    assert not list(tmp_path.glob(".*partial"))


def test_nothing_readable_is_an_error_of_one_line(gallery: Path, tmp_path: Path) -> None:
    (tmp_path / "text.png").write_text("no picture")
    (tmp_path / "empty").mkdir()
    named = [tmp_path / "none.png", tmp_path / "text.png", tmp_path / "empty"]
    for command in (("identify", gallery), ("verify", gallery, "jay", "--target-fmr", 0.2)):
        one = run(*command, named[0])
        assert (one.exit_code, one.stdout) == (1, "")
        assert f"expected a picture, got {named[0]}: No such file" in str(one.exception)
        three = run(*command, *named)
        assert (three.exit_code, three.stdout) == (1, "")
        assert "none of 3 can be read" in str(three.exception)
        listed = run(*command, *named, "--json")
        assert listed.exit_code == 1
        assert len(json.loads(listed.stdout)["answers"]) == 3
    assert run("identify", gallery, "--set", *named).exit_code == 1
    for name in ("none.png", "none*.png"):
        result = run("identify", gallery, tmp_path / name, "--draw", tmp_path / "out.png")
        assert f"expected a picture, got {tmp_path / name}" in str(result.exception)
    assert not (tmp_path / "out.png").exists()


def test_nothing_found_is_an_answer(gallery: Path, tmp_path: Path) -> None:
    nobody = save(tmp_path / "nobody.png", None, None)
    assert "no tile was found" in done("identify", gallery, nobody)
    assert "no tile was found" in done("identify", gallery, "--set", nobody)
    assert "not assessable" in done("verify", gallery, "jay", nobody, "--target-fmr", 0.2)
    mixed = done("identify", gallery, nobody, tmp_path / "none.png")
    assert "No such file" in mixed


def test_what_is_not_enrolled_is_counted_by_its_reason(
    gallery: Path, party: Path, tmp_path: Path
) -> None:
    for i in range(22):
        save(tmp_path / "more" / "knot" / f"{i}.png", KNOT, KNOT)
    save(tmp_path / "more" / "knot" / "a.png", None, KNOT)
    save(tmp_path / "more" / "knot" / "b.png", None, None)
    (tmp_path / "more" / "knot" / "c.png").write_text("no picture")
    result = run("enroll", gallery, tmp_path / "more")
    assert result.exit_code == 0
    assert result.stdout == "enrolled 1 exemplar of 1 class\n"
    lines = result.stderr.splitlines()
    assert (
        "not enrolled: knot/0.png: the picture shows 2 tiles, and nothing says which is meant"
        in lines[0]
    )
    told = "not enrolled: 24 in all: 22 several tiles, 1 no tile, 1 unreadable"
    assert told in result.stderr
    assert "use --largest to take the largest" in lines[-1]
    done("gallery", "undo", gallery)
    told_json = check.told("enroll", gallery, tmp_path / "more")
    assert told_json["num_by_code"] == {"several_tiles": 22, "no_tile": 1, "unreadable": 1}
    codes = [answer["code"] for answer in told_json["answers"]]
    assert (codes.count("several_tiles"), codes.count("unreadable")) == (22, 1)
    largest = done("enroll", gallery, "--label", "knot", party, "--largest")
    assert "enrolled 1 exemplar" in largest


def test_unknown_regions_are_kept_named_and_found_again(
    gallery: Path, party: Path, tmp_path: Path
) -> None:
    told = done("identify", gallery, party, "--keep-unknown", "--keep-crops")
    assert "kept 1 unknown probe" in told
    listed = check.told("unknown", "list", gallery, "--crops", tmp_path / "crops")
    (probe,) = [p for cluster in listed["clusters"] for p in cluster["probes"]]
    assert probe["name"] == f"{party} #2"
    with Image.open(probe["crop"]) as crop:
        assert crop.size == (16, 16)
    assert f"{party} #2" in done("unknown", "list", gallery)
    done("unknown", "name", gallery, "knot", probe["id"])
    again = done("identify", gallery, party).splitlines()
    assert again[2].split()[:2] == ["2", "knot"]


def test_typos_are_answered_with_the_nearest_command() -> None:
    for arguments, near in (
        (("galery",), "did you mean 'gallery'?"),
        (("gallery", "exprot"), "did you mean 'export'?"),
        (("unknown", "nam"), "did you mean 'name'?"),
    ):
        result = run(*arguments)
        assert (result.exit_code, near in result.stderr) == (2, True)
    far = run("zzz")
    assert (far.exit_code, "did you mean" in far.stderr) == (2, False)


def test_an_export_into_no_folder_is_refused(gallery: Path, tmp_path: Path) -> None:
    result = run("gallery", "export", gallery, tmp_path / "nowhere" / "g.file")
    assert result.exit_code == 1
    assert f"there is no folder {tmp_path / 'nowhere'}" in str(result.exception)
    if os.geteuid():  # root may write anywhere
        locked = tmp_path / "locked"
        locked.mkdir()
        locked.chmod(stat.S_IREAD | stat.S_IEXEC)
        refused = run("gallery", "export", gallery, locked / "g.file")
        assert "cannot be written" in str(refused.exception)


def test_exemplars_remember_their_place(gallery: Path) -> None:
    with Gallery.open(gallery) as opened:
        regions = [row.metadata["region"] for row in opened.exemplars("jay")]
    assert {tuple(region["box"]) for region in regions} == {(16.0, 0.0, 32.0, 16.0)}


def test_a_label_that_is_not_there_is_told_before_anything_is_found(
    gallery: Path, party: Path
) -> None:
    result = run("verify", gallery, "jax", party)
    assert result.exit_code == 1
    assert "did you mean 'jay'" in str(result.exception)


def test_strangers_without_a_region_are_named_and_left_out(gallery: Path, tmp_path: Path) -> None:
    strangers = tmp_path / "strangers" / "rook"
    save(strangers / "empty.png", None, None)
    asked = "gallery", "calibrate", gallery, "--target-fpir", 0.2, "--strangers", strangers
    result = run(*asked)
    assert result.exit_code == 0
    assert "rook/empty.png: no tile was found in the picture" in result.stderr
    result = run(*asked, "--on-unreadable", "stop")
    assert result.exit_code == 1
    assert "rook/empty.png" in str(result.exception)


def test_galleries_and_caches_are_for_their_owner_alone(gallery: Path, tmp_path: Path) -> None:
    for folder in (gallery, tmp_path / "cache" / "embeddings"):
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700, folder
