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
    "installed packages and on the net, in this order.",
)
@click.option(
    "--cohort",
    metavar="SOURCE",
    help="Labelled pictures whose embeddings travel along, to calibrate thresholds with.",
)
@choice_option("only")
@click.option(
    "--output", type=click.Path(path_type=Path), help="The folder to write. Default: in the cache."
)
@click.option("--offline", is_flag=True, help="Fetch nothing from the net.")
@on_unreadable_option
@click.option("--overwrite", is_flag=True, help="Replace an artifact at OUTPUT.")
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
    """Make the ready artifact NAME, if it is not in the cache yet, and tell what it is.

    NAME is faces: SFace (Apache-2.0) behind the detector of that name. Every command that takes
    ARTIFACT takes NAME too, and makes it on first use; this one does so ahead of time, from a model
    file of yours, or with a cohort.
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
