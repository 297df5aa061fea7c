"""`ilk check SOURCE`: look over a data set before training on it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import click

from ilk.cli.output import bar_mark, echo_bold
from ilk.cli.progress import progress_bar
from ilk.cli.sources import source_argument

if TYPE_CHECKING:
    from ilk.check import Check, Duplicates

__all__ = ["check"]

_BAR_WIDTH = 40
_TITLES = {"bytes": "equal files", "pixels": "equal pixels", "near": "nearly equal"}


@click.command()
@source_argument
@click.option("--json", "as_json", is_flag=True, help="Print JSON, described in docs/check.md.")
@click.option(
    "--show",
    type=click.IntRange(min=-1),
    default=10,
    show_default=True,
    help="How many lines of each list to print; -1 for all.",
)
@click.option(
    "--strict", is_flag=True, help="Exit with 1 if the same picture is there under two labels."
)
def check(source: str, as_json: bool, show: int, strict: bool) -> None:
    """Look over a data set before training on it.

    SOURCE is a folder with a folder per class, a .csv, .tsv or .parquet table with the columns path
    and label, or a data set by name, such as glyphs:train. Every picture is read once: class sizes,
    unreadable files, the same picture twice (equal bytes, equal pixels, nearly equal) inside and
    across classes and splits, and how to draw batches. Findings are reported and do not count as
    errors: the exit status is 0, unless --strict is given.
    """
    from ilk.check import check_items
    from ilk.datasets import open_source
    from ilk.errors import DataError
    from ilk.words import counted

    items = open_source(source, on_unreadable="skip")
    with progress_bar() as progress:
        found = check_items(items, progress=progress)
    if as_json:
        click.echo(json.dumps(found.to_json(), indent=2))
    else:
        _print(found, None if show < 0 else show)
    if strict and found.num_conflicts:
        raise DataError(
            f"{found.origin}: the same picture is there under two labels, "
            f"{counted(found.num_conflicts, 'time')}; decide which label is right"
        )


def _print(found: Check, limit: int | None) -> None:
    from ilk.cli.words import print_facts

    print_facts(_summary(found))
    _print_histogram(found)
    _print_duplicates(found, limit)
    _print_list("Unreadable", [f"{p.name}: {p.reason}" for p in found.problems], limit)
    _print_list("Classes of one item", found.singletons, limit)
    _print_list("Labels that look alike", list(map(_alike, found.look_alikes)), limit)
    invisible = [ascii(label) for label in found.invisible]
    _print_list("Labels with invisible characters", invisible, limit)
    _print_shared(found)
    _print_batch(found)


def _summary(found: Check) -> list[tuple[str, str]]:
    from ilk.words import counted

    size = found.to_json()["class_size"]
    rows = [
        ("source", found.origin),
        ("items", f"{found.num_items:,}"),
        ("classes", f"{len(found.class_sizes):,}"),
        ("items per class", f"{size['min']} to {size['max']}, median {size['median']:g}"),
    ]
    if found.split_sizes:
        splits = (f"{name} {count:,}" for name, count in sorted(found.split_sizes.items()))
        rows.append(("splits", ", ".join(splits)))
    rows.append(("classes of one item", f"{len(found.singletons):,}"))
    if found.look_alikes:
        rows.append(("labels that look alike", counted(len(found.look_alikes), "group")))
    rows.append(("unreadable", f"{len(found.problems):,}"))
    rows.append(("the same under two labels", f"{found.num_conflicts:,}"))
    by_kind = {kind: [d for d in found.duplicates if d.kind == kind] for kind in _TITLES}
    return rows + [(_TITLES[kind], _counted(group)) for kind, group in by_kind.items()]


def _counted(duplicates: list[Duplicates]) -> str:
    classes = sum(found.crosses_classes for found in duplicates)
    splits = sum(found.crosses_splits for found in duplicates)
    across = f", {classes:,} across classes, {splits:,} across splits" if duplicates else ""
    return f"{len(duplicates):,}{across}"


def _print_histogram(found: Check) -> None:
    edges, counts = found.histogram.edges, found.histogram.counts
    if not found.class_sizes:
        return
    echo_bold("\nClasses by number of items")
    ends = [*(edge - 1 for edge in edges[1:]), max(found.class_sizes.values())]
    for low, high, count in zip(edges, ends, counts, strict=True):
        if count:
            name = f"{low}" if high <= low else f"{low}-{high}"
            bar = bar_mark() * max(1, round(_BAR_WIDTH * count / max(counts)))
            click.echo(f"{name:>11} {bar} {count:,}")


def _print_duplicates(found: Check, limit: int | None) -> None:
    """List what crosses splits first, then classes: these do the most harm."""
    for kind, title in _TITLES.items():
        group = [d for d in found.duplicates if d.kind == kind]
        group.sort(key=lambda d: (not d.crosses_splits, not d.crosses_classes))
        lines = []
        for duplicates in group:
            marks = [
                *(["across splits"] if duplicates.crosses_splits else []),
                *(["across classes"] if duplicates.crosses_classes else []),
                *([f"correlation {duplicates.correlation:.3f}"] if kind == "near" else []),
            ]
            lines.append(" = ".join(duplicates.names) + (f" ({', '.join(marks)})" if marks else ""))
        _print_list(title.capitalize(), lines, limit)
    if not found.is_complete:
        click.echo("  there are more pairs; the search stopped at the limit")


def _print_list(title: str, lines: list[str] | tuple[str, ...], limit: int | None) -> None:
    if not lines:
        return
    echo_bold(f"\n{title}")
    for line in lines[:limit]:
        click.echo(f"  {line}")
    if limit is not None and len(lines) > limit:
        click.echo(f"  and {len(lines) - limit:,} more (--show -1 lists all)")


def _alike(group: tuple[tuple[str, ...], str]) -> str:
    """Return labels that look alike in words, with what cannot be seen written out."""
    labels, by = group
    shown = ascii if "letters" in by else repr
    return f"{' and '.join(map(shown, labels))} differ by {by} only"


def _print_shared(found: Check) -> None:
    """Say what to do where classes are in several splits."""
    if not found.shared_classes:
        return
    from ilk.split import MERGE

    named = ", ".join(sorted(found.split_sizes))
    shared, every = len(found.shared_classes), len(found.class_sizes)
    echo_bold("\nClasses in several splits")
    verb = "is" if shared == 1 else "are"
    click.echo(f"  {shared:,} of {every:,} classes {verb} in more than one split ({named})")
    click.echo(
        "  that is usual where classes are known beforehand; ilk learns from some of them and"
    )
    click.echo(f"  and holds out others: `ilk train SOURCE {MERGE}` takes each class whole")


def _print_batch(found: Check) -> None:
    """Print what `ilk train` would take of these items."""
    echo_bold("\nTraining")
    batch = found.batch
    if batch is None:
        click.echo(f"  nothing can be learnt: {found.no_batch_reason}")
        return
    click.echo(f"  {batch.classes} classes x {batch.items_per_class} items per batch")
    for reason in (batch.reason, batch.validation_reason, batch.mode_reason):
        click.echo(f"  {reason}")
