"""A progress bar on stderr for work that takes a while; nothing where nobody watches."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

__all__ = ["progress_bar"]

_FEW = 8
"""Steps that need no bar."""


@contextmanager
def progress_bar(num_steps: int | None = None) -> Iterator[Callable[[str, int, int], None]]:
    """Yield a function (stage, steps done, all steps) that moves the bar of that stage.

    What is done in few steps needs no bar, nor the time to make one.
    """
    if (num_steps is not None and num_steps < _FEW) or not sys.stderr.isatty():
        yield lambda stage, done, of: None
        return
    from rich.console import Console
    from rich.progress import MofNCompleteColumn, Progress, TaskID, TimeRemainingColumn

    console = Console(file=getattr(sys.stderr, "rich_proxied_file", sys.stderr))
    columns = (*Progress.get_default_columns()[:2], MofNCompleteColumn(), TimeRemainingColumn())
    tasks: dict[str, TaskID] = {}
    with Progress(
        *columns, console=console, transient=True, disable=not console.is_terminal
    ) as progress:

        def advance(stage: str, done: int, of: int) -> None:
            if stage not in tasks:
                tasks[stage] = progress.add_task(stage, total=of)
            progress.update(tasks[stage], completed=done, total=of)

        yield advance
