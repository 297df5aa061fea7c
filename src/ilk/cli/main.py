"""The `ilk` command: finds the file of a subcommand only when that one is called."""

from __future__ import annotations

import sys

import click

from ilk import __version__
from ilk.cli.lazy import LazyGroup
from ilk.cli.output import escape_output
from ilk.errors import IlkError

__all__ = ["ilk", "run"]

_COMMANDS = {
    "demo": "Train, enroll, identify and meet strangers, on drawn characters.",
    "check": "Look over a data set before training on it.",
    "train": "Train an encoder artifact from labelled items.",
    "evaluate": "Measure an artifact on classes that it never saw.",
    "verify-pairs": "Measure verification on a file of pairs, such as LFW's.",
    "compare": "Tell whether artifact B is better than A, with an interval.",
    "artifact": "Import an encoder, get a ready one, or look at one.",
    "gallery": "Make a gallery, look at it, change it, and calibrate it.",
    "enroll": "Enroll examples of classes in a gallery.",
    "identify": "Name the class of each picture, or say unknown.",
    "verify": "Say of each picture whether it is of a given class.",
    "watch": "Follow what passes through a video or camera, with one decision per track.",
    "serve": "Open a page to ask about pictures and to enroll from them.",
    "unknown": "Look through unknown probes that were kept, and name them.",
    "embed": "Write the embeddings of a source to a file.",
    "reproduce": "Run a published protocol on data in a folder.",
    "plugins": "List the installed plugins: encoders, losses, data sets, stores, searchers.",
}


def _file(command: str) -> str:
    """Return the name of the file and of the function of a command."""
    return command.replace("-", "_")


@click.group(
    cls=LazyGroup,
    lazy={name: (f"ilk.cli.{_file(name)}:{_file(name)}", line) for name, line in _COMMANDS.items()},
    context_settings={"help_option_names": ["-h", "--help"]},
)
@click.version_option(__version__, prog_name="ilk")
def ilk() -> None:
    """Learn a distance, recognise classes that training never saw, or say that one is unknown."""


def run() -> None:
    """Run the command line: exit 0 done, 1 an ilk error in one line or Ctrl-C, 2 wrong usage."""
    escape_output()
    try:
        ilk.main(standalone_mode=True)
    except IlkError as error:
        click.echo(f"ilk: {error}", err=True)
        sys.exit(1)
    except OSError as error:
        click.echo(f"ilk: {error}", err=True)
        sys.exit(1)
    except Exception as error:
        if not _is_interruption(error):
            raise
        click.echo("\nAborted!", err=True)
        sys.exit(1)


def _is_interruption(error: BaseException | None) -> bool:
    """Whether it is what a library made of Ctrl-C, as compiled modules do while being imported."""
    while error is not None:
        if isinstance(error, KeyboardInterrupt):
            return True
        error = error.__cause__ or error.__context__
    return False
