"""`ilk embed`, as a person types it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

from ilk.cli.embed import embed
from ilk.datasets import open_source
from ilk.embedding import embed_items
from ilk.encoders.onnx import open_encoder
from ilk.errors import DamagedArtifact, InvalidInput, UnreadableItem


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ILK_CACHE", str(tmp_path / "cache"))


def run(*arguments: object) -> Result:
    return CliRunner().invoke(embed, [str(a) for a in arguments], catch_exceptions=False)


def test_it_writes_what_python_gives(
    artifact_folder: Path, picture_folder: Path, tmp_path: Path
) -> None:
    out = tmp_path / "x.npz"
    result = run(artifact_folder, picture_folder, "--out", out, "--batch-size", 4)
    assert result.exit_code == 0
    assert result.output == f"wrote 6 embeddings of 3 numbers to {out}, 0 from the cache\n"
    expected = embed_items(open_encoder(artifact_folder), open_source(picture_folder))
    with np.load(out) as arrays:
        np.testing.assert_allclose(arrays["embedding"], expected.embeddings, rtol=1e-6)
        assert arrays["label"].tolist() == list(expected.items.labels)
        assert arrays["hash"].tolist() == list(expected.hashes)


def test_json_says_what_was_remembered(
    artifact_folder: Path, picture_folder: Path, tmp_path: Path
) -> None:
    out = tmp_path / "x.csv"
    arguments = (artifact_folder, picture_folder, "--out", out, "--json")
    fingerprint = open_encoder(artifact_folder).fingerprint
    for options, num_cached in (((), 0), ((), 6), (("--no-cache",), 0)):
        assert json.loads(run(*arguments, *options).stdout) == {
            "out": str(out),
            "num_items": 6,
            "num_cached": num_cached,
            "embedding_size": 3,
            "encoder_fingerprint": fingerprint,
            "problems": [],
        }


def test_without_the_cache_nothing_is_kept(
    artifact_folder: Path, picture_folder: Path, tmp_path: Path
) -> None:
    run(artifact_folder, picture_folder, "--out", tmp_path / "x.csv", "--no-cache")
    assert not (tmp_path / "cache").exists()


def test_what_cannot_be_read_is_named(
    artifact_folder: Path, picture_folder: Path, tmp_path: Path
) -> None:
    (picture_folder / "owl" / "broken.png").write_bytes(b"no picture")
    arguments = (artifact_folder, picture_folder, "--out", tmp_path / "x.csv")
    with pytest.raises(UnreadableItem, match=r"broken\.png"):
        run(*arguments)
    assert not (tmp_path / "x.csv").exists()
    result = run(*arguments, "--on-unreadable", "skip")
    assert "6 embeddings" in result.stdout
    assert "skipped: owl/broken.png: " in result.stderr
    told = json.loads(run(*arguments, "--on-unreadable", "skip", "--json").stdout)
    assert [problem["name"] for problem in told["problems"]] == ["owl/broken.png"]


def test_mistakes_are_refused_before_any_work(artifact_folder: Path, tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match=r"ends in \.parquet"):
        run(artifact_folder, "no such source", "--out", tmp_path / "x.txt")
    (artifact_folder / "encoder.onnx").unlink()
    with pytest.raises(DamagedArtifact, match="missing"):
        run(artifact_folder, "no such source", "--out", tmp_path / "x.npz")


def test_an_error_is_one_line(artifact_folder: Path, tmp_path: Path) -> None:
    (artifact_folder / "manifest.json").write_text("{")
    done = subprocess.run(
        [sys.executable, "-m", "ilk", "embed", str(artifact_folder), "x", "--out", "x.csv"],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
    )
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr.startswith("ilk: ")
    assert done.stderr.count("\n") == 1
