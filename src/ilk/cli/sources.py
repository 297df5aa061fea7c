"""What commands that read labelled items have in common."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

__all__ = ["on_unreadable_option", "source_argument"]

_Command = TypeVar("_Command", bound=Callable[..., Any])


def source_argument(command: _Command) -> _Command:
    """Add SOURCE: a folder, a table or a data set by name, for `ilk.datasets.open_source`."""
    return click.argument("source", metavar="SOURCE")(command)


def on_unreadable_option(command: _Command) -> _Command:
    """Add --on-unreadable, for `open_source` and `verify_readable`."""
    return click.option(
        "--on-unreadable",
        type=click.Choice(["stop", "skip"]),
        default="stop",
        show_default=True,
        help="What to do about items that cannot be read: stop, or go on without and list them.",
    )(command)
