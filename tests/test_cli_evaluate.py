"""`ilk evaluate` and `ilk compare` on a small artifact, as a person would call them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result
from PIL import Image

from ilk.artifact import ArtifactParts, Cohort, Parity, class_hash, short_hash, write_artifact
from ilk.cli.compare import compare
from ilk.cli.evaluate import evaluate
from ilk.distances import Euclidean
from ilk.errors import ClassOverlap, DataError
from ilk.evaluation import Evaluation
from ilk.items import Item
from ilk.preprocess import Preprocess

onnx = pytest.importorskip("onnx", reason='needs pip install "ilk[train]"')
SIDE = 4


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ILK_CACHE", str(tmp_path.parent / "cache"))


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Thirty classes of eight noisy grey squares."""
    folder = tmp_path_factory.mktemp("squares")
    rng = np.random.default_rng(0)
    for label in range(30):
        centre = rng.integers(40, 215, (SIDE, SIDE))
        (folder / f"class {label:02d}").mkdir()
        for i in range(8):
            pixels = (centre + rng.normal(0, 12, (SIDE, SIDE))).clip(0, 255).astype(np.uint8)
            Image.fromarray(pixels).save(folder / f"class {label:02d}" / f"{i}.png")
    return folder


def artifact(path: Path, size: int, **known: tuple[str, ...]) -> Path:
    """Write an artifact whose encoder keeps the first `size` pixels."""
    from onnx import TensorProto, helper

    shape = np.array([-1, SIDE * SIDE], np.int64)
    keep = np.eye(SIDE * SIDE, size, dtype=np.float32)
    graph = helper.make_graph(
        [
            helper.make_node("Reshape", ["inputs", "shape"], ["flat"]),
            helper.make_node("MatMul", ["flat", "keep"], ["embeddings"]),
        ],
        "pixels",
        [helper.make_tensor_value_info("inputs", TensorProto.FLOAT, ["N", 1, SIDE, SIDE])],
        [helper.make_tensor_value_info("embeddings", TensorProto.FLOAT, ["N", size])],
        [onnx.numpy_helper.from_array(shape, "shape"), onnx.numpy_helper.from_array(keep, "keep")],
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    cohort = Cohort(
        np.zeros((1, size), np.float32), np.zeros(1, np.int64), (class_hash("held out"),)
    )
    parts = ArtifactParts(
        onnx=made.SerializeToString(),
        weights=b"",
        cohort=cohort,
        encoder={"name": "pixels"},
        preprocess=Preprocess(size_pixels=SIDE, channels=1),
        distance=Euclidean(),
        embedding_size=size,
        training_classes=known.get("training_classes", (class_hash("seen"),)),
        validation_classes=(class_hash("held out"),),
        item_hashes=known.get("item_hashes", ()),
        metrics=(),
        versions={},
        config={},
        seed=0,
        parity=Parity(max_relative_difference=0.0, num_items=1),
        card="# Pixels\n",
    )
    return write_artifact(path, parts)


def run(command: Any, *arguments: object) -> Result:
    return CliRunner().invoke(command, [str(argument) for argument in arguments])


def test_the_table_the_file_and_the_page(source: Path, tmp_path: Path) -> None:
    model = artifact(tmp_path / "model", 16)
    saved, page = tmp_path / "found.json", tmp_path / "report.html"
    done = run(evaluate, model, source, "--exemplars", 3, "--save", saved, "--report", page)
    assert done.exit_code == 0, done.output
    for told in ("recall_at_1", "fnir_at_fpir_0.13", "auroc", "eer"):
        assert told in done.stdout
    assert "items 240" in done.stdout
    found = Evaluation.from_json(json.loads(saved.read_text()))
    assert found.settings["num_exemplars"] == 3
    assert len(set(found.hashes)) == 240
    assert page.read_text(encoding="utf-8").startswith("<!")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["found.json", "model", "report.html"]


def test_json_is_all_there_is_on_stdout(source: Path, tmp_path: Path) -> None:
    model = artifact(tmp_path / "model", 16)
    done = run(evaluate, model, source, "--json", "--seed", 3)
    content = json.loads(done.stdout)
    assert content["settings"]["seed"] == 3
    names = {figure["name"]: figure["value"] for figure in content["figures"]}
    assert names["recall_at_1"] > 0.9
    assert content["settings"]["fpir_targets"] == [0.13]
    assert names["fnir_at_fpir_0.13"] is not None


def test_rates_of_strangers_are_chosen(source: Path, tmp_path: Path) -> None:
    """Thirty classes: fifteen are strangers, and seven of them judge the others."""
    model = artifact(tmp_path / "model", 16)
    done = run(evaluate, model, source, "--json", "--fpir", 0.2, "--fpir", 0.001, "--fpir", 0.2)
    content = json.loads(done.stdout)
    assert content["settings"]["fpir_targets"] == [0.001, 0.2]
    found = {figure["name"]: figure for figure in content["figures"]}
    assert found["fnir_at_fpir_0.2"]["value"] is not None
    assert found["fnir_at_fpir_0.001"]["value"] is None
    assert "there are 7, which carry 0.13 or more (--fpir)" in found["fnir_at_fpir_0.001"]["note"]
    for protocol in ("retrieval", "lfw"):
        refused = run(evaluate, model, source, "--protocol", protocol, "--fpir", 0.2)
        assert refused.exit_code == 2
        assert "--fpir goes with --protocol all or open-set" in refused.output


def test_classes_that_training_saw_are_refused(source: Path, tmp_path: Path) -> None:
    seen = tuple(class_hash(f"class {i:02d}") for i in range(7))
    model = artifact(tmp_path / "model", 16, training_classes=seen)
    refused = run(evaluate, model, source)
    assert isinstance(refused.exception, ClassOverlap)
    assert "7 of these classes ('class 00', " in str(refused.exception)
    assert "and 2 more" in str(refused.exception)
    warned = run(evaluate, model, source, "--allow-overlap", "--json")
    assert warned.exit_code == 0
    assert "WARNING: training saw 7 of these classes" in warned.stderr
    assert json.loads(warned.stdout)["counts"]["classes"] == 30


def test_items_that_training_saw_are_refused_under_any_label(source: Path, tmp_path: Path) -> None:
    content = Item(source / "class 03" / "1.png", "other", "x").content_hash()
    model = artifact(tmp_path / "model", 16, item_hashes=(short_hash(content),))
    refused = run(evaluate, model, source)
    assert isinstance(refused.exception, ClassOverlap)
    assert "it saw 1 of these items" in str(refused.exception)


def test_unreadable_items_stop_or_are_listed(source: Path, tmp_path: Path) -> None:
    folder = tmp_path / "items"
    for picture in source.glob("class 0*/*.png"):
        copy = folder / picture.relative_to(source)
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_bytes(picture.read_bytes())
    (folder / "class 00" / "broken.png").write_bytes(b"no picture")
    model = artifact(tmp_path / "model", 16)
    assert isinstance(run(evaluate, model, folder).exception, DataError)
    done = run(evaluate, model, folder, "--on-unreadable", "skip")
    assert done.exit_code == 0, done.output
    assert "skipped: class 00/broken.png" in done.stdout


def test_pairs_add_the_ten_fold_accuracy(source: Path, tmp_path: Path) -> None:
    lines = [f"class {i:02d}/0.png\tclass {i:02d}/1.png\t1" for i in range(30)]
    lines += [f"class {i:02d}/0.png\tclass {(i + 1) % 30:02d}/1.png\t0" for i in range(30)]
    file = tmp_path / "pairs.tsv"
    file.write_text("\n".join(lines))
    done = run(evaluate, artifact(tmp_path / "model", 16), source, "--pairs", file, "--json")
    (figure,) = [f for f in json.loads(done.stdout)["figures"] if f["name"] == "pairs_accuracy"]
    assert figure["value"] > 0.9
    assert figure["num_trials"] == 60


def test_compare_says_which_is_better(source: Path, tmp_path: Path) -> None:
    weak, strong = artifact(tmp_path / "weak", 3), artifact(tmp_path / "strong", 16)
    done = run(compare, weak, strong, source, "--json")
    assert done.exit_code == 0, done.output
    rows = {row["name"]: row for row in json.loads(done.stdout)["differences"]}
    assert rows["map_at_r"]["low"] > 0
    assert rows["map_at_r"]["p_value"] < 0.01
    shown = run(compare, weak, strong, source)
    (row,) = [line.split() for line in shown.stdout.splitlines() if line.startswith("map_at_r")]
    assert row[-1] == "B"
    assert "one training run per side" in shown.stdout
    assert "classes that gained most (map_at_r): class" in shown.stdout


def test_compare_reads_what_evaluate_saved(source: Path, tmp_path: Path) -> None:
    files = []
    for size in (3, 16):
        files.append(tmp_path / f"{size}.json")
        run(evaluate, artifact(tmp_path / f"model {size}", size), source, "--save", files[-1])
    done = run(compare, *files, "--json")
    assert done.exit_code == 0, done.output
    live = run(compare, tmp_path / "model 3", tmp_path / "model 16", source, "--json")
    assert json.loads(done.stdout) == json.loads(live.stdout)


def test_runs_of_several_seeds_are_compared(source: Path, tmp_path: Path) -> None:
    a, b = ([artifact(tmp_path / f"{n} pixels", n) for n in sizes] for sizes in ((3, 4), (14, 16)))
    options = ("--draws", 1, "--show", 1)
    done = run(compare, *a, "--against", *b, "--on", source, *options)
    assert done.exit_code == 0, done.output
    assert "2 runs of A, 2 runs of B: the interval covers other classes and other seeds" in (
        done.stdout
    )
    found = json.loads(run(compare, *a, "--on", source, "--json", "--against", *b).stdout)
    assert found["num_runs"] == [2, 2]
    assert 0 < found["differences"][0]["seed_share"] < 1


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("a",), "Give A and B"),
        (("a", "b", "c", "d"), "Give A and B"),
        (("a", "b"), "give the SOURCE"),
        (("a", "b", "--against"), "--against needs the runs of B"),
        (("a", "b", "--against", "c"), "at least two on both, got 2 and 1"),
        (("a", "b", "--against", "c", "d"), "give the SOURCE"),
    ],
)
def test_compare_says_what_to_give(words: tuple[str, ...], told: str) -> None:
    refused = run(compare, *words)
    assert refused.exit_code == 2
    assert told in " ".join(refused.output.split())


def test_compare_is_told_what_is_missing(source: Path, tmp_path: Path) -> None:
    model, file = artifact(tmp_path / "model", 16), tmp_path / "x.json"
    file.write_text("nothing")
    assert run(compare, model, model).exit_code == 2
    assert run(compare, file, file, source).exit_code == 2
    damaged = run(compare, file, file)
    assert isinstance(damaged.exception, DataError)
    assert "not JSON" in str(damaged.exception)
