"""Figures, groups and failures as tables for people."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import click

from ilk.cli.output import echo_bold
from ilk.cli.words import print_table

if TYPE_CHECKING:
    from ilk.evaluation import Figure
    from ilk.evaluation.groups import GroupRate, GroupTable

__all__ = ["print_figures", "print_groups"]

_TOO_FEW = "too few to tell"


def print_figures(figures: Iterable[Figure]) -> None:
    """Print figures with their intervals, and each note once below."""
    rows = []
    notes: dict[str, str] = {}
    for figure in figures:
        number = notes.setdefault(figure.note, str(len(notes) + 1)) if figure.note else ""
        rows.append((*_row(figure), number))
    titles = ("figure", "value", "95 % interval", "trials", "classes", "note")
    print_table(titles, rows, right="value interval trials classes note")
    click.echo()
    for note, number in notes.items():
        click.echo(f"{number}: {note}")


def print_groups(tables: Iterable[GroupTable]) -> None:
    """Print the rates of the groups of each column, and what differs."""
    for table in tables:
        click.echo(f"\nby {table.column}")
        titles = ("rate", "group", "value", "95 % interval", "trials", "classes")
        more = ("less the others", "p", "verdict")
        rows = (_group_row(rate) for rate in table.rates)
        print_table((*titles, *more), rows, right="value trials classes p")
        for warning in table.warnings:
            echo_bold(f"WARNING: {warning}")
        if not table.warnings:
            click.echo("no warning; a group of which it says so is too small to tell")
    click.echo(
        "\nIntervals are clustered by class; p is of no difference to all other groups, corrected "
        "for all rates and groups of the column (Holm)."
    )


def _row(figure: Figure) -> tuple[str, ...]:
    value = "-" if figure.value is None else f"{figure.value:.4f}"
    interval = "" if figure.low is None else f"{figure.low:.4f} to {figure.high:.4f}"
    return figure.name, value, interval, f"{figure.num_trials:,}", f"{figure.num_classes:,}"


def _group_row(rate: GroupRate) -> tuple[str, ...]:
    difference = ""
    if rate.difference is not None:
        difference = (
            f"{rate.difference:+.4f} ({rate.difference_low:+.4f} to {rate.difference_high:+.4f})"
        )
    return (
        rate.rate,
        rate.group,
        f"{rate.value:.4f}",
        f"{rate.low:.4f} to {rate.high:.4f}",
        f"{rate.num_trials:,}",
        f"{rate.num_classes:,}",
        difference,
        "" if rate.p_value is None else f"{rate.p_value:.2g}",
        _TOO_FEW if rate.verdict == "too few" else rate.verdict,
    )
