"""What commands on galleries say where a person would be left guessing."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result
from PIL import Image

from ilk.cli.main import ilk
from ilk.cli.main import run as run_command
from ilk.gallery import Gallery


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ILK_CACHE", str(tmp_path / "cache"))


def run(*arguments: object) -> Result:
    return CliRunner().invoke(ilk, [str(argument) for argument in arguments])


def done(*arguments: object) -> str:
    result = run(*arguments)
    assert result.exit_code == 0, f"{result.output}{result.exception!r}"
    return result.stdout


@pytest.fixture
def birds(tmp_path: Path) -> Path:
    """Six pictures of each of four classes, which hardly differ within a class."""
    generator = np.random.default_rng(4)
    for label in ("jay", "tit", "rook", "knot"):
        middle = generator.integers(0, 255, (4, 4))
        for i in range(6):
            pixels = np.clip(middle + generator.integers(-4, 5, (4, 4)), 0, 255).astype(np.uint8)
            folder = tmp_path / ("birds" if label in ("jay", "tit") else label) / label
            folder.mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels).save(folder / f"{i}.png")
    return tmp_path / "birds"


@pytest.fixture
def gallery(artifact_folder: Path, birds: Path, tmp_path: Path) -> Path:
    """Jays and tits are enrolled, rooks calibrate."""
    place = tmp_path / "gallery"
    done("gallery", "create", place, artifact_folder)
    done("enroll", place, birds)
    done("gallery", "calibrate", place, "--target-fpir", 0.2, "--strangers", tmp_path / "rook")
    return place


def labels(place: Path) -> dict[str, int]:
    with Gallery.open(place) as opened:
        return {row.label: row.num_exemplars for row in opened.labels()}


def test_ctrl_c_during_an_import_is_no_traceback(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(cause: BaseException) -> None:
        raise ImportError("initialization failed") from cause

    for cause, expected in ((KeyboardInterrupt(), SystemExit), (ValueError(), ImportError)):
        monkeypatch.setattr(ilk, "main", lambda cause=cause, **_: interrupted(cause))
        with pytest.raises(expected) as caught:
            run_command()
        if expected is SystemExit:
            assert getattr(caught.value, "code", None) == 1
            assert capsys.readouterr().err.strip() == "Aborted!"


def test_an_empty_gallery_has_no_threshold_to_show(artifact_folder: Path, tmp_path: Path) -> None:
    place = tmp_path / "empty"
    done("gallery", "create", place, artifact_folder, "--target-fpir", 0.2)
    told = done("gallery", "info", place)
    assert "at most 20 % of strangers get a name; follows from 5 strangers (cohort) as soon" in told
    assert "e+308" not in told
    facts = json.loads(done("gallery", "info", place, "--json"))
    assert facts["calibration"]["limit_following"] is None


def test_unknown_probes_are_named_by_ranges(gallery: Path, birds: Path) -> None:
    assert "no unknown probes are kept" in done("unknown", "list", gallery)
    done("identify", gallery, birds.parent / "knot", "--keep-unknown")
    with Gallery.open(gallery) as opened:
        ids = [row.id for row in opened.unknowns()]
    assert len(ids) >= 5
    wrong = run("unknown", "name", gallery, "knot", "x")
    assert (wrong.exit_code, "ids such as 7 or 3,5-8" in wrong.stderr) == (2, True)
    done("unknown", "name", gallery, "knot", f"{ids[0]}-{ids[2]}")
    assert labels(gallery)["knot"] == 3
    assert "let go of 2" in done("unknown", "discard", gallery, ids[3], f"{ids[4]},{ids[3]}")


def test_an_undo_after_an_erasure_must_be_named(gallery: Path) -> None:
    done("gallery", "rename", gallery, "tit", "blue tit")
    with Gallery.open(gallery) as opened:
        renamed = opened.history(last=1)[0].id
    done("gallery", "erase", gallery, "jay", "--yes")
    refused = run("gallery", "undo", gallery)
    assert refused.exit_code == 1
    assert "the last command erased for good" in str(refused.exception)
    assert labels(gallery) == {"blue tit": 6}
    done("gallery", "undo", gallery, renamed)
    assert labels(gallery) == {"tit": 6}
    assert "calibrate" in done("gallery", "undo", gallery)


def test_strangers_that_are_enrolled_are_told(gallery: Path, birds: Path) -> None:
    refused = run("gallery", "calibrate", gallery, "--strangers", birds)
    assert "has 0 (12 more do not count: they are enrolled); bring" in str(refused.exception)


def test_a_migration_names_the_strangers_that_it_loses(
    gallery: Path, artifact_folder: Path
) -> None:
    told = done("gallery", "migrate", gallery, artifact_folder, "--dry-run")
    assert "12 exemplars, 6 strangers" in told
    assert "lost: and 8 more (--json has all)" in told


def test_a_reason_names_no_other_file(gallery: Path, tmp_path: Path) -> None:
    for name in ("first.png", "second.png"):
        (tmp_path / name).write_bytes(b"no picture")
    told = done("identify", gallery, tmp_path / "first.png", tmp_path / "second.png")
    assert told.count("first.png") == 1
    assert told.count("not a JPEG") == 2
