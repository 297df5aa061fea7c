"""What a person sees and finds written while training runs."""

from __future__ import annotations

import csv
import os
import pty
import sys
import threading
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from ilk.embedding import embed_items
from ilk.errors import TrainingStopped
from ilk.items import Items
from ilk.training import callbacks, fit
from ilk.training.module import TrainingModule
from ilk.training.progress import Display

FIT = import_module("ilk.training.fit")  # the function of the same name hides the module

pytestmark = pytest.mark.usefixtures("no_export")


class Terminal:
    """A pseudo-terminal in the place of standard error, and what was drawn on it."""

    def __init__(self) -> None:
        self._ours, theirs = pty.openpty()
        self.file = os.fdopen(theirs, "w", buffering=1)
        self._drawn = b""
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def drawn(self) -> str:
        self.file.close()
        self._reader.join(10)
        return self._drawn.decode()

    def _read(self) -> None:
        try:
            while part := os.read(self._ours, 4096):
                self._drawn += part
        except OSError:  # the other side is closed
            os.close(self._ours)


@pytest.mark.parametrize("mode", ["whole", "head"])
def test_a_run_on_a_terminal_is_drawn_stopped_and_gone_on_with(
    patterns: Items,
    tiny_run: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    mode: str,
) -> None:
    def ask(self: callbacks.Stopper, trainer: Any, module: Any, *_: Any) -> None:
        if module.step == 4:
            self.ask()
        self._stop_if_asked(trainer, module)

    terminal = Terminal()
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(sys, "stderr", terminal.file)
    options: dict[str, Any] = {"items": patterns, "output": tmp_path / "a", "show_bar": True}
    # Nothing is logged before the first step after the stop is drawn.
    run = tiny_run("trainer.log_every=100", f"trainer.mode={mode}")
    with monkeypatch.context() as patch:
        patch.setattr(callbacks.Stopper, "on_train_batch_end", ask)
        with pytest.raises(TrainingStopped, match="step 4 of 8"):
            fit(run, **options)
    fit(run, **options, resume=True)
    drawn = terminal.drawn()
    assert "4/8" in drawn
    assert "8/8" in drawn
    assert "loss " in drawn
    assert "Traceback" not in drawn


def test_without_a_terminal_a_minute_never_passes_in_silence(
    patterns: Items, tiny_run: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [0.0]
    plain = TrainingModule.optimizer_step

    def slow(self: TrainingModule, *args: Any, **kwargs: Any) -> None:
        plain(self, *args, **kwargs)
        now[0] += 25  # seconds

    monkeypatch.setattr(TrainingModule, "optimizer_step", slow)
    monkeypatch.setattr(FIT, "Display", lambda tell, **_: Display(tell, clock=lambda: now[0]))
    told: list[tuple[float, str]] = []
    run = tiny_run("schedule.validate_every=8", "trainer.log_every=100")
    fit(
        run,
        items=patterns,
        output=tmp_path / "a",
        allow_untrained=True,
        tell=lambda line: told.append((now[0], line)),
    )
    steps = [(at, line) for at, line in told if line.startswith("step ")]
    assert [at for at, _ in steps] == [0, 75, 150, 200]
    between = steps[1][1]
    assert between.startswith("step 3/8  loss ")
    assert between.endswith("2:05 left")


def test_what_comes_before_the_first_step_is_told_too(
    patterns: Items, tiny_run: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [0.0]

    def clock() -> float:
        now[0] += 30
        return now[0]

    monkeypatch.setattr(FIT, "Display", lambda tell, **_: Display(tell, clock=clock))
    monkeypatch.setattr("ilk.training.frozen.embed_items", partial(embed_items, batch_size=8))
    told: list[str] = []
    for mode in ("whole", "head"):
        run = tiny_run(f"trainer.mode={mode}")
        output = tmp_path / mode
        fit(run, items=patterns, output=output, allow_untrained=True, tell=told.append)
    for what in ("training items read", "training items through the backbone"):
        assert any(line.endswith(f" of 40 {what}") for line in told), what


def test_figures_are_on_disk_while_training_goes_on(
    patterns: Items, tiny_run: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[int] = []
    plain = TrainingModule.on_train_batch_start

    def look(self: TrainingModule, *args: Any) -> None:
        plain(self, *args)
        with next((tmp_path / "a.run" / "logs").rglob("metrics.csv")).open() as file:
            seen.append(max(int(row["step"]) for row in csv.DictReader(file)))

    monkeypatch.setattr(TrainingModule, "on_train_batch_start", look)
    run = tiny_run("schedule.validate_every=8")
    fit(run, items=patterns, output=tmp_path / "a", allow_untrained=True)
    assert seen == [0, 0, 2, 2, 4, 4, 6, 6]
