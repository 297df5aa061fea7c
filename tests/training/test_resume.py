"""A run that is stopped and gone on with is the run that never stopped, to the last bit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch import Callback

from ilk.errors import ConfigError, DataError, TrainingStopped
from ilk.items import Items
from ilk.training import callbacks, fit
from ilk.training.checkpoints import load_checkpoint

pytestmark = pytest.mark.usefixtures("no_export")

VARIANTS = {
    "plain": (),
    "everything": (
        "trainer.average=0.9",
        "trainer.precision=bfloat16",
        "loss.name=normalized_softmax",
        "augment.rotations_as_classes=true",
        "encoder.options.dropout=0.3",
        "schedule.head_only_epochs=0.4",
    ),
    "threads": ("data.cache_mib=0", "data.num_threads=1"),
    "head": ("trainer.mode=head", "schedule.steps=8"),
}


@pytest.fixture
def stop_at(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Return a function: ask to stop at these steps, once each, as Ctrl-C does."""
    left: list[int] = []
    plain = callbacks.Stopper.on_train_batch_end

    def asking(self: callbacks.Stopper, trainer: Any, module: Any, *rest: Any) -> None:
        if left and module.step == left[0]:
            left.pop(0)
            self.ask()
        plain(self, trainer, module, *rest)

    monkeypatch.setattr(callbacks.Stopper, "on_train_batch_end", asking)
    return left.extend


def _same(one: Path, other: Path) -> None:
    """Compare what is exported, and everything that a checkpoint holds."""
    for name in ("a/weights.safetensors",):
        assert (one / name).read_bytes() == (other / name).read_bytes()
    for name in ("last", "best"):
        path = Path("a.run") / "checkpoints" / f"{name}.safetensors"
        (tensors, facts), (wanted, wanted_facts) = (
            load_checkpoint(folder / path) for folder in (one, other)
        )
        assert facts == wanted_facts
        assert tensors.keys() == wanted.keys()
        for key, value in wanted.items():
            assert torch.equal(tensors[key], value), key


@pytest.mark.parametrize("variant", VARIANTS)
def test_stopped_runs_end_as_if_they_had_never_stopped(
    patterns: Items, tiny_run: Any, tmp_path: Path, stop_at: Any, variant: str
) -> None:
    run = tiny_run(*VARIANTS[variant])
    straight, stopped = tmp_path / "straight", tmp_path / "stopped"
    for folder in (straight, stopped):
        folder.mkdir()
    fit(run, items=patterns, output=straight / "a")
    stops = [2, 3, 7]  # within a round, at a validation, in the last round
    stop_at(stops)
    for i, step in enumerate(stops):
        torch.rand(i)
        with pytest.raises(TrainingStopped, match=f"stopped after step {step} of 8; .*--resume"):
            fit(run, items=patterns, output=stopped / "a", resume=i > 0)
    fit(run, items=patterns, output=stopped / "a", resume=True)
    _same(stopped, straight)


def test_a_run_killed_after_its_last_step_still_exports(
    patterns: Items, tiny_run: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def crash(*_: object, **__: object) -> None:
        raise MemoryError

    with monkeypatch.context() as patch:
        patch.setattr(callbacks.Keeper, "load_best", crash)
        with pytest.raises(MemoryError):
            fit(tiny_run(), items=patterns, output=tmp_path / "a")
    fit(tiny_run(), items=patterns, output=tmp_path / "a", resume=True)
    assert (tmp_path / "a").is_dir()


@pytest.fixture
def stopped_run(patterns: Items, tiny_run: Any, tmp_path: Path, stop_at: Any) -> Path:
    stop_at([2])
    with pytest.raises(TrainingStopped):
        fit(tiny_run(), items=patterns, output=tmp_path / "a")
    return tmp_path / "a"


def test_other_settings_are_refused_by_path(
    patterns: Items, tiny_run: Any, stopped_run: Path
) -> None:
    with pytest.raises(
        ConfigError, match=r"seed: the run was started with 0 and cannot go on with 1"
    ):
        fit(tiny_run("seed=1"), items=patterns, output=stopped_run, resume=True)


def test_settings_that_change_no_result_may_change(
    patterns: Items, tiny_run: Any, stopped_run: Path
) -> None:
    fit(tiny_run("trainer.log_every=5"), items=patterns, output=stopped_run, resume=True)


def test_other_items_are_refused(patterns: Items, tiny_run: Any, stopped_run: Path) -> None:
    fewer = patterns.take(range(1, len(patterns)))
    with pytest.raises(DataError, match="was saved with another items"):
        fit(tiny_run(), items=fewer, output=stopped_run, resume=True)


def test_an_unfinished_run_is_not_started_over_unasked(
    patterns: Items, tiny_run: Any, stopped_run: Path
) -> None:
    with pytest.raises(ConfigError, match="holds an unfinished run; go on with --resume"):
        fit(tiny_run(), items=patterns, output=stopped_run)
    fit(tiny_run("seed=1"), items=patterns, output=stopped_run, overwrite=True)


def test_there_must_be_something_to_resume(patterns: Items, tiny_run: Any, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no checkpoint to resume from; leave out --resume"):
        fit(tiny_run(), items=patterns, output=tmp_path / "a", resume=True)


def test_a_damaged_checkpoint_is_named(patterns: Items, tiny_run: Any, stopped_run: Path) -> None:
    path = stopped_run.with_name("a.run") / "checkpoints" / "last.safetensors"
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(DataError, match=r"last\.safetensors is not a checkpoint of ilk"):
        fit(tiny_run(), items=patterns, output=stopped_run, resume=True)


def test_the_second_request_does_not_wait(tmp_path: Path) -> None:
    keeper = callbacks.Keeper(tmp_path, {})
    import signal

    handlers = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    with callbacks.Stopper(keeper, validate_every=1, num_steps=1, how_to_continue="") as stopper:
        assert isinstance(stopper, Callback)
        signal.raise_signal(signal.SIGTERM)
        signal.raise_signal(signal.SIGTERM)
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
    assert handlers == (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM))
