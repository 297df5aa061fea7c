"""`ilk gallery`: make a gallery, look at it, change it, calibrate it. One file per purpose."""

from __future__ import annotations

import click

from ilk.cli.lazy import LazyGroup

__all__ = ["gallery"]

_COMMANDS = {
    "create": ("create:create", "Make an empty gallery for an encoder artifact."),
    "info": ("info:info", "Show what it holds, its threshold and what that promises."),
    "list": ("look:list_classes", "List the classes."),
    "show": ("look:show", "List the exemplars of a class."),
    "history": ("look:history", "List the changes, each with who and when."),
    "rename": ("change:rename", "Give a class another label."),
    "merge": ("change:merge", "Make the exemplars of one class those of another."),
    "split": ("change:split", "Make some exemplars of a class a new class."),
    "reassign": ("change:reassign", "Move exemplars to another class."),
    "remove": ("change:remove", "Take a class or exemplars out; undo brings them back."),
    "undo": ("change:undo", "Undo the latest command, or any change."),
    "erase": ("erase:erase", "Delete a class or exemplars for good, from every file."),
    "expire": ("erase:expire", "Erase what has expired, or set when exemplars do."),
    "allow": ("erase:allow", "Let erased content be enrolled again."),
    "calibrate": ("calibrate:calibrate", "Choose which share of strangers may get a name."),
    "health": ("health:health", "Find what is wrong, with the command that mends it."),
    "migrate": ("migrate:migrate", "Move it to another encoder."),
    "rollback": ("migrate:rollback", "Go back to the encoder of before."),
    "export": ("bundle:export", "Write all of it to one file."),
    "import": ("bundle:import_bundle", "Make a gallery from such a file."),
}


@click.group(
    cls=LazyGroup,
    lazy={name: (f"ilk.cli.gallery.{place}", line) for name, (place, line) in _COMMANDS.items()},
)
def gallery() -> None:
    """Make a gallery, look at it, change it, calibrate it."""
