"""`ilk reproduce`: run a published protocol from data in a folder."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import click

from ilk.cli.sources import seed_option

__all__ = ["reproduce"]


@click.group()
def reproduce() -> None:
    """Run a published protocol on data in a folder."""


@reproduce.command()
@click.option(
    "--data",
    type=click.Path(path_type=Path),
    required=True,
    help="The folder that holds images_background or images_background.zip.",
)
@click.option(
    "--output",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("runs/omniglot"),
    show_default=True,
    help="The folder to write to.",
)
@seed_option("The seed of every random draw.")
@click.option(
    "--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Change one setting. Repeatable."
)
def omniglot(data: Path, output: Path, seed: int, overrides: tuple[str, ...]) -> None:
    """Train on twenty alphabets, and recognise characters of the ten that are held out."""
    from ilk.reproduce import reproduce_omniglot

    started = time.perf_counter()
    outcome, shots = reproduce_omniglot(
        data,
        output,
        seed=seed,
        overrides=overrides,
        tell=click.echo,
        show_bar=sys.stderr.isatty(),
    )
    click.echo("")
    shown = ("recall_at_1", "map_at_r", "rank_1", "auroc")
    for figure in outcome.evaluation.figures:
        name = figure.name
        if name not in shown and not name.startswith("fnir_at_fpir_"):
            continue
        if figure.value is None:
            click.echo(f"{name:20} -      {figure.note}")
        else:
            click.echo(f"{name:20} {figure.value:.4f}  ({figure.low:.4f} to {figure.high:.4f})")
    name = f"one-shot error, {shots.num_trials:,} trials"
    click.echo(f"{name} {shots.error:.2%}  ({shots.low:.2%} to {shots.high:.2%})")
    for alphabet, error in sorted(shots.per_alphabet.items()):
        click.echo(f"  {alphabet:45} {error:.2%}")
    click.echo(f"\nlook at {outcome.page}; took {time.perf_counter() - started:.0f} s")
