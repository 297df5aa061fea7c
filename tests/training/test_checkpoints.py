from __future__ import annotations

import pickle
from pathlib import Path

import pytest
import torch

from ilk.errors import DataError
from ilk.training.checkpoints import load_checkpoint, save_checkpoint


def test_tensors_and_facts_come_back(tmp_path: Path) -> None:
    base = torch.arange(6.0).reshape(2, 3)
    tensors = {"a": base, "tied": base, "turned": base.T, "half": base.bfloat16(), "n": base[0, 0]}
    facts = {"step": 3, "scores": {"1": 0.5}, "name": "ä"}
    save_checkpoint(tmp_path / "x.safetensors", tensors, facts)
    found, found_facts = load_checkpoint(tmp_path / "x.safetensors")
    assert found_facts == facts
    assert found.keys() == tensors.keys()
    for key, value in tensors.items():
        assert found[key].dtype == value.dtype
        assert torch.equal(found[key], value)


def test_a_failed_write_leaves_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "x.safetensors"
    save_checkpoint(path, {"a": torch.ones(1)}, {"step": 1})

    def full(_: int) -> None:
        raise OSError("No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="No space left"):
        save_checkpoint(path, {"a": torch.zeros(1)}, {"step": 2})
    assert load_checkpoint(path)[1] == {"step": 1}


@pytest.mark.parametrize("content", [b"", b"garbage", pickle.dumps({"a": 1}), b"\0" * 99])
def test_damaged_files_and_pickles_are_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "x.safetensors"
    path.write_bytes(content)
    with pytest.raises(DataError, match="not a checkpoint of ilk or is damaged"):
        load_checkpoint(path)


def test_a_foreign_safetensors_file_is_refused(tmp_path: Path) -> None:
    from safetensors.torch import save_file

    save_file({"a": torch.ones(1)}, tmp_path / "x.safetensors")
    with pytest.raises(DataError, match="not a checkpoint of ilk"):
        load_checkpoint(tmp_path / "x.safetensors")


def test_a_missing_file_is_an_os_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        load_checkpoint(tmp_path / "none.safetensors")
