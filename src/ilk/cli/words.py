"""Numbers and thresholds in words, and tables for people."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from ilk.thresholds import Threshold

__all__ = [
    "counted",
    "percent",
    "print_facts",
    "print_table",
    "told_threshold",
]


_WIDEST = 100_000
"""More than any table is wide."""


def counted(count: int, singular: str, plural: str = "") -> str:
    """Return a number with its noun.

    Example:
        >>> counted(1, "class", "classes"), counted(1200, "exemplar")
        ('1 class', '1,200 exemplars')
    """
    return f"{count:,} {singular if count == 1 else plural or singular + 's'}"


def percent(share: float) -> str:
    """Return a share as a percentage with two significant digits, or more where that is whole.

    Example:
        >>> percent(0.01), percent(0.0123), percent(0.34567), percent(1.0), percent(0.0)
        ('1 %', '1.2 %', '35 %', '100 %', '0 %')
    """
    value = 100 * share
    return f"{value:.0f} %" if value >= 10 else f"{value:.2g} %"


def told_threshold(threshold: Threshold) -> str:
    """Return a threshold in words: value, promise, and who stands behind it."""
    name = threshold.distance.get("name", "")
    words = (
        f"{threshold.value:.4g} ({name} distance), so that at most "
        f"{percent(threshold.target_fpir)} of strangers get a name; chosen on "
        f"{counted(threshold.num_trials, 'stranger')}"
    )
    if threshold.num_classes is not None:
        words += f" of {counted(threshold.num_classes, 'class', 'classes')}"
    words += f" ({threshold.basis})"
    if threshold.num_named is not None and threshold.interval is not None:
        low, high = threshold.interval
        words += (
            f", of whom it names {threshold.num_named:,} (95 %: {percent(low)} to {percent(high)})"
        )
    return words


def print_table(columns: Sequence[str], rows: Iterable[Sequence[Any]], *, right: str = "") -> None:
    """Print a table for people, as wide as what is in it: paths are there to be copied.

    Args:
        columns: Their titles.
        rows: What is in them.
        right: The titles, separated by spaces, of columns that are aligned to the right.
    """
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, collapse_padding=True)
    for title in columns:
        is_right = title in right.split()
        table.add_column(title, justify="right" if is_right else "left", no_wrap=True)
    for row in rows:
        table.add_row(*(Text("" if cell is None else str(cell)) for cell in row))
    console = Console(highlight=False, soft_wrap=True, width=_WIDEST)
    with console.capture() as drawn:
        console.print(table)
    for line in drawn.get().splitlines():
        click.echo(line.rstrip())


def print_facts(rows: Iterable[tuple[str, Any]]) -> None:
    """Print names and values below each other."""
    listed = [(name, str(value)) for name, value in rows]
    width = max((len(name) for name, _ in listed), default=0)
    for name, value in listed:
        first, *further = value.split("\n")
        click.echo(f"{click.style(name.ljust(width), bold=True)}  {first}")
        for line in further:
            click.echo(f"{' ' * width}  {line}")
