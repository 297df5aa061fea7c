"""`ilk gallery`: make a gallery, look at it, change it, calibrate it. One file per purpose."""

from __future__ import annotations

import click

from ilk.cli.lazy import LazyGroup

__all__ = ["gallery"]

_COMMANDS = {
    "create": ("create:create", "Make an empty gallery for an encoder artifact."),
    "info": (
        "info:info",
        "Show what a gallery holds, its threshold, and what that promises and costs.",
    ),
    "list": ("look:list_classes", "List the classes, and how many exemplars each has."),
    "show": ("look:show", "List the exemplars of a class, or all, with their ids and origins."),
    "history": ("history:history", "List the changes, oldest first: when, who and what."),
    "rename": ("change:rename", "Rename a class."),
    "merge": ("change:merge", "Merge a class into another."),
    "split": ("change:split", "Make some exemplars of a class a new class."),
    "reassign": ("change:reassign", "Move exemplars to another class."),
    "remove": (
        "change:remove",
        "Remove a class or exemplars; `ilk gallery undo` brings them back.",
    ),
    "undo": ("change:undo", "Undo the latest command, or a given change."),
    "erase": ("erase:erase", "Erase a class, exemplars or what has expired, for good."),
    "expire": ("erase:expire", "Erase what has expired, or set when exemplars do."),
    "allow": ("erase:allow", "Let erased content be enrolled again."),
    "calibrate": ("calibrate:calibrate", "Choose which share of strangers may get a name."),
    "health": ("health:health", "Find what makes a gallery err, with a command for each finding."),
    "migrate": ("migrate:migrate", "Move a gallery to another encoder."),
    "rollback": ("migrate:rollback", "Go back to the encoder before the last migration."),
    "export": ("bundle:export", "Write a whole gallery to one file."),
    "import": ("bundle:import_bundle", "Make a gallery from an exported file."),
}


@click.group(
    cls=LazyGroup,
    lazy={name: (f"ilk.cli.gallery.{place}", line) for name, (place, line) in _COMMANDS.items()},
)
def gallery() -> None:
    """Make a gallery, look at it, change it, and calibrate it."""
