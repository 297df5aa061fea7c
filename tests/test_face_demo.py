"""`ilk demo faces`: from photographs to a calibrated gallery, with the real networks."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from PIL import Image

from ilk.cli.main import ilk
from ilk.datasets.portraits import draw_portrait, draw_scene
from ilk.gallery import Gallery

NAMES = ("ada", "bob", "cyd")


@pytest.fixture(scope="module", autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("ILK_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Two photographs of each of three drawn people, and three that cannot be enrolled."""
    folder = tmp_path / "photos"
    for person, name in enumerate(NAMES):
        (folder / name).mkdir(parents=True)
        for variation in range(2):
            picture = Image.fromarray(draw_portrait(person, variation))
            picture.save(folder / name / f"{variation}.jpg", quality=95)
    pair, _ = draw_scene([(0, 4), (7, 0)], face_pixels=100)
    Image.fromarray(pair).save(folder / "ada" / "pair.png")
    Image.new("RGB", (200, 200), "teal").save(folder / "bob" / "wall.png")
    (folder / "cyd" / "broken.jpg").write_text("no picture")
    return folder


def demo(*arguments: object) -> Result:
    done = CliRunner().invoke(
        ilk, ["demo", "faces", *map(str, arguments), "--no-page"], catch_exceptions=False
    )
    assert done.exit_code == 0, done.output
    return done


def test_photographs_become_a_gallery_that_says_what_it_can_promise(
    photos: Path, tmp_path: Path
) -> None:
    said = demo("--photos", photos, "--output", tmp_path / "out").output
    assert "enrolled 6 photographs of 3 people" in said
    for name, why in (
        ("ada/pair.png", "2 faces"),
        ("bob/wall.png", "no face"),
        ("cyd/broken.jpg", "not a JPEG"),
    ):
        (line,) = [line for line in said.splitlines() if f"not enrolled: {name}" in line]
        assert why in line
    assert "--largest" in said
    assert "your own 3 people stand in for strangers" in said
    assert "at most 50 % of strangers like them get a name" in said
    assert "1 % takes 199 people, or 99 strangers" in said
    assert "fewer" in said or "look at" in said
    with Gallery.open(tmp_path / "out" / "people.gallery") as gallery:
        assert gallery.settings.basis == "leave-one-out"
        assert gallery.threshold.target_fpir == 0.5
        assert not any(row.has_crop for row in gallery.exemplars())


def test_a_second_run_adds_to_the_gallery(photos: Path, tmp_path: Path) -> None:
    arguments = ("--photos", photos, "--output", tmp_path / "out")
    demo(*arguments)
    strangers = tmp_path / "strangers"
    strangers.mkdir()
    for person in range(20, 29):
        Image.fromarray(draw_portrait(person, 0)).save(strangers / f"{person}.png")
    again = demo(*arguments, "--largest", "--keep-crops", "--strangers", strangers).output
    assert "adding to" in again
    assert "enrolled 1 photograph of 1 person; 6 enrolled before" in again
    assert "chosen on 9 classes of strangers, 9 probes" in again
    assert "at most 10 % of strangers" in again
    assert "needs at least 99 classes of strangers, got 9 (9 probes); add 90" in again
    with Gallery.open(tmp_path / "out" / "people.gallery") as gallery:
        assert [row.num_exemplars for row in gallery.labels()] == [3, 2, 2]
        assert sum(row.has_crop for row in gallery.exemplars()) == 1
        assert gallery.threshold.target_fpir == 0.1


def test_one_person_alone_is_no_stranger_to_anybody(photos: Path, tmp_path: Path) -> None:
    for name in ("bob", "cyd"):
        for file in (photos / name).iterdir():
            file.unlink()
    said = demo("--photos", photos, "--output", tmp_path / "out").output
    assert "no names can be given yet" in said
    assert "--strangers" in said


def test_photographs_without_faces_are_an_error(tmp_path: Path) -> None:
    (tmp_path / "walls" / "teal").mkdir(parents=True)
    Image.new("RGB", (200, 200), "teal").save(tmp_path / "walls" / "teal" / "wall.png")
    arguments = ["demo", "faces", "--photos", str(tmp_path / "walls"), "--no-page"]
    done = CliRunner().invoke(ilk, [*arguments, "--output", str(tmp_path / "out")])
    assert done.exit_code == 1
    assert "none could be enrolled" in str(done.exception)


def test_drawn_people_are_named_and_drawn_strangers_are_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The demo as it is on an empty machine, with fewer people."""
    monkeypatch.setattr("ilk.face_demo._NUM_ENROLLED", 3)
    monkeypatch.setattr("ilk.face_demo._NUM_STRANGERS", 4)
    monkeypatch.setattr("ilk.face_demo._NUM_AT_PARTY", (3, 1))
    monkeypatch.setattr("ilk.face_demo.TARGET_FPIR", 0.05)
    said = demo("--output", tmp_path).output
    assert "100% of 6 pictures are named rightly, 0% wrongly" in said
    assert "of 4 strangers, 0% get a name" in said
    assert "3 of 3 enrolled people are named rightly, 0 of 1 strangers get a name" in said
    with (
        Image.open(tmp_path / "party.png") as picture,
        Image.open(tmp_path / "party-answers.png") as drawing,
    ):
        assert drawing.height > picture.height > 100


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--seed", "3", "faces"], "after the name of the demo: ilk demo faces"),
        (["facs"], "did you mean 'faces'"),
        (["faces", "--largest"], "go with --photos"),
        (["faces", "--photos", "nowhere"], "does not exist"),
    ],
)
def test_wrong_usage_says_what_is_right(arguments: list[str], words: str) -> None:
    done = CliRunner().invoke(ilk, ["demo", *arguments])
    assert done.exit_code == 2
    assert words in done.output
