"""What a person sees while training runs: a bar on a terminal, a line a minute elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, final

from lightning.pytorch import Callback, LightningModule, Trainer

from ilk.training.module import TrainingModule

__all__ = ["Display", "Progress"]

_SECONDS_BETWEEN_LINES = 60.0
"""Where there is no terminal, nobody waits longer than this for a sign of life, or one step."""


@final
class Display:
    """Where progress is shown: on a terminal, or line by line.

    Args:
        tell: Takes a line, where there is no terminal.
        is_terminal: Whether standard error is one; then bars are drawn on it.
        clock: Tells seconds.
    """

    def __init__(
        self,
        tell: Callable[[str], None],
        *,
        is_terminal: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.is_terminal = is_terminal
        self.clock = clock
        self._tell = tell
        self._told_at = clock()

    def tell(self, line: str) -> None:
        """Say something now."""
        self._told_at = self.clock()
        self._tell(line)

    @property
    def is_due(self) -> bool:
        """Whether a line should come, because the last one is a minute old."""
        return self.clock() - self._told_at >= _SECONDS_BETWEEN_LINES

    @contextmanager
    def count(self, what: str) -> Iterator[Callable[[int, int], None]]:
        """Yield a function (done, in all) that shows how far something is.

        Args:
            what: In words, such as "pictures looked at".

        Example:
            >>> seconds = iter([0, 50, 70, 70])
            >>> display = Display(print, clock=lambda: next(seconds))
            >>> with display.count("pictures looked at") as count:
            ...     count(10, 3000)
            ...     count(20, 3000)
            20 of 3,000 pictures looked at
        """
        if not self.is_terminal:
            yield (
                lambda done, of: (
                    self.tell(f"{done:,} of {of:,} {what}") if self.is_due and done < of else None
                )
            )
            return
        bar, tasks = _bar(), list[Any]()

        def advance(done: int, of: int) -> None:
            if not tasks:
                bar.start()
                tasks.append(bar.add_task(what, total=of, facts=what))
            bar.update(tasks[0], completed=done, total=of)

        try:
            yield advance
        finally:
            bar.stop()


@final
class Progress(Callback):
    """Shows the loss, the validation MAP@R and the time left.

    Without a terminal there is a line after each validation, and one a minute between them.

    Args:
        display: Where.
        num_steps: Of the whole run.
    """

    def __init__(self, display: Display, *, num_steps: int) -> None:
        self._display = display
        self._num_steps = num_steps
        self._bar: Any = None
        self._task: Any = None
        self._began = (0.0, 0)

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Draw the bar."""
        assert isinstance(pl_module, TrainingModule)
        self._began = (self._display.clock(), pl_module.step)
        if self._display.is_terminal and trainer.is_global_zero:
            self._bar = _bar()
            self._bar.start()
            self._task = self._bar.add_task(
                "training", total=self._num_steps, completed=pl_module.step, facts=""
            )

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, *_: Any) -> None:
        """Move the bar, or tell where it is if nothing was told for a minute."""
        assert isinstance(pl_module, TrainingModule)
        if self._bar is not None:
            self._bar.update(self._task, completed=pl_module.step, facts=_facts(pl_module))
        elif trainer.is_global_zero and self._display.is_due:
            self._tell(pl_module)

    def on_validation_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, *_: Any
    ) -> None:
        """Tell that it goes on if nothing was told for a minute."""
        assert isinstance(pl_module, TrainingModule)
        if self._bar is None and trainer.is_global_zero and self._display.is_due:
            self._display.tell(f"step {pl_module.step}/{self._num_steps}  validating")

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Tell how it went."""
        assert isinstance(pl_module, TrainingModule)
        if self._bar is None and trainer.is_global_zero:
            self._tell(pl_module)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Take the bar down."""
        self._close()

    def on_exception(
        self, trainer: Trainer, pl_module: LightningModule, exception: BaseException
    ) -> None:
        """Take the bar down."""
        self._close()

    def _tell(self, module: TrainingModule) -> None:
        line = f"step {module.step}/{self._num_steps}  {_facts(module)}"
        began, first = self._began
        if module.step > first:
            pace = (self._display.clock() - began) / (module.step - first)
            line += f"  {_duration(pace * (self._num_steps - module.step))} left"
        self._display.tell(line.rstrip())

    def _close(self) -> None:
        if self._bar is not None:
            self._bar.stop()
            self._bar = None


def _facts(module: TrainingModule) -> str:
    parts = [f"loss {module.latest_loss:.4f}"] if module.latest_loss is not None else []
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
        console=Console(file=getattr(sys.stderr, "rich_proxied_file", sys.stderr)),
    )
