"""`ilk artifact`: import an encoder, get a ready one, look at one."""

from __future__ import annotations

import click

from ilk.cli.lazy import LazyGroup

__all__ = ["artifact"]

_COMMANDS = {
    "show": ("show:show", "Tell what an artifact is: encoder, detector, cohort, licence."),
    "ready": ("ready:ready", "Get the ready artifact of a name, such as faces."),
    "import": ("importing:import_network", "Make an artifact of a network in ONNX form."),
}


@click.group(
    cls=LazyGroup,
    lazy={name: (f"ilk.cli.artifact.{place}", line) for name, (place, line) in _COMMANDS.items()},
)
def artifact() -> None:
    """Import an encoder that was trained elsewhere, get a ready one, look at one."""
