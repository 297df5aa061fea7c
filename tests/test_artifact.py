"""The artifact: whole or not there, verified on loading, equal bytes for equal parts."""

from __future__ import annotations

import dataclasses
import hashlib
import io
import json
import os
import pickle
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ilk.artifact import (
    FORMAT_VERSION,
    Artifact,
    ArtifactParts,
    Cohort,
    check_output,
    class_hash,
    find_leftovers,
    find_overlap,
    folder,
    write_artifact,
)
from ilk.artifact.manifest import canonical_json
from ilk.distances import Cosine, Euclidean, Hyperbolic
from ilk.errors import (
    ArtifactError,
    DamagedArtifact,
    ForeignArtifact,
    InvalidInput,
    NewerArtifact,
)
from ilk.preprocess import Preprocess

FILES = ("CARD.md", "cohort.npz", "encoder.onnx", "manifest.json", "weights.safetensors")

Edit = Callable[[dict[str, Any]], None]


def contents(path: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in sorted(path.iterdir())}


def edit_manifest(path: Path, edit: Edit) -> None:
    """Change the manifest as someone would who also makes its checksum right again."""
    file = path / "manifest.json"
    content = json.loads(file.read_bytes())
    del content["checksum"]
    edit(content)
    content["checksum"] = hashlib.sha256(canonical_json(content)).hexdigest()
    file.write_text(json.dumps(content))


def test_what_was_written_is_loaded(artifact_folder: Path, parts: ArtifactParts) -> None:
    loaded = Artifact.load(str(artifact_folder))
    assert tuple(contents(artifact_folder)) == FILES
    assert loaded.distance == parts.distance
    assert loaded.preprocess == parts.preprocess
    assert loaded.onnx() == parts.onnx
    assert loaded.read("weights.safetensors") == parts.weights
    assert loaded.read("CARD.md") == b"# Birds\n"
    np.testing.assert_array_equal(loaded.cohort.embeddings, parts.cohort.embeddings)
    np.testing.assert_array_equal(loaded.cohort.class_ids, parts.cohort.class_ids)
    assert loaded.cohort.class_hashes == parts.cohort.class_hashes
    manifest = loaded.manifest
    assert manifest.training_classes == tuple(sorted(parts.training_classes))
    assert manifest.metrics == parts.metrics
    assert manifest.config == {"loss": {"name": "triplet", "margin": 0.2}, "sizes": [1, 2]}
    assert (manifest.seed, manifest.parity, manifest.embedding_size) == (3, parts.parity, 3)
    assert "gull" not in (artifact_folder / "manifest.json").read_text()


def test_listed_hashes_are_those_of_the_files(artifact_folder: Path) -> None:
    stated = json.loads((artifact_folder / "manifest.json").read_text())["files"]
    assert {*stated, "manifest.json"} == set(FILES)
    for name, facts in stated.items():
        data = (artifact_folder / name).read_bytes()
        assert facts == {"sha256": hashlib.sha256(data).hexdigest(), "num_bytes": len(data)}


def test_weights_to_train_on_need_not_be_there(tmp_path: Path, parts: ArtifactParts) -> None:
    """An imported network has its weights in its ONNX file."""
    with_weights = Artifact.load(write_artifact(tmp_path / "trained", parts))
    imported = dataclasses.replace(parts, weights=None)
    loaded = Artifact.load(write_artifact(tmp_path / "imported", imported))
    assert set(contents(loaded.path)) == set(FILES) - {"weights.safetensors"}
    assert loaded.fingerprint == with_weights.fingerprint
    copy = Artifact.load(loaded.copy_to(tmp_path / "copy"))
    assert contents(copy.path) == contents(loaded.path)
    write_artifact(tmp_path / "trained", imported, overwrite=True)
    assert contents(tmp_path / "trained") == contents(loaded.path)


@pytest.mark.parametrize("name", ["encoder.onnx", "cohort.npz", "CARD.md"])
def test_what_every_artifact_has_must_be_listed(artifact_folder: Path, name: str) -> None:
    edit_manifest(artifact_folder, lambda content: content["files"].pop(name))
    with pytest.raises(DamagedArtifact, match=f"does not list {name}"):
        Artifact.load(artifact_folder)


def test_equal_parts_give_equal_bytes(tmp_path: Path, parts: ArtifactParts) -> None:
    shuffled = dataclasses.replace(
        parts,
        training_classes=parts.training_classes[::-1],
        config=dict(reversed(list(parts.config.items()))),
    )
    first, second = write_artifact(tmp_path / "a", parts), write_artifact(tmp_path / "b", shuffled)
    assert contents(first) == contents(second)


def test_fingerprints_cover_what_they_promise(tmp_path: Path, parts: ArtifactParts) -> None:
    def prints(name: str, **changes: Any) -> tuple[str, str]:
        loaded = Artifact.load(
            write_artifact(tmp_path / name, dataclasses.replace(parts, **changes))
        )
        return loaded.encoder_fingerprint, loaded.fingerprint

    encoder, whole = prints("as it is")
    assert prints("card", card="other", seed=4, config={}, weights=b"") == (encoder, whole)
    other_distance = prints("distance", distance=Euclidean())
    assert other_distance[0] == encoder
    assert other_distance[1] != whole
    changed = [
        prints("curvature", distance=Hyperbolic(curvature=0.5)),
        prints("curvature 2", distance=Hyperbolic(curvature=0.6)),
        prints("network", onnx=parts.onnx + b" "),
        prints("preprocess", preprocess=dataclasses.replace(parts.preprocess, trim=True)),
    ]
    assert len({whole, other_distance[1], *(print_[1] for print_ in changed)}) == 6
    assert len({encoder, *(print_[0] for print_ in changed)}) == 3


@given(st.data())
@settings(
    deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_any_changed_byte_is_noticed(artifact_folder: Path, data: st.DataObject) -> None:
    """A flipped bit may also be in white space of the manifest, which says nothing."""
    file = artifact_folder / data.draw(st.sampled_from(FILES))
    original = file.read_bytes()
    changed = bytearray(original)
    position = data.draw(st.integers(0, len(original) - 1))
    changed[position] ^= 1 << data.draw(st.integers(0, 7))
    try:
        file.write_bytes(bytes(changed))
        if file.name == "manifest.json" and says_the_same(original, bytes(changed)):
            return
        with pytest.raises(ArtifactError):
            Artifact.load(artifact_folder)
    finally:
        file.write_bytes(original)


def says_the_same(first: bytes, second: bytes) -> bool:
    try:
        return bool(json.loads(first) == json.loads(second))
    except ValueError:
        return False


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("share", [0.0, 0.5, 0.99])
def test_a_truncated_file_is_damage(artifact_folder: Path, name: str, share: float) -> None:
    file = artifact_folder / name
    data = file.read_bytes()
    file.write_bytes(data[: int(share * len(data))])
    with pytest.raises(DamagedArtifact, match=r"(copy the artifact again|delete it)"):
        Artifact.load(artifact_folder)


@pytest.mark.parametrize("name", FILES)
def test_a_missing_file_is_damage(artifact_folder: Path, name: str) -> None:
    (artifact_folder / name).unlink()
    with pytest.raises(DamagedArtifact, match=f"{name} is missing"):
        Artifact.load(artifact_folder)


def test_extra_files_are_left_alone(artifact_folder: Path) -> None:
    (artifact_folder / "notes.txt").write_text("mine")
    Artifact.load(artifact_folder)


def test_a_link_to_the_right_content_is_followed(artifact_folder: Path, tmp_path: Path) -> None:
    moved = tmp_path / "blob"
    (artifact_folder / "encoder.onnx").rename(moved)
    (artifact_folder / "encoder.onnx").symlink_to(moved)
    link = tmp_path / "latest"
    link.symlink_to(artifact_folder)
    assert Artifact.load(link).onnx() == moved.read_bytes()
    moved.write_bytes(b"x" * moved.stat().st_size)
    with pytest.raises(DamagedArtifact, match=r"encoder\.onnx does not have the hash"):
        Artifact.load(link)
    moved.unlink()
    with pytest.raises(DamagedArtifact, match=r"encoder\.onnx is a link to what is not"):
        Artifact.load(link)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
@pytest.mark.parametrize("name", ["manifest.json", "encoder.onnx", "cohort.npz", "CARD.md"])
def test_a_pipe_or_device_is_not_waited_for(artifact_folder: Path, name: str) -> None:
    path = artifact_folder / name
    path.unlink()
    os.mkfifo(path)
    with pytest.raises(DamagedArtifact, match=f"{name} is not a file"):
        Artifact.load(artifact_folder)
    path.unlink()
    path.symlink_to("/dev/zero")
    with pytest.raises(DamagedArtifact, match=f"{name} is not a file"):
        Artifact.load(artifact_folder)
    path.unlink()
    path.symlink_to(artifact_folder / "nothing")
    with pytest.raises(DamagedArtifact, match=f"{name} is a link to what is not there"):
        Artifact.load(artifact_folder)


@pytest.mark.parametrize("name", ["manifest.json", "cohort.npz"])
def test_a_file_is_not_read_beyond_all_measure(artifact_folder: Path, name: str) -> None:
    """A file with a hole is as long as it says and takes no room on the disk."""
    length = 1 << 33
    if name != "manifest.json":
        edit_manifest(artifact_folder, _set("files", name, "num_bytes", length))
    os.truncate(artifact_folder / name, length)
    with pytest.raises(DamagedArtifact, match=f"{name} has more than"):
        Artifact.load(artifact_folder)


def test_numbers_that_are_none_are_no_json(artifact_folder: Path) -> None:
    text = (artifact_folder / "manifest.json").read_text()
    (artifact_folder / "manifest.json").write_text(text.replace('"seed": 3', '"seed": NaN'))
    with pytest.raises(DamagedArtifact, match="NaN is no number"):
        Artifact.load(artifact_folder)


@pytest.mark.parametrize(
    "name", ["../secret", "/etc/passwd", "a/b", "a\\b", "..", ".", "", "C:x", "x\0y", ".hidden"]
)
def test_names_never_leave_the_folder(artifact_folder: Path, name: str) -> None:
    def edit(content: dict[str, Any]) -> None:
        content["files"][name] = content["files"]["CARD.md"]

    edit_manifest(artifact_folder, edit)
    with pytest.raises(DamagedArtifact, match="not a file inside of the artifact"):
        Artifact.load(artifact_folder)


def _set(*path_and_value: Any) -> Edit:
    *path, last, value = path_and_value

    def edit(content: dict[str, Any]) -> None:
        for key in path:
            content = content[key]
        content[last] = value

    return edit


WRONG = {
    "files is a list": _set("files", ["encoder.onnx"]),
    "a file is a number": _set("files", "CARD.md", 3),
    "a hash is short": _set("files", "CARD.md", "sha256", "ab"),
    "a size is text": _set("files", "CARD.md", "num_bytes", "8"),
    "a size is true": _set("files", "CARD.md", "num_bytes", True),
    "size is a float": _set("embedding_size", 3.0),
    "size is another": _set("embedding_size", 4),
    "classes are numbers": _set("training_classes", [1, 2]),
    "seed is null": _set("seed", None),
    "parity is a number": _set("parity", 1e-6),
    "unknown key": _set("surprise", 1),
    "no preprocess": lambda content: content.pop("preprocess") and None,
    "unknown preprocess": _set("preprocess", {"rotate": 3}),
    "wrong preprocess": _set("preprocess", "size_pixels", "big"),
    "unknown distance": _set("distance", {"name": "manhattan"}),
    "wrong distance": _set("distance", {"name": "hyperbolic", "curvature": "much"}),
    "other preprocess": _set("preprocess", "size_pixels", 8),
    "other distance": _set("distance", {"name": "euclidean"}),
    "other print": _set("fingerprint", "0" * 64),
    "a huge size": _set("preprocess", "size_pixels", 10**9),
    "a size that is true": _set("preprocess", "size_pixels", True),
    "a mean of text": _set("preprocess", "mean", ["a"]),
    "channels are true": _set("preprocess", "channels", True),
    "trim is a number": _set("preprocess", "trim", 1),
    "a shape below one": _set("preprocess", {"modality": "array", "shape": [-1, -1]}),
    "a detector without a name": _set("config", "detector", ["x"]),
    "imported from a list": _set("config", "imported", ["x"]),
    "so many parameters": _set("encoder", "num_parameters", "many"),
    "no dimension": _set("embedding_size", 0),
    "many dimensions": _set("embedding_size", 10**12),
    "a deep setting": _set("config", "deep", eval("[" * 80 + "]" * 80)),
    "no encoder": lambda content: content["files"].pop("encoder.onnx") and None,
}


@pytest.mark.parametrize("wrong", WRONG)
def test_wrong_content_of_the_manifest_is_damage(artifact_folder: Path, wrong: str) -> None:
    edit_manifest(artifact_folder, WRONG[wrong])
    with pytest.raises(DamagedArtifact, match="train again"):
        Artifact.load(artifact_folder)


@pytest.mark.parametrize("version", [0, -1, "1", None, 1.0, True, [1]])
def test_a_format_version_is_a_number_from_one(artifact_folder: Path, version: object) -> None:
    edit_manifest(artifact_folder, _set("format_version", version))
    with pytest.raises(DamagedArtifact, match="format_version"):
        Artifact.load(artifact_folder)


def test_a_newer_artifact_says_upgrade(artifact_folder: Path) -> None:
    """Whatever else a newer format may have changed, the checksum included."""
    newer = {"format": "ilk artifact", "format_version": FORMAT_VERSION + 1, "new": {}}
    (artifact_folder / "manifest.json").write_text(json.dumps(newer))
    with pytest.raises(NewerArtifact, match="pip install --upgrade ilk"):
        Artifact.load(artifact_folder)


@pytest.mark.parametrize(
    "text", ["", "{", "[" * 100_000, '{"format": NaN', "\xff\xfe", '{"format": "ilk artifact"']
)
def test_broken_json_is_damage(artifact_folder: Path, text: str) -> None:
    (artifact_folder / "manifest.json").write_text(text, encoding="latin-1")
    with pytest.raises(DamagedArtifact, match="not valid JSON"):
        Artifact.load(artifact_folder)


@pytest.mark.parametrize("text", ["[]", "null", "3", '{"name": "My web app"}', "{}"])
def test_a_manifest_of_something_else_is_foreign(artifact_folder: Path, text: str) -> None:
    (artifact_folder / "manifest.json").write_text(text)
    with pytest.raises(ForeignArtifact, match="pass the folder that `ilk train` or"):
        Artifact.load(artifact_folder)


def test_what_is_no_artifact_is_foreign(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "a.txt").write_text("")
    (tmp_path / "file").write_text("")
    for name, came in (
        ("empty", "an empty folder"),
        ("full", "other files"),
        ("file", "a file"),
        ("nowhere", "nothing"),
    ):
        with pytest.raises(ForeignArtifact, match=f"got {came}; pass the folder"):
            Artifact.load(tmp_path / name)


class _Bomb:
    def __reduce__(self) -> tuple[Any, ...]:
        return (exec, ("import os; os.environ['ILK_TEST_BOMB'] = 'exploded'",))


def test_a_pickle_in_the_cohort_is_never_opened(monkeypatch: pytest.MonkeyPatch) -> None:
    """A checkpoint that is loaded with pickle runs the code of whoever sent it."""
    monkeypatch.delenv("ILK_TEST_BOMB", raising=False)
    file = io.BytesIO()
    objects = np.array([_Bomb()], dtype=object)
    np.savez(file, embeddings=objects, class_ids=objects, class_hashes=objects)
    for payload in (file.getvalue(), pickle.dumps(_Bomb())):
        with pytest.raises(InvalidInput, match="expected"):
            Cohort.from_bytes(payload)
    assert "ILK_TEST_BOMB" not in os.environ


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"embeddings": np.zeros(3, np.float32)}, "embeddings"),
        ({"embeddings": np.zeros((5, 3))}, "float32"),
        ({"embeddings": np.full((5, 3), np.nan, np.float32)}, "finite"),
        ({"class_ids": np.zeros(4, np.int64)}, "class_ids"),
        ({"class_ids": np.array([0, 0, 1, 1, 5])}, "below 5"),
        ({"class_ids": np.array([0, 0, 1, 1, -1])}, "below 5"),
    ],
)
def test_a_cohort_fits_itself(parts: ArtifactParts, changes: dict[str, Any], match: str) -> None:
    with pytest.raises(InvalidInput, match=match):
        dataclasses.replace(parts.cohort, **changes)


def test_a_cohort_of_another_size_is_refused(tmp_path: Path, parts: ArtifactParts) -> None:
    with pytest.raises(InvalidInput, match="embeddings of size 4, got 3"):
        write_artifact(tmp_path / "a", dataclasses.replace(parts, embedding_size=4))


@pytest.mark.parametrize("value", [float("nan"), object(), {1, 2}, Path("x"), np.float32(1)])
def test_a_config_is_plain_data(tmp_path: Path, parts: ArtifactParts, value: object) -> None:
    with pytest.raises(InvalidInput, match="plain data"):
        write_artifact(tmp_path / "a", dataclasses.replace(parts, config={"key": value}))
    assert not list(tmp_path.iterdir())


def test_number_keys_survive(tmp_path: Path, parts: ArtifactParts) -> None:
    """JSON makes text of them, which sorts otherwise: the checksum must not care."""
    config = {"steps": {9: "a", 10: "b"}, "ž": "žluť"}
    path = write_artifact(tmp_path / "a", dataclasses.replace(parts, config=config))
    expected = {"steps": {"9": "a", "10": "b"}, "ž": "žluť"}
    assert Artifact.load(path).manifest.config == expected


def test_an_existing_target_is_refused(artifact_folder: Path, parts: ArtifactParts) -> None:
    before = contents(artifact_folder)
    with pytest.raises(ArtifactError, match="exists already; choose another output"):
        write_artifact(artifact_folder, dataclasses.replace(parts, seed=9))
    assert contents(artifact_folder) == before


def test_an_empty_folder_is_filled(tmp_path: Path, parts: ArtifactParts) -> None:
    (tmp_path / "new").mkdir()
    Artifact.load(write_artifact(tmp_path / "new", parts))
    Artifact.load(write_artifact(tmp_path / "not" / "yet" / "there", parts))


@pytest.mark.parametrize("has_exchange", [True, False])
def test_an_artifact_is_replaced_on_request(
    artifact_folder: Path,
    parts: ArtifactParts,
    monkeypatch: pytest.MonkeyPatch,
    has_exchange: bool,
) -> None:
    if not has_exchange:
        monkeypatch.setattr(folder, "_exchange", lambda first, second: False)
    write_artifact(artifact_folder, dataclasses.replace(parts, seed=9), overwrite=True)
    assert Artifact.load(artifact_folder).manifest.seed == 9
    assert [path.name for path in artifact_folder.parent.iterdir()] == ["birds"]


def test_a_link_to_an_artifact_is_written_through(
    artifact_folder: Path, parts: ArtifactParts, tmp_path: Path
) -> None:
    (tmp_path / "latest").symlink_to(artifact_folder)
    write_artifact(tmp_path / "latest", dataclasses.replace(parts, seed=9), overwrite=True)
    assert (tmp_path / "latest").is_symlink()
    assert Artifact.load(artifact_folder).manifest.seed == 9


def test_nothing_but_an_artifact_is_overwritten(
    artifact_folder: Path, parts: ArtifactParts, tmp_path: Path
) -> None:
    (artifact_folder / "thesis.txt").write_text("mine")
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "photo.jpg").write_text("mine")
    (tmp_path / "file").write_text("mine")
    for name, what in (
        ("birds", "holds thesis.txt"),
        ("home", "holds photo.jpg"),
        ("file", "is not an artifact"),
    ):
        before = (tmp_path / name).stat().st_mtime_ns
        with pytest.raises(ArtifactError, match=what):
            write_artifact(tmp_path / name, parts, overwrite=True)
        with pytest.raises(ArtifactError, match="choose another output"):
            check_output(tmp_path / name, overwrite=True)
        assert (tmp_path / name).stat().st_mtime_ns == before


def test_a_full_disk_leaves_the_old_one(
    artifact_folder: Path, parts: ArtifactParts, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = contents(artifact_folder)

    def fail(handle: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match="No space left"):
        write_artifact(artifact_folder, dataclasses.replace(parts, seed=9), overwrite=True)
    assert contents(artifact_folder) == before
    assert [path.name for path in artifact_folder.parent.iterdir()] == ["birds"]


CRASH = """
import os, sys
from pathlib import Path
from ilk.artifact import folder
last = sys.argv[2]
calls = []
def dying(function, name):
    def call(*arguments, **options):
        if name == last:
            calls.append(name)
            if len(calls) == int(sys.argv[3]):
                os._exit(9)
        return function(*arguments, **options)
    return call
os.fsync, os.rename = dying(os.fsync, "fsync"), dying(os.rename, "rename")
folder.shutil.rmtree = dying(folder.shutil.rmtree, "rmtree")
if sys.argv[4] == "without":
    folder._exchange = lambda first, second: False
files = {"one": b"new", "two": b"new", "three": b"new"}
folder.publish_folder(Path(sys.argv[1]), files, may_replace=True)
"""


@pytest.mark.parametrize(
    ("call", "number", "exchange", "expected"),
    [
        ("fsync", 1, "with", b"old"),
        ("fsync", 3, "with", b"old"),
        ("rmtree", 1, "with", b"new"),
        ("rename", 1, "without", b"old"),
        ("rename", 2, "without", None),
        ("rmtree", 1, "without", b"new"),
    ],
)
def test_a_crash_leaves_the_old_or_the_new(
    tmp_path: Path, call: str, number: int, exchange: str, expected: bytes | None
) -> None:
    """Killed at each step; without an exchange the old one can be what is left beside."""
    target = tmp_path / "a"
    target.mkdir()
    for name in ("one", "two", "three"):
        (target / name).write_bytes(b"old")
    arguments = [sys.executable, "-c", CRASH, str(target), call, str(number), exchange]
    assert subprocess.run(arguments, check=False).returncode == 9
    left = find_leftovers(target)
    assert left
    if expected is None:
        assert not target.exists()
        target = next(path for path in left if path.name.endswith(".ilk-replaced"))
        expected = b"old"
    assert set(contents(target).values()) == {expected}
    assert len(contents(target)) == 3


def test_leftovers_are_recognised_and_swept(tmp_path: Path, parts: ArtifactParts) -> None:
    target = tmp_path / "a"
    left = write_artifact(tmp_path / ".a.1234abcd.ilk-partial", parts)
    fresh = write_artifact(tmp_path / ".a.5678abcd.ilk-partial", parts)
    other = write_artifact(tmp_path / ".b.1234abcd.ilk-partial", parts)
    assert find_leftovers(target) == (left, fresh)
    with pytest.raises(DamagedArtifact, match="interrupted write left behind; delete it"):
        Artifact.load(left)
    with pytest.raises(ForeignArtifact, match="rename it to a"):
        Artifact.load(target)
    os.utime(left, (0, 0))
    os.utime(other, (0, 0))
    write_artifact(target, parts)
    assert [left.exists(), fresh.exists(), other.exists()] == [False, True, True]


def test_the_only_copy_is_never_swept(tmp_path: Path) -> None:
    old = tmp_path / ".a.1234abcd.ilk-replaced"
    old.mkdir()
    os.utime(old, (0, 0))
    folder.publish_folder(tmp_path / "a", {"one": b"new"})
    assert old.exists()
    assert find_leftovers(tmp_path / "nowhere" / "a") == ()


@pytest.mark.skipif(sys.platform != "linux", reason="needs an exchange of folders in one step")
def test_a_reader_beside_a_writer_sees_one_or_the_other(
    artifact_folder: Path, parts: ArtifactParts
) -> None:
    is_done = threading.Event()
    failures: list[BaseException] = []
    seen: set[int] = set()

    def read() -> None:
        while not is_done.is_set():
            try:
                seen.add(Artifact.load(artifact_folder).manifest.seed)
            except BaseException as error:
                failures.append(error)

    reader = threading.Thread(target=read)
    reader.start()
    for i in range(30):
        weights = bytes([i]) * (1000 + i)
        changed = dataclasses.replace(parts, seed=i, weights=weights)
        write_artifact(artifact_folder, changed, overwrite=True)
    is_done.set()
    reader.join()
    assert not failures
    assert len(seen) > 1


def test_a_change_after_loading_is_noticed(artifact_folder: Path) -> None:
    loaded = Artifact.load(artifact_folder)
    file = artifact_folder / "encoder.onnx"
    file.write_bytes(b"x" * file.stat().st_size)
    with pytest.raises(DamagedArtifact, match="does not have the hash"):
        loaded.onnx()
    with pytest.raises(InvalidInput, match=r"CARD\.md, cohort\.npz"):
        loaded.read("../../etc/passwd")


def test_overlap_finds_classes_and_items(artifact_folder: Path) -> None:
    manifest = Artifact.load(artifact_folder).manifest
    found = find_overlap(
        manifest, ["gull", "emu", "cafe\u0301", "owl", "emu"], ["cd" * 32, "ab" * 32]
    )
    assert found.classes == ("cafe\u0301", "gull", "owl")
    assert found.items == (1,)
    assert found
    assert not find_overlap(manifest, ["emu"], ["cd" * 32])


@given(st.text(), st.text())
@settings(deadline=None)
def test_class_hashes_tell_labels_apart(first: str, second: str) -> None:
    import unicodedata

    is_same = unicodedata.normalize("NFC", first) == unicodedata.normalize("NFC", second)
    assert (class_hash(first) == class_hash(second)) is is_same


def test_loading_needs_no_torch(artifact_folder: Path) -> None:
    code = (
        "import sys\n"
        "for name in ('torch', 'timm', 'lightning', 'onnx', 'safetensors', 'pickle5'):\n"
        "    sys.modules[name] = None\n"
        "import numpy as np\n"
        "from ilk.encoders.onnx import open_encoder\n"
        "print(open_encoder(sys.argv[1]).embed(np.zeros((2, 1, 4, 4), np.float32)).shape)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(artifact_folder)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout == "(2, 3)\n", done.stderr


def test_preprocessing_and_distance_come_back(tmp_path: Path, parts: ArtifactParts) -> None:
    preprocess = Preprocess(size_pixels=4, channels=1, resize="pad", mean=(0.1,), std=(0.3,))
    for i, distance in enumerate((Cosine(), Euclidean(), Hyperbolic(curvature=0.7))):
        changed = dataclasses.replace(parts, preprocess=preprocess, distance=distance)
        loaded = Artifact.load(write_artifact(tmp_path / str(i), changed))
        assert (loaded.preprocess, loaded.distance) == (preprocess, distance)
