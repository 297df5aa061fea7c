"""What a person sees while training runs: a bar on a terminal, a line per validation elsewhere."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, final

from lightning.pytorch import Callback, LightningModule, Trainer

from ilk.training.module import TrainingModule

__all__ = ["Progress", "looking_bar"]


@final
class Progress(Callback):
    """Shows the loss, the validation MAP@R and the time left.

    Args:
        num_steps: Of the whole run.
        tell: Takes a line after each validation, where there is no terminal.
        is_terminal: Whether standard error is one; then a bar is drawn on it.
    """

    def __init__(
        self, *, num_steps: int, tell: Callable[[str], None], is_terminal: bool = False
    ) -> None:
        self._num_steps = num_steps
        self._tell = tell
        self._is_terminal = is_terminal
        self._bar: Any = None
        self._task: Any = None
        self._began = (0.0, 0)

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Draw the bar."""
        assert isinstance(pl_module, TrainingModule)
        self._began = (time.monotonic(), pl_module.step)
        if self._is_terminal and trainer.is_global_zero:
            self._bar = _bar()
            self._bar.start()
            self._task = self._bar.add_task(
                "training", total=self._num_steps, completed=pl_module.step, facts=""
            )

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, *_: Any) -> None:
        """Move the bar."""
        assert isinstance(pl_module, TrainingModule)
        if self._bar is not None:
            self._bar.update(self._task, completed=pl_module.step, facts=_facts(pl_module))

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Tell how it went."""
        assert isinstance(pl_module, TrainingModule)
        if self._bar is None and trainer.is_global_zero:
            line = f"step {pl_module.step}/{self._num_steps}  {_facts(pl_module)}"
            if pl_module.step:
                line += f"  {_duration(self._seconds_left(pl_module.step))} left"
            self._tell(line)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Take the bar down."""
        self._close()

    def on_exception(
        self, trainer: Trainer, pl_module: LightningModule, exception: BaseException
    ) -> None:
        """Take the bar down."""
        self._close()

    def _seconds_left(self, step: int) -> float:
        began, first = self._began
        pace = (time.monotonic() - began) / max(1, step - first)
        return pace * (self._num_steps - step)

    def _close(self) -> None:
        if self._bar is not None:
            self._bar.stop()
            self._bar = None


@contextmanager
def looking_bar(*, is_terminal: bool) -> Iterator[Callable[[int, int], None]]:
    """Yield a function (pictures done, pictures in all) that moves a bar while it is called.

    Args:
        is_terminal: Whether standard error is one; else nothing is drawn.
    """
    if not is_terminal:
        yield lambda done, of: None
        return
    bar, tasks = _bar(), list[Any]()

    def advance(done: int, of: int) -> None:
        if not tasks:
            bar.start()
            tasks.append(bar.add_task("looking", total=of, facts="pictures"))
        bar.update(tasks[0], completed=done)

    try:
        yield advance
    finally:
        bar.stop()


def _facts(module: TrainingModule) -> str:
    parts = [f"loss {module.latest['loss']:.4f}"] if "loss" in module.latest else []
    if module.scores:
        last, best = module.scores[max(module.scores)], max(module.scores.values())
        parts.append(f"validation MAP@R {last:.3f} (best {best:.3f})")
    return "  ".join(parts)


def _duration(seconds: float) -> str:
    """Return hours, minutes and seconds.

    Example:
        >>> _duration(3725.2), _duration(59)
        ('1:02:05', '0:59')
    """
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def _bar() -> Any:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bar

    return Bar(
        BarColumn(bar_width=24),
        MofNCompleteColumn(),
        TextColumn("{task.fields[facts]}"),
        TimeRemainingColumn(),
        TextColumn("left"),
        console=Console(stderr=True),
    )
