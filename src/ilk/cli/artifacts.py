"""What commands that take ARTIFACT have in common: a folder, or the name of a ready one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from ilk.artifact import Artifact

__all__ = ["artifact_argument", "load_artifact", "tell_aside"]

_Command = TypeVar("_Command", bound=Callable[..., Any])


def artifact_argument(command: _Command) -> _Command:
    """Add ARTIFACT: a folder, or `faces`."""
    return click.argument("artifact", metavar="ARTIFACT", type=click.Path(path_type=Path))(command)


def load_artifact(path_or_name: Path) -> Artifact:
    """Return the artifact of a folder, or the ready one of that name, made if need be.

    Raises:
        ArtifactError: There is none, or it is damaged.
        MissingWeights: A ready one cannot be made here; the message says what to do.
    """
    from ilk.artifact import Artifact
    from ilk.ready import artifact_path

    return Artifact.load(artifact_path(path_or_name, tell=tell_aside))


def tell_aside(line: str) -> None:
    """Say what is not the answer of a command."""
    click.echo(line, err=True)
