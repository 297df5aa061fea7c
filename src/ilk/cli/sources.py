"""What commands that read labelled items have in common."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from ilk.results import Identification, Verification

__all__ = [
    "choice_option",
    "detector_option",
    "on_unreadable_option",
    "require_readable",
    "seed_option",
    "source_argument",
]

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
        help="What to do about items that cannot be read: stop, or skip and list them.",
    )(command)


def detector_option(command: _Command) -> _Command:
    """Add --detector, the name of a plugin, None for what the artifact expects."""
    return click.option(
        "--detector",
        metavar="NAME",
        help="What finds probes in pictures: whole_image, boxes, faces or a plugin. Default: what "
        "the artifact expects.",
    )(command)


def seed_option(words: str) -> Callable[[_Command], _Command]:
    """Add --seed."""
    return click.option(
        "--seed",
        default=0,
        show_default=True,
        type=click.IntRange(0, (1 << 32) - 1),
        help=words,
    )


def choice_option(default: str) -> Callable[[_Command], _Command]:
    """Add --largest, as `choice`: "largest" with it, else `default`."""
    instead = "all of them" if default == "all" else "none"

    def chosen(context: click.Context, parameter: click.Parameter, value: bool) -> str:
        return "largest" if value else default

    return click.option(
        "--largest",
        "choice",
        is_flag=True,
        callback=chosen,
        help=f"Of several faces (or regions) in a picture, take the largest instead of {instead}.",
    )


def require_readable(answers: Sequence[Identification | Verification]) -> None:
    """Refuse if not one of the named files could be read.

    Raises:
        DataError: None could.
    """
    from ilk.errors import DataError

    if not answers or any(answer.code != "unreadable" for answer in answers):
        return
    first = f"{answers[0].name}: {answers[0].reason}"
    if len(answers) == 1:
        raise DataError(f"expected a picture, got {first}")
    raise DataError(f"expected pictures, but none of {len(answers):,} can be read; {first}")
