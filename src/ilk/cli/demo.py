"""`ilk demo`: the main job end to end, on characters drawn here."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import click

__all__ = ["demo"]


@click.command()
@click.option(
    "--output",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("demo"),
    show_default=True,
    help="The folder to write to.",
)
@click.option("--seed", default=0, show_default=True, help="Decides every draw.")
@click.option("--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Change a setting.")
def demo(output: Path, seed: int, overrides: tuple[str, ...]) -> None:
    """Train, enroll, identify and meet strangers, on characters drawn here.

    Learns a distance on Latin, Greek, Canadian syllabics and symbols. Then it enrolls characters of
    ten other scripts with five examples each, and identifies pictures of those and of characters
    that were never enrolled.
    """
    from ilk.demo import TARGET_FPIR
    from ilk.demo import demo as run_demo

    started = time.perf_counter()
    outcome = run_demo(
        output, seed=seed, overrides=overrides, tell=click.echo, show_bar=sys.stderr.isatty()
    )
    click.echo("")
    for name in ("recall_at_1", "map_at_r", "rank_1", "auroc"):
        figure = outcome.evaluation.figure(name)
        click.echo(f"{name:12} {figure.value:.3f}  ({figure.low:.3f} to {figure.high:.3f})")
    found = outcome.evaluation
    missed = found.figure(f"fnir_at_fpir_{TARGET_FPIR:g}")
    named = found.figure(f"fpir_at_target_{TARGET_FPIR:g}")
    click.echo(
        f"\n{found.counts['enrolled_classes']} of these characters are enrolled with 5 examples "
        f"each; at most {TARGET_FPIR:.0%} of strangers may get a name:"
    )
    if missed.value is None or named.value is None:
        click.echo(f"  {missed.note}")
    else:
        click.echo(
            f"  {1 - missed.value:6.1%} of pictures of enrolled characters are named rightly\n"
            f"  {named.value:6.1%} of pictures of strangers are named, by thresholds chosen on "
            "other strangers"
        )
    click.echo(f"\nlook at {outcome.page}\n        {output / 'decisions.png'}")
    click.echo(f"next:   ilk evaluate {output / 'encoder.ilk'} FOLDER-OF-YOUR-OWN-CLASSES")
    click.echo(f"took {time.perf_counter() - started:.0f} s")
