"""What commands on galleries have in common: arguments, options, the change they report."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from ilk.gallery import Gallery

__all__ = [
    "actor_option",
    "exemplars_option",
    "gallery_argument",
    "ids_argument",
    "json_option",
    "tell_change",
    "threads_option",
]

_Command = TypeVar("_Command", bound=Callable[..., Any])

_NUM_DIGITS = 18
"""Of the ids that SQLite can hold."""
_MOST_IDS = 1_000_000


def gallery_argument(command: _Command) -> _Command:
    """Add GALLERY: the folder of one."""
    return click.argument("gallery", metavar="GALLERY", type=click.Path(path_type=Path))(command)


def actor_option(command: _Command) -> _Command:
    """Add --actor: who the history names."""
    return click.option(
        "--actor",
        metavar="NAME",
        help="Who makes the change, for the history. Default: your user name.",
    )(command)


def json_option(command: _Command) -> _Command:
    """Add --json."""
    return click.option(
        "--json", "as_json", is_flag=True, help="Print JSON, described in docs/json.md."
    )(command)


def threads_option(command: _Command) -> _Command:
    """Add --num-threads, for the encoder."""
    return click.option(
        "--num-threads",
        type=click.IntRange(1, 1024),
        help="Threads of the encoder. Default: all cores.",
    )(command)


class _Ids(click.ParamType[Any]):
    """Ids, such as 7 or 3,5-8."""

    name = "ids"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> list[int]:
        """Return them."""
        if not isinstance(value, str):
            return list(value)
        ids: list[int] = []
        for part in value.split(","):
            first, dash, last = part.partition("-")
            ends = (first, last if dash else first)
            if not all(end.isdecimal() and len(end) <= _NUM_DIGITS for end in ends):
                self.fail(f"expected ids such as 7 or 3,5-8, got {value[:80]!r}", param, ctx)
            named = range(int(ends[0]), int(ends[1]) + 1)
            if not named or len(named) + len(ids) > _MOST_IDS:
                self.fail(
                    f"expected at most {_MOST_IDS:,} ids, and ranges that rise, got {value[:80]!r}",
                    param,
                    ctx,
                )
            ids += named
        return ids


def _joined(
    context: click.Context, parameter: click.Parameter, value: Iterable[list[int]]
) -> list[int]:
    return [i for ids in value for i in ids]


def ids_argument(command: _Command) -> _Command:
    """Add ID..., such as 7 or 3,5-8, as one list `ids`."""
    return click.argument(
        "ids", metavar="ID...", nargs=-1, required=True, type=_Ids(), callback=_joined
    )(command)


def exemplars_option(*, required: bool = False) -> Callable[[_Command], _Command]:
    """Add --exemplar ID, which may be given several times, as one list `exemplars`."""
    return click.option(
        "--exemplar",
        "exemplars",
        multiple=True,
        required=required,
        type=_Ids(),
        metavar="ID...",
        callback=_joined,
        help="Ids, such as 7 or 3,5-8, as `ilk gallery show` lists them. Repeatable.",
    )


def tell_change(gallery: Gallery, change_id: int, words: str, *, as_json: bool) -> None:
    """Say what a command changed, and how to undo that."""
    from ilk.cli.documents import print_document
    from ilk.documents import change_rows
    from ilk.shell import command_line

    made = [change for change in gallery.history(last=50) if change.id == change_id]
    if as_json:
        print_document("gallery.change", changes=change_rows(made))
    elif not made:
        click.echo("nothing to change")
    else:
        back = command_line("ilk gallery undo", gallery.access.location, change_id)
        click.echo(f"{words} (change {change_id}; undo it with `{back}`)")
