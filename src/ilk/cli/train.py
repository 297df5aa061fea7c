"""`ilk train SOURCE`: from labelled items to an encoder artifact."""

from __future__ import annotations

import os
import re
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ilk.cli.sources import source_argument

if TYPE_CHECKING:
    from ilk.config import Run

__all__ = ["train"]

_NAMES = {
    "validation_map_at_r": "validation MAP@R",
    "validation_recall_at_1": "validation Recall@1",
}


@click.command()
@source_argument
@click.option(
    "--config",
    type=click.Path(path_type=Path),
    help="A TOML file of settings; whatever it leaves out keeps its default.",
)
@click.option(
    "--set",
    "overrides",
    multiple=True,
    metavar="KEY=VALUE",
    help="Change one setting, such as schedule.steps=500. Repeatable; wins over --config.",
)
@click.option(
    "--output",
    type=click.Path(path_type=Path),
    help="The artifact to write. Default: the name of the source with `.ilk`.",
)
@click.option("--resume", is_flag=True, help="Continue a run that was stopped.")
@click.option(
    "--overwrite",
    is_flag=True,
    help="Replace an existing artifact, or discard a run that was stopped.",
)
@click.option(
    "--allow-untrained",
    is_flag=True,
    help="Write the weights that it started from if no step was better; else that is an error.",
)
def train(
    source: str,
    config: Path | None,
    overrides: tuple[str, ...],
    output: Path | None,
    resume: bool,
    overwrite: bool,
    allow_untrained: bool,
) -> None:
    """Train an encoder artifact from labelled items.

    SOURCE is a folder with a folder per class, a .csv, .tsv or .parquet table, or a data set by
    name such as glyphs:train. Some of its classes are held back, to choose the best weights with;
    items of other splits, such as "test", are left alone.

    Ctrl-C stops after the current step, and --resume continues from there. Beside the artifact,
    OUTPUT.run holds the settings, the checkpoints and the logs.
    """
    output = output if output is not None else Path(f"{_plain(source)}.ilk")
    run = _settings(source, config, overrides, output, resume=resume)
    from ilk.training import fit

    is_main = os.environ.get("LOCAL_RANK", "0") == "0"
    fit(
        run,
        output=output,
        resume=resume,
        overwrite=overwrite,
        allow_untrained=allow_untrained,
        tell=_tell if is_main else _keep_silent,
        show_bar=is_main and sys.stderr.isatty(),
    )
    if is_main:
        _report(output)


def _settings(
    source: str, config: Path | None, overrides: tuple[str, ...], output: Path, *, resume: bool
) -> Run:
    """Return the run: of the file named, or when resuming, of the run that was stopped."""
    from dataclasses import replace

    from ilk.config import load_run

    before = output.with_name(output.name + ".run") / "run.toml"
    if resume and config is None and before.is_file():
        config = before
    run = load_run(config, overrides)
    return replace(run, data=replace(run.data, source=source))


def _report(output: Path) -> None:
    """Print where the artifact is, how it validated, and what to do next."""
    from ilk.artifact import Artifact
    from ilk.data_rules import FEW_VALIDATION_CLASSES

    artifact = Artifact.load(output)
    click.echo(f"\nwrote {output}, fingerprint {artifact.encoder_fingerprint[:12]}")
    for figure in artifact.manifest.metrics:
        name = _NAMES.get(figure["name"], figure["name"])
        interval = ""
        if figure["low"] is not None:
            interval = f"  (95 % interval {figure['low']:.3f} to {figure['high']:.3f})"
        elif figure["num_classes"] < FEW_VALIDATION_CLASSES:
            interval = f"  (of {figure['num_classes']} classes: too few for an interval)"
        click.echo(f"  {name}: {figure['value']:.3f}{interval}")
    click.echo(f"next: ilk evaluate {shlex.quote(str(output))} SOURCE-OF-UNSEEN-CLASSES")


def _tell(line: str) -> None:
    click.echo(line)


def _keep_silent(line: str) -> None:
    """Other processes of the same run have nothing to say."""


def _plain(source: str) -> str:
    """Return a file name made of a source.

    Example:
        >>> _plain("photos/birds/"), _plain("glyphs:train"), _plain("list.csv")
        ('birds', 'glyphs-train', 'list')
    """
    path = Path(source)
    name = path.stem if path.is_file() or path.suffix in (".csv", ".tsv", ".parquet") else path.name
    return re.sub(r"[^\w.-]+", "-", name or path.resolve().name).strip("-.") or "encoder"
