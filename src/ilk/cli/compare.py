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
    from ilk.evaluation import Comparison, Difference, Evaluation, EvaluationSettings

__all__ = ["compare"]

_SHOWN = "map_at_r"
"""The figure whose changes per class are listed."""
_AGAINST = "--against"


class _Command(click.Command):
    """Takes all that follows --against, up to the next option, as its values."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Give each of them an --against of its own."""
        spread, is_against = list[str](), False
        for word in args:
            if word.startswith("-"):
                is_against = word == _AGAINST
            if is_against:
                spread += [] if word == _AGAINST else [_AGAINST, word]
            else:
                spread.append(word)
        if _AGAINST in args and _AGAINST not in spread:
            raise click.UsageError("--against needs the runs of B: --against B1 B2 B3.", ctx)
        return super().parse_args(ctx, spread)


@click.command(cls=_Command)
@click.argument("runs", metavar="A... [B [SOURCE]]", nargs=-1, required=True)
@click.option(
    _AGAINST,
    metavar="B...",
    multiple=True,
    help="The runs of B; all other artifacts are runs of A.",
)
@click.option("--on", "source", metavar="SOURCE", help="What artifacts are evaluated on.")
@protocol_options
@click.option("--json", "as_json", is_flag=True, help="Print JSON, differences per class included.")
@click.option(
    "--show",
    default=5,
    show_default=True,
    type=click.IntRange(min=0),
    help="How many of the classes that changed most to list.",
)
def compare(
    runs: tuple[str, ...],
    against: tuple[str, ...],
    source: str | None,
    exemplars: int,
    other_groups: bool,
    rates: tuple[float, ...],
    draws: int,
    seed: int,
    memory_mib: int,
    as_json: bool,
    show: int,
    **options: Any,
) -> None:
    """Tell whether artifact B is better than A, with an interval.

    A and B are artifacts, evaluated on SOURCE; or files that `ilk evaluate --save` wrote about the
    same items, and no SOURCE. Both get the same queries, galleries and probes, and what is judged
    is the difference per query, B minus A.

    One training run per side says nothing of what another seed would change. Of several runs with
    different seeds on each side, the interval covers the seeds, too:

    \b
        ilk compare old.ilk new.ilk unseen/
        ilk compare old1.ilk old2.ilk old3.ilk --against new1.ilk new2.ilk new3.ilk --on unseen/
    """  # noqa: D301
    from ilk.evaluation import EvaluationSettings, compare_evaluations

    sides, source = _sides(runs, against, source)
    settings = EvaluationSettings(
        num_exemplars=exemplars,
        fpir_targets=tuple(sorted(set(rates))),
        exclude_same_group=other_groups,
        num_draws=draws,
        seed=seed,
        memory_mib=memory_mib,
    )
    a, b = ([_measured(path, source, settings, **options) for path in side] for side in sides)
    found = compare_evaluations(a, b, seed=seed)
    if as_json:
        click.echo(json.dumps(found.to_json(), indent=2, allow_nan=False))
    else:
        _print(found, show)


def _sides(
    runs: tuple[str, ...], against: tuple[str, ...], source: str | None
) -> tuple[tuple[list[Path], list[Path]], str | None]:
    """Return the runs of A and of B, and what to evaluate them on.

    Raises:
        UsageError: There are too few or too many, or a SOURCE too few or too many.
    """
    if not against:
        if len(runs) == 3 and source is None:
            *runs_of, source = runs
            runs = tuple(runs_of)
        if len(runs) != 2:
            raise click.UsageError(
                "Give A and B, and SOURCE if they are artifacts; of several runs A1 A2 --against "
                "B1 B2 --on SOURCE."
            )
        runs, against = runs[:1], runs[1:]
    sides = list(map(Path, runs)), list(map(Path, against))
    if (len(runs) == 1) != (len(against) == 1):
        raise click.UsageError(
            f"Give one run on either side or at least two on both, got {len(runs)} and "
            f"{len(against)}: what seeds change must be seen on both."
        )
    folders = [path for side in sides for path in side if not path.is_file()]
    if source is None and folders:
        raise click.UsageError(f"{folders[0]} is an artifact: give the SOURCE to evaluate it on.")
    if source is not None and not folders:
        raise click.UsageError("SOURCE goes with artifacts; saved evaluations need none.")
    return sides, source


def _measured(
    path: Path,
    source: str | None,
    settings: EvaluationSettings,
    *,
    detector: str | None,
    choice: Choice,
    batch_size: int,
    on_unreadable: Literal["stop", "skip"],
    allow_overlap: bool,
) -> Evaluation:
    """Return the evaluation of a file, or that of an artifact on the source."""
    if path.is_file() or source is None:
        return _read(path)
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
    from ilk.cli.words import print_table
    from ilk.words import counted

    titles = ("figure", "A", "B", "B - A", "95 % interval", "P(B better)", "p", "better")
    right = ("A", "B", "-", "interval", "P(B", "p")
    print_table(titles, map(_row, found.differences), right=" ".join((*titles[1:], *right)))
    sizes = {
        f"{counted(row.num_queries, 'query', 'queries')} of "
        f"{counted(row.num_classes, 'class', 'classes')}"
        for row in found.differences
    }
    click.echo(f"\nover {' or '.join(sorted(sizes))}; lower is better for fnir")
    for note in sorted({row.note for row in found.differences if row.note}):
        click.echo(note)
    if found.num_runs == (1, 1):
        click.echo(
            "one training run per side: the interval is about other classes, and does not cover "
            "what another seed would change; give runs of several seeds with --against"
        )
    else:
        of = counted(found.num_runs[0], "run"), counted(found.num_runs[1], "run")
        click.echo(f"{of[0]} of A, {of[1]} of B: the interval covers other classes and other seeds")
    for title, changes in _changed_most(found.per_class.get(_SHOWN, {}), show):
        told = ", ".join(f"{label} {value:+.3f}" for label, value in changes)
        click.echo(f"classes that {title} most ({_SHOWN}): {told}")


def _changed_most(
    changes: dict[str, float], show: int
) -> list[tuple[str, list[tuple[str, float]]]]:
    """Return the classes that lost most and those that gained most, if any did."""
    rising = sorted(changes.items(), key=lambda pair: pair[1])
    lost = [pair for pair in rising[:show] if pair[1] < 0]
    gained = [pair for pair in rising[::-1][:show] if pair[1] > 0]
    return [(title, rows) for title, rows in (("lost", lost), ("gained", gained)) if rows]


def _row(row: Difference) -> tuple[str, ...]:
    return (
        row.name,
        f"{row.a:.3f}",
        f"{row.b:.3f}",
        f"{row.difference:+.3f}",
        "" if row.low is None else f"{row.low:+.3f} to {row.high:+.3f}",
        _chance(row.chance_b_better),
        f"{row.p_value:.4f}" if row.p_value >= 1e-4 else "< 0.0001",
        _better(row),
    )


def _chance(share: float) -> str:
    """Return a share of draws; none of 2,000 is not never.

    Example:
        >>> _chance(1.0), _chance(0.0), _chance(0.5)
        ('> 0.999', '< 0.001', '0.500')
    """
    if 0.001 <= share <= 0.999:
        return f"{share:.3f}"
    return "> 0.999" if share > 0.5 else "< 0.001"


def _better(row: Difference) -> str:
    """Return which one is better, or "-" where the interval holds 0 or cannot be relied on."""
    if row.note or row.low is None or row.high is None or row.low <= 0 <= row.high:
        return "-"
    return "B" if (row.difference > 0) != row.is_lower_better else "A"
