"""Two processes learn what one process learns from the whole batch."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import Tensor

from ilk.losses import gather_embeddings

Case = tuple[str, tuple[int, int]]

WORKER = Path(__file__).parent / "gather_worker.py"
_spec = importlib.util.spec_from_file_location("gather_worker", WORKER)
assert _spec is not None
assert _spec.loader is not None
worker = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(worker)


@pytest.fixture(scope="module")
def ranks(tmp_path_factory: pytest.TempPathFactory) -> list[dict[Case, dict[str, Tensor]]]:
    folder = tmp_path_factory.mktemp("gather")
    commands = [[sys.executable, str(WORKER), str(rank), "2", str(folder)] for rank in (0, 1)]
    processes = [subprocess.Popen(c, stderr=subprocess.PIPE, text=True) for c in commands]
    for process in processes:
        try:
            _, complaint = process.communicate(timeout=120)
        finally:
            process.kill()
        assert process.returncode == 0, complaint
    return [torch.load(folder / f"{rank}.pt") for rank in (0, 1)]


@pytest.mark.parametrize("case", worker.cases(), ids=str)
def test_gradients_are_those_of_one_process(
    case: Case, ranks: list[dict[Case, dict[str, Tensor]]]
) -> None:
    expected = worker.step(*case, None)
    assert "encoder.0.weight" in expected
    assert ("loss.class_weights" in expected) == (case[0] in ("softmax", "adaface"))
    for rank in ranks:
        assert rank[case].keys() == expected.keys()
        for key, value in expected.items():  # the loss itself too, at its true scale
            torch.testing.assert_close(rank[case][key], value, rtol=1e-9, atol=1e-12, msg=key)


def test_alone_nothing_changes() -> None:
    embeddings, labels = torch.randn(3, 2), torch.arange(3)
    gathered, all_labels = gather_embeddings(embeddings, labels)
    assert gathered is embeddings
    assert all_labels is labels
