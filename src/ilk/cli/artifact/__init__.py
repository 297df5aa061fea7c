"""`ilk artifact`: import an encoder, get a ready one, look at one."""

from __future__ import annotations

import click

from ilk.cli.lazy import LazyGroup

__all__ = ["artifact"]

_COMMANDS = {
    "show": ("show:show", "Show what an artifact is: encoder, detector, cohort, licence."),
    "ready": ("ready:ready", "Make the ready artifact of a name, such as faces."),
    "import": ("importing:import_network", "Make an artifact from an encoder in ONNX form."),
}


@click.group(
    cls=LazyGroup,
    lazy={name: (f"ilk.cli.artifact.{place}", line) for name, (place, line) in _COMMANDS.items()},
)
def artifact() -> None:
    """Import an encoder, get a ready one, or look at one."""
