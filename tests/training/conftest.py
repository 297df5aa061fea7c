"""Items of patterns that a small net learns in a few steps, and the settings for that."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from ilk.config import Run, load_run
from ilk.items import Items
from ilk.training.checkpoints import save_checkpoint

TINY = (
    "schedule.steps=8",
    "schedule.validate_every=3",
    "trainer.mode=whole",
    "batch.classes=4",
    "batch.items_per_class=2",
    "encoder.name=small",
    "encoder.options={width=4, size_pixels=16, embedding_size=8}",
    "schedule.head_only_epochs=0",
    "trainer.precision=float32",
    "trainer.accelerator=cpu",
    'trainer.loggers=["csv"]',
    "trainer.log_every=2",
)


def _patterns(num_classes: int, class_size: int, size: int) -> Items:
    rng = np.random.default_rng(0)
    patterns = rng.integers(0, 256, (num_classes, size, size))
    noise = rng.integers(-60, 60, (num_classes, class_size, size, size))
    pictures = (patterns[:, None] + noise).clip(0, 255).astype(np.uint8)
    labels = [f"c{c}" for c in range(num_classes) for _ in range(class_size)]
    return Items.from_arrays(pictures.reshape(-1, size, size), labels)


@pytest.fixture(scope="session")
def patterns() -> Items:
    """Ten classes of five 16-pixel pictures: a fixed noise pattern each, plus noise."""
    return _patterns(10, 5, 16)


@pytest.fixture(scope="session")
def tiny_run() -> Callable[..., Run]:
    """Return the settings of a run of eight steps, with changes."""
    return lambda *overrides: load_run(overrides=[*TINY, *overrides])


@pytest.fixture
def no_export(monkeypatch: pytest.MonkeyPatch) -> None:
    """Write the weights alone, for tests of what comes before: an export takes seconds."""

    def export(encoder: nn.Module, *, output: Path, **_: object) -> Path:
        output.mkdir()
        save_checkpoint(output / "weights.safetensors", encoder.state_dict(), {})
        return output

    # By module object: `ilk.training.fit` is the function of the same name.
    monkeypatch.setattr(import_module("ilk.training.fit"), "export_artifact", export)


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep features that a test computes out of the user's cache."""
    monkeypatch.setenv("ILK_CACHE", str(tmp_path / "cache"))


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    """Small nets on several threads wait for each other more than they compute."""
    torch.set_num_threads(1)
