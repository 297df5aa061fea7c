from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from ilk.artifact import Artifact

TINY = [
    "encoder.options={width=4, size_pixels=16, embedding_size=8}",
    "batch.classes=4",
    "batch.items_per_class=2",
    "trainer.precision=float32",
    "schedule.validate_every=1000",
    "trainer.mode=whole",
]


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data") / "small drawings"
    rng = np.random.default_rng(0)
    for label in range(8):
        (folder / f"{label}").mkdir(parents=True)
        pattern = rng.integers(0, 256, (16, 16))
        for i in range(4):
            picture = (pattern + rng.integers(-40, 40, (16, 16))).clip(0, 255).astype(np.uint8)
            Image.fromarray(picture).save(folder / f"{label}" / f"{i}.png")
    return folder


def _command(*arguments: object) -> list[str]:
    settings = [word for setting in TINY for word in ("--set", setting)]
    return [sys.executable, "-m", "ilk", "train", *map(str, arguments), *settings]


def _options(tmp_path: Path) -> dict[str, Any]:
    return {
        "cwd": tmp_path,
        "text": True,
        "stdout": subprocess.PIPE,
        "stderr": subprocess.PIPE,
        "env": {**os.environ, "OMP_NUM_THREADS": "1"},
    }


@pytest.fixture
def train(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> Callable[..., tuple[int, str, str]]:
    """Return a function that runs the command here: exit code, output, errors."""
    from ilk.cli.main import run

    monkeypatch.chdir(tmp_path)

    def call(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["ilk", *_command(*arguments)[3:]])
        with pytest.raises(SystemExit) as caught:
            run()
        code = caught.value.code
        return (code if isinstance(code, int) else 0), *capfd.readouterr()

    return call


def test_ctrl_c_leaves_something_to_go_on_from(source: Path, tmp_path: Path) -> None:
    arguments = [source, "--output", "a", "--set", "schedule.steps=1000000"]
    arguments += ["--set", "data.cache_mib=0"]  # with threads that read ahead
    process = subprocess.Popen(_command(*arguments), **_options(tmp_path), start_new_session=True)
    log = tmp_path / "a.run" / "logs" / "csv" / "from_step_0"
    deadline = time.monotonic() + 60
    while not log.exists() and time.monotonic() < deadline:
        time.sleep(0.1)
    time.sleep(0.5)
    os.killpg(process.pid, signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 1, err
    assert err.startswith("ilk: stopped after step ")
    assert "--resume" in err
    assert err.count("\n") == 1
    assert "training on    24 items of 6 classes" in out
    assert (tmp_path / "a.run" / "checkpoints" / "last.safetensors").is_file()


def test_it_prints_what_happens_and_what_comes_next(
    train: Any, source: Path, tmp_path: Path
) -> None:
    code, out, err = train(source, "--set", "schedule.steps=3")
    assert (code, err) == (0, "")
    artifact = Artifact.load(tmp_path / "small-drawings.ilk")
    for part in (
        "training on    24 items of 6 classes",
        "validation on  8 items of 2 classes, other classes",
        "step 3/3",
        f"wrote small-drawings.ilk, fingerprint {artifact.encoder_fingerprint[:12]}",
        "validation MAP@R: ",
        "(of 2 classes: too few for an interval)",
        "note           2 validation classes are too few",
        "next: ilk evaluate small-drawings.ilk ",
    ):
        assert part in out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--set", "optimizer.learnig_rate=1"], "did you mean optimizer.learning_rate?"),
        (["--config", "none.toml"], "none.toml"),
        (["--resume"], "no checkpoint to resume from"),
        (["--set", "data.validation_by=parent"], "at least two parents"),
        (["--output", "/proc/nowhere/a"], "/proc/nowhere"),
    ],
)
def test_mistakes_are_one_line(
    train: Any, source: Path, arguments: list[str], message: str
) -> None:
    code, _, err = train(source, *arguments)
    assert code == 1
    assert err.startswith("ilk: ")
    assert message in err
    assert err.count("\n") == 1


def test_a_run_that_learns_nothing_fails_unless_that_is_allowed(
    train: Any, source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from ilk.training.module import TrainingModule

    plain = TrainingModule.on_validation_epoch_end

    def get_worse(self: TrainingModule) -> None:
        plain(self)
        self.scores[self.step] = 0.5 - self.step / 100

    monkeypatch.setattr(TrainingModule, "on_validation_epoch_end", get_worse)
    arguments = (source, "--output", "a", "--set", "schedule.steps=2")
    code, _, err = train(*arguments)
    assert code == 1
    assert err.startswith("ilk: validation MAP@R was 0.500 before the first step and at most 0.480")
    assert err.count("\n") == 1
    assert not (tmp_path / "a").exists()
    code, out, _ = train(*arguments, "--resume", "--allow-untrained")
    assert code == 0
    assert "WARNING" in out
    assert (tmp_path / "a").is_dir()


@pytest.mark.slow
def test_two_processes_learn_what_one_learns(source: Path, tmp_path: Path) -> None:
    # Batch norm and distortions are each process's own; without them the weights agree.
    settings = ["schedule.steps=6", "trainer.freeze_batch_norm=true", "augment.name=none"]
    settings += ["trainer.accelerator=cpu", "loss.name=normalized_softmax"]
    words = [word for setting in settings for word in ("--set", setting)]
    for devices in (1, 2):
        output = ["--output", f"{devices}", "--set", f"trainer.devices={devices}"]
        done = subprocess.run(
            _command(source, *words, *output), **_options(tmp_path), check=False, timeout=300
        )
        assert done.returncode == 0, done.stderr
        assert done.stdout.count("step 6/6") == 1
    one, two = (load_file(tmp_path / f"{n}" / "weights.safetensors") for n in (1, 2))
    for name, value in one.items():
        torch.testing.assert_close(two[name], value, rtol=1e-4, atol=1e-6)
