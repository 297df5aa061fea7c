"""Tables and lists for people."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from io import StringIO
from typing import Any

import click

from ilk.cli.output import echo_bold

__all__ = ["print_facts", "print_table"]

_WIDEST = 100_000
"""More than any table is wide."""


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
        table.add_row(*(Text("" if cell is None else _in_a_line(str(cell))) for cell in row))
    drawn = StringIO()
    Console(file=drawn, color_system=None, soft_wrap=True, width=_WIDEST).print(table)
    titles, *lines = drawn.getvalue().splitlines()
    echo_bold(titles.rstrip())
    for line in lines:
        click.echo(line.rstrip())


def print_facts(rows: Iterable[tuple[str, Any]]) -> None:
    """Print names and values below each other."""
    listed = [(name, str(value)) for name, value in rows]
    width = max((len(name) for name, _ in listed), default=0)
    for name, value in listed:
        first, *further = value.split("\n")
        echo_bold(name.ljust(width), nl=False)
        click.echo(f"  {first}")
        for line in further:
            click.echo(f"{' ' * width}  {line}")


def _in_a_line(text: str) -> str:
    r"""Return text in one line: names of files may hold line feeds.

    Example:
        >>> print(_in_a_line("two\nlines"))
        two\nlines
    """
    return text.replace("\n", "\\n").replace("\t", "\\t")
