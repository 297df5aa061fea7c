"""Commands on galleries, as a person types them."""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result
from PIL import Image

from ilk.artifact import ArtifactParts, write_artifact
from ilk.cli.main import ilk
from ilk.cli.main import run as run_command
from ilk.embedding import EmbeddingCache
from ilk.gallery import Gallery


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ILK_CACHE", str(tmp_path / "cache"))


def run(*arguments: object, answer: str = "") -> Result:
    words = [str(argument) for argument in arguments]
    return CliRunner().invoke(ilk, words, input=answer)


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
    place = tmp_path / "my gallery"
    done("gallery", "create", place, artifact_folder, "--actor", "ann")
    done("enroll", place, birds, "--actor", "ann")
    done(
        "gallery",
        "calibrate",
        place,
        "--target-fpir",
        0.2,
        "--strangers",
        tmp_path / "rook" / "rook",
    )
    return place


def labels(place: Path) -> dict[str, int]:
    with Gallery.open(place) as opened:
        return {row.label: row.num_exemplars for row in opened.labels()}


def test_a_cohort_too_small_is_told_kindly(artifact_folder: Path, tmp_path: Path) -> None:
    told = done("gallery", "create", tmp_path / "a", artifact_folder)
    assert "cohort of held-out classes has 5 classes" in told
    assert "--target-fpir 0.17 " in told
    assert "needs 99" in told
    done("gallery", "calibrate", tmp_path / "a", "--target-fpir", 0.17)
    result = run("gallery", "create", tmp_path / "b", artifact_folder, "--target-fpir", 0.01)
    assert "cannot carry a rate of 0.01, which needs 99 (0.17 is the smallest" in str(
        result.exception
    )
    assert not (tmp_path / "b").exists()
    assert "at most 20 % of strangers" in done(
        "gallery", "create", tmp_path / "b", artifact_folder, "--target-fpir", 0.2
    )


def test_identify_names_the_class_and_the_example(gallery: Path, birds: Path) -> None:
    told = done("identify", gallery, birds / "jay" / "*.png", birds.parent / "knot", "none.png")
    lines = told.splitlines()
    assert lines[0].split() == ["probe", "answer", "distance", "p", "closest", "example"]
    assert all(" jay " in line and "jay/" in line for line in lines[1:7])
    assert sum(" unknown " in line for line in lines[7:13]) >= 5
    assert "not assessable" in lines[13]
    assert "No such file" in lines[13]
    assert (
        "at most 20 % of strangers get a name; chosen on 6 classes of strangers, 6 probes"
        in lines[-1]
    )
    verified = done("verify", gallery, "tit", birds / "tit", "--target-fmr", 0.2)
    assert verified.count(" yes ") == 6


def test_changes_say_how_to_undo_them(gallery: Path) -> None:
    told = done("gallery", "rename", gallery, "jay", "blue jay")
    back = shlex.split(told[told.index("`ilk ") + 5 : told.rindex("`")])
    assert back[:3] == ["gallery", "undo", str(gallery)]
    assert labels(gallery) == {"blue jay": 6, "tit": 6}
    done("gallery", "merge", gallery, "tit", "blue jay")
    assert labels(gallery) == {"blue jay": 12}
    done("gallery", "undo", gallery)
    done(*back)
    assert labels(gallery) == {"jay": 6, "tit": 6}
    done("gallery", "split", gallery, "jay", "magpie", "--exemplar", "1,3-4")
    assert labels(gallery) == {"jay": 3, "magpie": 3, "tit": 6}
    done("gallery", "reassign", gallery, "tit", "--exemplar", 1, "--exemplar", 3)
    assert labels(gallery) == {"jay": 3, "magpie": 1, "tit": 8}
    done("gallery", "remove", gallery, "--exemplar", 4)
    done("gallery", "remove", gallery, "tit")
    assert labels(gallery) == {"jay": 3, "magpie": 0}
    history = done("gallery", "history", gallery, "--last", -1)
    assert "label 'jay' to 'blue jay'" in history
    assert " ann " in history


def test_undo_takes_a_whole_command_back(
    gallery: Path, birds: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ilk.recognizer._AT_ONCE", 2)
    for path in (birds.parent / "knot" / "knot").iterdir():
        path.write_bytes(path.read_bytes() + b" ")
    done("enroll", gallery, "--label", "knot", birds.parent / "knot")
    assert labels(gallery)["knot"] == 6
    assert done("gallery", "undo", gallery).count("enroll") == 3
    assert "knot" not in labels(gallery)


def test_erase_asks_and_is_final(gallery: Path, birds: Path) -> None:
    refused = run("gallery", "erase", gallery, "jay", answer="n\n")
    assert refused.exit_code == 1
    assert "jay" in labels(gallery)
    assert "receipt: change" in run("gallery", "erase", gallery, "jay", answer="y\n").output
    result = run("enroll", gallery, birds)
    assert "enrolled 0 exemplars" in result.stdout
    assert result.stderr.count("erased from this gallery for good") == 6
    assert "nothing has expired" in done("gallery", "erase", gallery, "--expired", "--yes")


def test_dates_of_retention_are_set_and_come(
    gallery: Path, birds: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, *others = sorted((birds.parent / "rook" / "rook").glob("*.png"))
    late = run("enroll", gallery, "--label", "rook", first, "--expires", "2001-01-01")
    assert "its retention date 2001-01-01 has come" in str(late.exception)
    done("enroll", gallery, "--label", "rook", first, *others, "--expires", "2997-01-01")
    assert "nothing has expired" in done("gallery", "expire", gallery)
    told = done("gallery", "expire", gallery, "rook", "--on", "2990-05-04")
    assert "the exemplars of 'rook' expire on 2990-05-04" in told
    assert done("gallery", "show", gallery, "rook").count("2990-05-04") == 6
    done("gallery", "undo", gallery)
    assert done("gallery", "show", gallery, "rook").count("2997-01-01") == 6
    done("gallery", "expire", gallery, "--exemplar", "13", "--never")
    wrong = run("gallery", "expire", gallery, "rook")
    assert (wrong.exit_code, "--on or --never" in wrong.stderr) == (2, True)
    monkeypatch.setattr("ilk.gallery.access.this_day", lambda: "2997-01-01")
    monkeypatch.setattr("ilk.gallery.editing.this_day", lambda: "2997-01-01")
    receipt = done("gallery", "expire", gallery)
    assert "erased 5 exemplars" in receipt
    assert "out of reach, so look there yourself: files that `ilk gallery export`" in receipt
    assert labels(gallery)["rook"] == 1


def test_what_was_erased_can_be_allowed_again(gallery: Path, birds: Path) -> None:
    done("gallery", "erase", gallery, "jay", "--yes")
    file = birds / "jay" / "0.png"
    assert "none of it was erased" in done("gallery", "allow", gallery, birds / "tit")
    assert "1 erased picture may be enrolled" in done("gallery", "allow", gallery, file)
    result = run("enroll", gallery, birds)
    assert "enrolled 1 exemplar of 1 class" in result.stdout
    assert "allow" in done("gallery", "history", gallery)
    assert "erase it again to close it" in str(run("gallery", "undo", gallery, 5).exception)


def test_own_classes_that_stand_in_for_strangers_are_counted(gallery: Path) -> None:
    command = "gallery", "calibrate", gallery, "--basis", "leave-one-out", "--target-fpir"
    refused = run(*command, 0.2)
    assert (
        "needs at least 9 classes of strangers, got 2 (12 probes); add 7, or ask for 0.67"
        in str(refused.exception)
    )
    told = done(*command, 0.67)
    for rows in (told, done("gallery", "info", gallery)):
        assert "at most 67 % of strangers get a name" in rows
        assert "2 classes of strangers, 12 probes (leave-one-out)" in rows


def test_strangers_in_a_folder_without_classes_count_one_by_one(
    gallery: Path, birds: Path, tmp_path: Path
) -> None:
    command = "gallery", "calibrate", gallery, "--target-fpir", 0.2, "--strangers"
    flat = run(*command, tmp_path / "rook" / "rook")
    assert "which of the 6 pictures show the same: each counts as a class of its own" in flat.stderr
    assert "6 classes of strangers, 6 probes" in flat.stdout
    one = run(*command, tmp_path / "rook")
    assert "needs at least 4 classes of strangers, got 1 (6 probes)" in str(one.exception)
    assert "which of the" not in one.stderr


def test_strangers_that_are_are_skipped_are_named(gallery: Path, tmp_path: Path) -> None:
    (tmp_path / "rook" / "rook" / "0.png").write_bytes(b"no picture")
    command = ("gallery", "calibrate", gallery, "--strangers", tmp_path / "rook" / "rook")
    assert "rook/0.png: not a JPEG" in str(run(*command, "--on-unreadable", "stop").exception)
    result = run(*command)
    assert result.exit_code == 0
    assert result.stderr.count("skipped: ") == 1
    assert "rook/rook/0.png: not a JPEG" in result.stderr


def test_what_is_erased_leaves_the_cache_too(gallery: Path, birds: Path) -> None:
    cache = EmbeddingCache()
    with Gallery.open(gallery) as opened, opened.access.reading() as reader:
        jays, tits = (
            {row.content_hash for row in reader.exemplars() if row.name.startswith(label)}
            for label in ("jay", "tit")
        )
    assert cache.contents() > jays | tits
    done("gallery", "erase", gallery, "jay", "--yes")
    assert cache.contents() & (jays | tits) == tits
    done("enroll", gallery, birds)
    assert not cache.contents() & jays


def test_enrolling_tells_what_was_refused(gallery: Path, birds: Path, tmp_path: Path) -> None:
    again = run("enroll", gallery, birds)
    assert again.exit_code == 0
    assert again.stderr.count("enrolled already") == 12
    nothing = run("enroll", gallery, "--label", "jay", tmp_path / "none.png")
    assert nothing.exit_code == 1
    assert "none of 1 could be" in str(nothing.exception)
    tit = birds / "tit" / "0.png"
    tit.write_bytes(tit.read_bytes() + b" ")
    strict = run("enroll", gallery, "--label", "jay", tit, "--strict")
    assert strict.exit_code == 1
    assert strict.stdout.startswith("enrolled 0 exemplars")
    assert "closer than to its own class" in strict.stderr
    warned = run("enroll", gallery, "--label", "jay", tit)
    assert warned.stdout.startswith("enrolled 1 exemplar of 1 class")
    assert "look at" in warned.stderr


def test_negative_examples_rule_a_class_out(gallery: Path, birds: Path) -> None:
    jay = birds / "jay" / "0.png"
    jay.write_bytes(jay.read_bytes() + b" ")
    assert " jay " in done("identify", gallery, jay)
    done("enroll", gallery, "--not", "jay", jay)
    assert " jay " not in done("identify", gallery, jay)
    done("gallery", "undo", gallery)
    done("enroll", gallery, "--ignore", jay)
    told = done("identify", gallery, jay)
    assert "to be ignored" in told
    assert "1 to ignore" in done("gallery", "info", gallery)


def test_info_tells_the_promise_and_what_it_costs(gallery: Path) -> None:
    told = done("gallery", "info", gallery)
    assert "2 classes, 12 exemplars" in told
    assert "strangers named (FPIR)" in told
    assert "probes missed (FNIR)" in told
    assert "extrapolated" in told
    calibrated = done("gallery", "calibrate", gallery, "--target-fpir", 0.4)
    assert "at most 40 % of strangers" in calibrated
    result = run("gallery", "calibrate", gallery, "--target-fpir", 0.01)
    assert "needs at least 99 classes of strangers, got 6" in str(result.exception)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("gallery", "remove", "g"), "LABEL or --exemplar"),
        (("gallery", "erase", "g", "x", "--expired"), "one of LABEL, --exemplar and --expired"),
        (("gallery", "split", "g", "a", "b", "--exemplar", "x"), "ids such as 7"),
        (("gallery", "create", "g", "a", "--target-fpir", "1"), "0<x<1"),
        (("enroll", "g", "a", "b"), "Give one SOURCE"),
        (
            ("enroll", "g", "a", "--label", "x", "--ignore"),
            "only one of --label, --not and --ignore",
        ),
        (("enroll", "g", "a", "--metadata", "[1]"), "JSON object"),
        (("enroll", "g", "a", "--metadata", "{"), "JSON object"),
        (("identify", "g"), "Missing argument"),
        (("identify", "g", "a", "--set", "--keep-unknown"), "does not go with --set"),
        (("gallery", "migrat", "g"), "No such command"),
    ],
)
def test_wrong_usage_is_2(arguments: tuple[str, ...], message: str, tmp_path: Path) -> None:
    result = run(*arguments)
    assert result.exit_code == 2
    assert message in result.stderr


def ilk_process(*arguments: object) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "ilk", *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        preexec_fn=hear_ctrl_c,
    )


def hear_ctrl_c() -> None:
    """A shell starts what runs in its background deaf to Ctrl-C, and that is inherited."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


def test_an_error_is_one_line_and_1(gallery: Path, tmp_path: Path) -> None:
    for arguments, word in (
        (("gallery", "info", tmp_path / "nowhere"), "ilk gallery create"),
        (("gallery", "rename", gallery, "jax", "x"), "did you mean 'jay'"),
        (("gallery", "undo", gallery, 999), "no change 999"),
    ):
        process = ilk_process(*arguments)
        output, errors = process.communicate()
        assert (process.returncode, output) == (1, "")
        assert errors.startswith("ilk: ")
        assert word in errors
        assert errors.count("\n") == 1


def test_identifying_imports_no_torch(gallery: Path, birds: Path) -> None:
    code = (
        "import sys\nfrom ilk.cli.main import ilk\n"
        "ilk.main(sys.argv[1:], standalone_mode=False)\nprint('MODULES', *sys.modules)"
    )
    words = ["identify", str(gallery), str(birds / "jay" / "0.png")]
    found = subprocess.run(
        [sys.executable, "-c", code, *words], capture_output=True, text=True, check=True
    )
    answer, _, modules = found.stdout.partition("MODULES")
    assert " jay " in answer
    assert not {"torch", "timm", "lightning", "pandas", "scipy"} & set(modules.split())


def test_ctrl_c_loses_nothing_acknowledged(gallery: Path, tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (200, 204), dtype=np.uint8)
    Image.fromarray(noise).save(tmp_path / "many.png")
    boxes = [f"many.png,swift,{x},{y},{x + 4},{y + 4}" for y in range(150) for x in range(200)]
    table = tmp_path / "many.csv"
    table.write_text("\n".join(["path,label,x1,y1,x2,y2", *boxes]))
    process = ilk_process("enroll", gallery, table, "--no-cache")
    database = gallery / "1" / "gallery.sqlite"
    with Gallery.open(gallery) as opened:
        before = opened.history()[-1].id
        while opened.history(last=1)[-1].id == before and process.poll() is None:
            time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate()
    enrolled = labels(gallery)["swift"]
    assert database.exists()
    assert 0 < enrolled < 30000
    assert process.returncode == 1
    assert f"interrupted: {enrolled:,} exemplars of 30,000 are enrolled; undo" in errors
    assert "Traceback" not in errors
    done("gallery", "undo", gallery)
    assert "swift" not in labels(gallery)
    assert json.loads(done("gallery", "list", gallery, "--json"))["classes"][0]["label"] == "jay"


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
    assert "follows from 5 classes of strangers, 5 probes (cohort) as soon as" in told
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
    assert "discarded 2" in done("unknown", "discard", gallery, ids[3], f"{ids[4]},{ids[3]}")


def test_an_undo_after_an_erasure_must_be_named(gallery: Path) -> None:
    done("gallery", "rename", gallery, "tit", "blue tit")
    with Gallery.open(gallery) as opened:
        renamed = opened.history(last=1)[0].id
    done("gallery", "erase", gallery, "jay", "--yes")
    refused = run("gallery", "undo", gallery)
    assert refused.exit_code == 1
    assert "(erase), erased for good and cannot be undone" in str(refused.exception)
    assert f"such as {renamed} (rename)" in str(refused.exception)
    assert labels(gallery) == {"blue tit": 6}
    done("gallery", "undo", gallery, renamed)
    assert labels(gallery) == {"tit": 6}
    assert "such as 3 (calibrate)" in str(run("gallery", "undo", gallery).exception)


def test_strangers_that_are_enrolled_are_told(gallery: Path, birds: Path) -> None:
    refused = run("gallery", "calibrate", gallery, "--strangers", birds)
    assert "got 0 (0 probes); add 4 (2 more are enrolled and do not count)" in str(
        refused.exception
    )


def test_a_migration_names_the_strangers_that_it_loses(
    gallery: Path, parts: ArtifactParts, tmp_path: Path
) -> None:
    other = write_artifact(tmp_path / "other", replace(parts, seed=4))
    told = done("gallery", "migrate", gallery, other, "--dry-run")
    assert "12 exemplars, 6 strangers" in told
    assert "lost: and 8 more (--json has all)" in told


def test_a_migration_to_the_same_artifact_changes_nothing(
    gallery: Path, artifact_folder: Path
) -> None:
    before = done("gallery", "history", gallery)
    told = done("gallery", "migrate", gallery, artifact_folder, "--yes")
    assert told == (
        "the gallery is under this artifact already, so there is nothing to migrate; nothing was "
        "changed\n"
    )
    assert done("gallery", "history", gallery) == before
    assert "never migrated" in str(run("gallery", "rollback", gallery).exception)


def test_a_reason_names_no_other_file(gallery: Path, birds: Path, tmp_path: Path) -> None:
    for name in ("first.png", "second.png"):
        (tmp_path / name).write_bytes(b"no picture")
    bad = (tmp_path / "first.png", tmp_path / "second.png")
    told = done("identify", gallery, *bad, birds / "jay" / "0.png")
    assert told.count("first.png") == 1
    assert told.count("not a JPEG") == 2
