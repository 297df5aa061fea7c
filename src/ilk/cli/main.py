"""The `ilk` command: finds the file of a subcommand only when that one is called."""

from __future__ import annotations

import sys
from importlib import import_module

import click

from ilk import __version__
from ilk.errors import IlkError

__all__ = ["run"]

_COMMANDS = {
    "demo": "Train, enroll, identify and meet strangers, on characters drawn here.",
    "train": "Train an encoder artifact from labelled items.",
    "evaluate": "Measure an artifact on classes that it never saw.",
    "compare": "Tell whether artifact A is better than B, with an interval.",
    "check": "Look over a data set before training on it.",
    "embed": "Write the embeddings of a source to a file.",
    "reproduce": "Run a published protocol from data in a folder.",
    "plugins": "List what is installed: encoders, losses, data sets.",
}


class _Commands(click.Group):
    """A group whose help needs no subcommand to be imported."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _COMMANDS:
            return None
        command: click.Command = getattr(import_module(f"ilk.cli.{cmd_name}"), cmd_name)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(_COMMANDS.items()))


@click.command(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="ilk")
def ilk() -> None:
    """Learn a distance; recognise kinds that training never saw; say unknown when it should."""


def run() -> None:
    """Run the command line: exit 0 done, 1 an ilk error in one line, 2 wrong usage."""
    try:
        ilk.main(standalone_mode=True)
    except IlkError as error:
        click.echo(f"ilk: {error}", err=True)
        sys.exit(1)
    except OSError as error:
        click.echo(f"ilk: {error}", err=True)
        sys.exit(1)
