"""`ilk compare A B [SOURCE]`: is artifact B better than A, and is that more than chance?"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click

from ilk.cli.artifacts import load_artifact
from ilk.cli.evaluate import evaluate_embedded, protocol_options
from ilk.cli.unseen import embed_unseen

if TYPE_CHECKING:
    from ilk.detecting import Choice
    from ilk.evaluation import Comparison, Difference, Evaluation

__all__ = ["compare"]

_SHOWN = "map_at_r"
"""The figure whose changes per class are listed."""


@click.command()
@click.argument("a", type=click.Path(path_type=Path))
@click.argument("b", type=click.Path(path_type=Path))
@click.argument("source", required=False)
@protocol_options
@click.option("--json", "as_json", is_flag=True, help="Print JSON, differences per class included.")
@click.option("--show", default=5, show_default=True, help="Classes to list that changed most.")
def compare(
    a: Path,
    b: Path,
    source: str | None,
    exemplars: int,
    other_groups: bool,
    rates: tuple[float, ...],
    draws: int,
    seed: int,
    memory_mib: int,
    batch_size: int,
    on_unreadable: Literal["stop", "skip"],
    allow_overlap: bool,
    detector: str | None,
    choice: Choice,
    as_json: bool,
    show: int,
) -> None:
    """Tell whether artifact B is better than A, with an interval.

    A and B are artifacts, evaluated on SOURCE; or files that `ilk evaluate --save` wrote about the
    same items, and no SOURCE. Both get the same queries, galleries and probes, and what is judged
    is the difference per query, B minus A.
    """
    from ilk.evaluation import EvaluationSettings, compare_evaluations

    settings = EvaluationSettings(
        num_exemplars=exemplars,
        fpir_targets=tuple(sorted(set(rates))),
        exclude_same_group=other_groups,
        num_draws=draws,
        seed=seed,
        memory_mib=memory_mib,
    )

    def measured(path: Path) -> Evaluation:
        if path.is_file():
            return _read(path)
        if source is None:
            raise click.UsageError(f"{path} is an artifact: give the SOURCE to evaluate it on.")
        artifact = load_artifact(path)
        acquired = embed_unseen(
            artifact,
            source,
            detector=detector,
            choice=choice,
            batch_size=batch_size,
            on_unreadable=on_unreadable,
            allow=allow_overlap,
        )
        return evaluate_embedded(artifact, acquired.embedded, settings)

    if source is not None and a.is_file() and b.is_file():
        raise click.UsageError("SOURCE goes with artifacts; two saved evaluations need none.")
    found = compare_evaluations(measured(a), measured(b), seed=seed)
    if as_json:
        click.echo(json.dumps(found.to_json(), indent=2, allow_nan=False))
    else:
        _print(found, show)


def _read(path: Path) -> Evaluation:
    from ilk.errors import DataError
    from ilk.evaluation import Evaluation

    try:
        content: Any = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise DataError(
            f"{path}: expected an artifact folder or a file of `ilk evaluate --save`, got "
            f"something that is not JSON ({error})"
        ) from None
    return Evaluation.from_json(content if isinstance(content, dict) else {})


def _print(found: Comparison, show: int) -> None:
    from rich.console import Console
    from rich.table import Table

    console = Console(highlight=False, soft_wrap=True)
    table = Table(box=None, pad_edge=False, collapse_padding=True)
    table.add_column("figure", no_wrap=True)
    for title in ("A", "B", "B - A", "95 % interval", "P(B>A)", "p", "better"):
        table.add_column(title, justify="right", no_wrap=True)
    for difference in found.differences:
        table.add_row(*_row(difference))
    console.print(table, markup=False)
    sizes = {
        f"{row.num_queries:,} queries of {row.num_classes:,} classes" for row in found.differences
    }
    console.print(f"\nover {' or '.join(sorted(sizes))}; lower is better for fnir", markup=False)
    for note in sorted({row.note for row in found.differences if row.note}):
        console.print(note, markup=False)
    for title, changes in _changed_most(found.per_class.get(_SHOWN, {}), show):
        told = ", ".join(f"{label} {value:+.3f}" for label, value in changes)
        console.print(f"classes that {title} most ({_SHOWN}): {told}", markup=False)


def _changed_most(
    changes: dict[str, float], show: int
) -> list[tuple[str, list[tuple[str, float]]]]:
    """Return the classes that lost most and those that gained most, if any did."""
    rising = sorted(changes.items(), key=lambda pair: pair[1])
    lost = [pair for pair in rising[:show] if pair[1] < 0]
    gained = [pair for pair in rising[::-1][:show] if pair[1] > 0]
    return [(title, rows) for title, rows in (("lost", lost), ("gained", gained)) if rows]


def _row(row: Difference) -> tuple[str, ...]:
    interval = "" if row.low is None else f"{row.low:+.3f} to {row.high:+.3f}"
    return (
        row.name,
        f"{row.a:.3f}",
        f"{row.b:.3f}",
        f"{row.difference:+.3f}",
        interval,
        f"{row.chance_b_higher:.3f}",
        f"{row.p_value:.4f}",
        _better(row),
    )


def _better(row: Difference) -> str:
    """Return which one is better, or "-" where the interval holds 0 or cannot be relied on."""
    if row.note or row.low is None or row.high is None or row.low <= 0 <= row.high:
        return "-"
    return "B" if (row.difference > 0) != row.is_lower_better else "A"
