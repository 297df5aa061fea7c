"""Where things are kept: also for a user who has no home, as in some containers."""

from __future__ import annotations

import os
import pwd
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from ilk.cache_folder import cache_folder, find_cache_folder, home_expanded
from ilk.cli.artifacts import load_artifact
from ilk.embedding import EmbeddingCache
from ilk.errors import ConfigError, MissingWeights
from ilk.gallery.forgetting import forget_in_caches
from ilk.importing import read_network
from ilk.model_files import finding, folded, model_file
from ilk.preprocess import Preprocess


@pytest.fixture
def homeless(monkeypatch: pytest.MonkeyPatch) -> None:
    """A user of a container that was started with --user 12345."""

    def nobody(*given: Any) -> Any:
        raise KeyError(given)

    for name in ("HOME", "ILK_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(pwd, "getpwuid", nobody)
    monkeypatch.setattr(pwd, "getpwnam", nobody)


@pytest.mark.usefixtures("homeless")
def test_without_a_home_what_needs_a_cache_says_how_to_get_one() -> None:
    assert find_cache_folder("models") is None
    for ask in (
        lambda: cache_folder("models"),
        EmbeddingCache,
        lambda: load_artifact(Path("faces")),
    ):
        with pytest.raises(ConfigError, match="a user without a home folder; set ILK_CACHE"):
            ask()


@pytest.mark.usefixtures("homeless")
def test_without_a_home_what_needs_no_cache_works(monkeypatch: pytest.MonkeyPatch) -> None:
    file = model_file("yunet", may_download=False)
    assert "the package" in file.found
    assert folded(file)
    forget_in_caches(None)  # type: ignore[arg-type]  # it is not looked at: nothing can be remembered
    monkeypatch.setattr(finding, "find_spec", lambda name: None)
    with pytest.raises(MissingWeights, match=r"a folder models in \$ILK_CACHE"):
        model_file("yunet", may_download=False)


@pytest.mark.usefixtures("homeless")
def test_where_there_is_no_home_a_tilde_is_a_name() -> None:
    assert home_expanded("~/a") == Path("~/a")
    with pytest.raises(ValueError, match=r"~/net\.onnx: expected a network"):
        read_network("~/net.onnx", Preprocess(size_pixels=4))


def test_a_folder_that_is_named_is_enough(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value, expected in (
        ("HOME", tmp_path, tmp_path / ".cache/ilk/models"),
        ("XDG_CACHE_HOME", tmp_path / "x", tmp_path / "x/ilk/models"),
        ("ILK_CACHE", tmp_path / "own", tmp_path / "own/models"),
    ):
        monkeypatch.setenv(name, str(value))
        if name == "HOME":
            monkeypatch.delenv("ILK_CACHE", raising=False)
            monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
        assert find_cache_folder("models") == cache_folder("models") == expected


def test_running_a_network_leaves_nothing_at_home(tmp_path: Path, artifact_folder: Path) -> None:
    """ONNX Runtime has an identity of the machine there, and reports to its makers under it."""
    home = tmp_path / "home"
    home.mkdir()
    code = "import sys, ilk; ilk.open_encoder(sys.argv[1])"
    given = {k: v for k, v in os.environ.items() if k not in ("ORT_DISABLE_TELEMETRY", "ILK_CACHE")}
    given |= {"HOME": str(home), "XDG_CACHE_HOME": str(home / "cache")}
    subprocess.run([sys.executable, "-c", code, artifact_folder], env=given, check=True)
    assert list(home.rglob("*")) == []
