"""`ilk demo`: the main job end to end, on characters drawn here."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ilk.cli.lazy import LazyGroup
from ilk.cli.sources import seed_option

if TYPE_CHECKING:
    from ilk.meeting import Meeting

__all__ = ["demo"]


@click.group(
    cls=LazyGroup,
    lazy={
        "faces": (
            "ilk.cli.demo_faces:faces",
            "Enroll people from photographs, then ask who is in a picture or before the camera.",
        )
    },
    invoke_without_command=True,
)
@click.option(
    "--output",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("demo"),
    show_default=True,
    help="The folder to write to.",
)
@seed_option("The seed of every random draw.")
@click.option(
    "--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Change one setting. Repeatable."
)
@click.pass_context
def demo(context: click.Context, output: Path, seed: int, overrides: tuple[str, ...]) -> None:
    """Train, enroll, identify and meet strangers, on drawn characters.

    Learns a distance on Latin, Greek, Canadian syllabics and symbols. Then it enrolls characters of
    ten other scripts with five examples each in a gallery, calibrates that on characters that are
    never enrolled, and identifies pictures of the enrolled ones and of further strangers.

    `ilk demo faces` is another demo, with options of its own.
    """
    if context.invoked_subcommand is not None:
        _refuse_options(context)
        return
    from ilk.demo import demo as run_demo

    started = time.perf_counter()
    _leave_room()
    done = run_demo(
        output, seed=seed, overrides=overrides, tell=click.echo, show_bar=sys.stderr.isatty()
    )
    click.echo("")
    for name in ("recall_at_1", "map_at_r", "rank_1", "auroc"):
        figure = done.outcome.evaluation.figure(name)
        click.echo(f"{name:12} {figure.value:.3f}  ({figure.low:.3f} to {figure.high:.3f})")
    _tell(done.meeting)
    click.echo(f"\nlook at {done.outcome.page}\n        {done.sheet}")
    click.echo(f"ask     ilk gallery info {done.gallery}")
    click.echo(f"next    ilk gallery create MY.gallery {output / 'encoder.ilk'}")
    click.echo(f"took {time.perf_counter() - started:.0f} s")


def _refuse_options(context: click.Context) -> None:
    """Say that options before the name of another demo would be lost."""
    given = [
        name
        for name in context.params
        if context.get_parameter_source(name) is not click.core.ParameterSource.DEFAULT
    ]
    if given:
        raise click.UsageError(
            f"Give options after the name of the demo: ilk demo {context.invoked_subcommand} ..."
        )


def _leave_room() -> None:
    """Let torch, which is not loaded yet, use the cores that other programs leave free.

    Its threads wait for each other at every step. One that has to share its core holds all of them
    up: two trainings of two threads each on two cores take four times as long as one alone.
    """
    if "OMP_NUM_THREADS" in os.environ or not hasattr(os, "getloadavg"):
        return
    num_cores = os.cpu_count() or 1
    num_free = max(1, num_cores - round(os.getloadavg()[0]))
    if num_free < num_cores:
        os.environ["OMP_NUM_THREADS"] = str(num_free)
        click.echo(f"other programs are busy here: training on {num_free} of {num_cores} cores")


def _tell(meeting: Meeting) -> None:
    """Say what became of the probes of enrolled characters and of strangers."""
    shares, (named, (low, high)) = meeting.shares(), meeting.named_strangers()
    target = meeting.threshold.target_fpir
    click.echo(
        f"\n{meeting.num_enrolled} of these characters are enrolled; at most {target:.0%} of "
        "strangers may get a name:\n"
        f"  {shares['right']:6.1%} of pictures of enrolled characters are named rightly, "
        f"{shares['wrong']:.1%} wrongly; {shares['ambiguous']:.1%} are ambiguous, "
        f"{shares['unknown']:.1%} unknown\n"
        f"  {named:6.1%} of pictures of strangers get a name (95 %: {low:.1%} to {high:.1%})"
    )
