"""`ilk artifact ready NAME`: an encoder that others trained and published, as an artifact."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from ilk.cli.artifacts import tell_aside
from ilk.cli.galleries import json_option
from ilk.cli.progress import progress_bar
from ilk.cli.sources import choice_option, on_unreadable_option

if TYPE_CHECKING:
    from ilk.detecting import Choice
    from ilk.unreadable import OnUnreadable

__all__ = ["ready"]


@click.command()
@click.argument("name", metavar="NAME")
@click.option(
    "--weights",
    type=click.Path(path_type=Path),
    help="The model file, or a folder that holds it. Default: it is looked for in the cache, in "
    "installed packages and on the internet, in this order.",
)
@click.option(
    "--cohort",
    metavar="SOURCE",
    help="Labelled pictures whose embeddings become part of the artifact, for calibration.",
)
@choice_option("only")
@click.option(
    "--output",
    type=click.Path(path_type=Path),
    help="The folder to write. Default: one in the cache.",
)
@click.option("--offline", is_flag=True, help="Download nothing.")
@on_unreadable_option
@click.option("--overwrite", is_flag=True, help="Replace an existing artifact.")
@json_option
def ready(
    name: str,
    weights: Path | None,
    cohort: str | None,
    choice: Choice,
    output: Path | None,
    offline: bool,
    on_unreadable: OnUnreadable,
    overwrite: bool,
    as_json: bool,
) -> None:
    """Make the ready artifact of a name, such as faces.

    The only NAME is faces: SFace (Apache-2.0) behind the detector of that name. Every command that
    takes ARTIFACT also takes NAME, and makes it on first use; this one does so ahead of time, from
    a model file of your own, or with a cohort. What is in the cache already is shown.
    """
    from ilk.artifact import Artifact
    from ilk.cli.artifact.show import tell_artifact
    from ilk.datasets import open_source
    from ilk.ready import ready_artifact

    items = open_source(cohort, on_unreadable=on_unreadable) if cohort is not None else None
    with progress_bar() as progress:
        folder = ready_artifact(
            name,
            weights=weights,
            cohort=items,
            choice=choice,
            output=output,
            on_unreadable=on_unreadable,
            may_download=not offline,
            overwrite=overwrite,
            tell=tell_aside,
            progress=progress,
        )
    tell_artifact(Artifact.load(folder), as_json=as_json)
